"""What do bf16 and channels-last buy on this machine, in the trainer?

    python benchmarks/precision.py [--images 256] [--repeats 3]

Images a second of an epoch of ``pasm_aug.train``, one thread, all variants in turn, in an order shuffled anew each
time; medians, and ÷ the usual layout in 32 bits.
"""

from __future__ import annotations

import argparse
import functools
import platform
from pathlib import Path
from typing import Any

import torch
from common import machine, medians, table, versions
from torch.utils.data import Subset

from pasm_aug import OnlineAdversarialErase, PairedView, build_model, train
from pasm_aug.core.files import write_json
from pasm_aug.data.in_memory import InMemory
from pasm_aug.data.synthetic.dataset import SyntheticExpressions

WAYS: dict[str, dict[str, Any]] = {
    "fp32": {},
    "fp32, channels last": {"channels_last": True},
    "bf16": {"precision": "bf16"},
    "bf16, channels last": {"precision": "bf16", "channels_last": True},
}
NETWORKS = {"small": 48, "resnet18": 96, "mobilenet_v3_small": 96, "efficientnet_b0": 96}  # pixels
COLUMNS = {"network": "network"} | {way: f"{way}|.0f" for way in WAYS} | {f"÷ {way}": "÷|.2f" for way in WAYS}


def instructions() -> list[str]:
    """Of those that compute in bf16, the ones that this processor has; none where the system does not tell."""
    known = ("avx512_bf16", "amx_bf16", "bf16")  # x86, and ARM
    file = Path("/proc/cpuinfo")
    flags = set(file.read_text().split()) if file.exists() else set()
    return [name for name in known if name in flags]


def epoch(name: str, data: Any, **options: Any) -> None:
    train(build_model(name, 7, seed=0), data, epochs=1, batch_size=32, device="cpu", progress=False, **options)


def epochs(name: str, pixels: int, count: int, repeats: int) -> list[dict[str, Any]]:
    """A row for the network alone, and for the small one another with squares searched in the step."""
    data = InMemory(Subset(SyntheticExpressions("train", size=pixels), range(count)), progress=False)
    data.classes = [str(label) for label in range(7)]
    rows = []
    for augment in (None, PairedView(OnlineAdversarialErase(budget=4)))[: 1 + (name == "small")]:
        works = {way: functools.partial(epoch, name, data, augment=augment, **options) for way, options in WAYS.items()}
        took = {way: wall for way, (wall, _) in medians(works, repeats).items()}
        title = f"{name}, {pixels} px" + (", squares searched in the step" if augment else "")
        rows.append(
            {"network": title}
            | {way: count / took[way] for way in WAYS}
            | {f"÷ {way}": took["fp32"] / took[way] for way in WAYS}
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "precision.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = [row for name, pixels in NETWORKS.items() for row in epochs(name, pixels, args.images, args.repeats)]
    print(table(COLUMNS, rows))
    settings = {"images": args.images, "repeats": args.repeats, "batch_size": 32}
    about = {"settings": settings, "machine": machine() | {"bf16": instructions(), "system": platform.machine()}}
    write_json(args.out, {**about, "versions": versions(), "rows": rows})


if __name__ == "__main__":
    main()
