"""What does the trainer cost beside a bare PyTorch loop, where does its time go, and what do two processes gain?

    python benchmarks/training.py [--root FER2013] [--images 1000] [--repeats 7]

One thread. The bare loop has the same network, loader, optimiser and loss, and nothing else: no seeds per step, no
checks, no tables. All variants run in turn, in an order shuffled anew each time; figures are medians. With two
processes (started as ``torchrun`` does) an epoch is timed between two barriers.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from common import machine, medians, open_faces, table, versions
from torch import nn
from torch.utils.data import Subset
from torchvision.transforms import v2

from pasm_aug import PairedView, PointAdversarialErase, PointSearch, mine_positions
from pasm_aug.core.eval_mode import eval_mode
from pasm_aug.core.files import write_json
from pasm_aug.core.processes import process_state
from pasm_aug.data.in_memory import InMemory
from pasm_aug.models import build_model
from pasm_aug.training.checkpoint import save_checkpoint
from pasm_aug.training.loading import EpochSampler, make_loader
from pasm_aug.training.losses import distillation_loss
from pasm_aug.training.trainer import train

BATCH, LONG = 32, 4
LOOP = {"variant": "variant", "per_second": "images/s|,.0f", "bare": "bare loop, images/s|,.0f", "ratio": "ratio|.3f"}
SHARES = {"part": "part", "seconds": "seconds an epoch|.2f", "share": "share|.1%"}
PROCESSES = {"processes": "processes", "per_second": "images/s|,.0f", "speed_up": "speed-up|.2f"}


def bare_epoch(network: nn.Module, loader: Any, teacher: nn.Module | None = None) -> None:
    """What one would write by hand."""
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    network.train()
    for images, *clean, target in loader:
        logits = network(network.preprocess(images))  # type: ignore[operator]
        predictions = None
        if teacher is not None:
            with torch.no_grad(), eval_mode(teacher):
                predictions = teacher(teacher.preprocess(clean[0] if clean else images))  # type: ignore[operator]
        loss = distillation_loss(logits, predictions, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def timed(work: Callable[[], object], repeats: int) -> float:
    """Seconds of one call, the median."""
    return medians({"work": work}, repeats)["work"][0]


def loops(data: Any, view: PairedView, still: PairedView, teacher: nn.Module, repeats: int) -> list[dict[str, Any]]:
    """Our epochs and bare ones: plain, and distilling from erased images with and without a random flip."""
    small = functools.partial(build_model, "small", len(data.classes))
    ours = functools.partial(train, dataset=data, epochs=1, batch_size=BATCH, device="cpu", progress=False)
    loader = functools.partial(make_loader, data, EpochSampler(len(data), BATCH, least=2))
    variants = {
        "teacher": (lambda: ours(small()), lambda: bare_epoch(small(), loader())),
        "student, flipped": (
            lambda: ours(small(), augment=view, teacher=teacher),
            lambda: bare_epoch(small(), loader(view), teacher),
        ),
        "student, not flipped": (
            lambda: ours(small(), augment=still, teacher=teacher, reuse_logits=False),
            lambda: bare_epoch(small(), loader(still), teacher),
        ),
        f"{LONG} such epochs, logits cached": (
            lambda: ours(small(), augment=still, teacher=teacher, epochs=LONG),
            lambda: [bare_epoch(small(), loader(still), teacher) for _ in range(LONG)],
        ),
    }
    works = {f"{side} {name}": work for name, pair in variants.items() for side, work in zip("ab", pair, strict=True)}
    took = medians(works, repeats)

    def images(name: str) -> int:
        return len(data) * (LONG if name.startswith(str(LONG)) else 1)

    return [
        {
            "variant": name,
            "per_second": images(name) / took[f"a {name}"][0],
            "bare": images(name) / took[f"b {name}"][0],
            "ratio": took[f"b {name}"][0] / took[f"a {name}"][0],
            "ratio_of_processor_time": took[f"b {name}"][1] / took[f"a {name}"][1],
        }
        for name in variants
    ]


def shares(data: Any, view: PairedView, teacher: nn.Module, folder: Path, repeats: int) -> list[dict[str, Any]]:
    """Where a round of one epoch spends its time."""
    small = functools.partial(build_model, "small", len(data.classes))

    def load(transform: PairedView | None) -> None:
        for _ in make_loader(data, EpochSampler(len(data), BATCH, least=2), transform):
            pass

    options = {"epochs": 1, "batch_size": BATCH, "device": "cpu", "progress": False}
    took = medians(
        {
            "loading": lambda: load(None),
            "twin": lambda: load(PairedView(None, view.then)),
            "erased": lambda: load(view),
            "all": lambda: train(small(), data, augment=view, teacher=teacher, **options),
            "alone": lambda: train(small(), data, augment=view, **options),
        },
        repeats,
    )
    seconds = {name: wall for name, (wall, _) in took.items()}
    started = time.perf_counter()
    mine_positions(teacher, data, folder / "again", search=PointSearch(budget=20), device="cpu", progress=False)
    mining = time.perf_counter() - started
    network = small()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    rate = torch.optim.lr_scheduler.ConstantLR(optimizer)
    saving = timed(lambda: save_checkpoint(folder / "c.safetensors", network, optimizer, rate, [], {}), repeats)
    parts = {
        "loading": seconds["loading"],
        "clean twin and flip": seconds["twin"] - seconds["loading"],
        "erasing": seconds["erased"] - seconds["twin"],
        "the teacher's predictions": seconds["all"] - seconds["alone"],
        "the student's steps": seconds["alone"] - seconds["erased"],
    }
    epoch = sum(parts.values())
    rows = [{"part": name, "seconds": value, "share": value / epoch} for name, value in parts.items()]
    rows.append({"part": "one checkpoint", "seconds": saving, "share": saving / epoch})
    return [*rows, {"part": "mining, once a round (budget 20)", "seconds": mining, "share": mining / epoch}]


def worker(args: argparse.Namespace) -> None:
    """One of several processes: a first epoch to warm up, then the timed ones."""
    data = faces(args)
    network, state = build_model("small", len(data.classes)), process_state("cpu")
    epochs = args.repeats + 1
    history = train(network, data, epochs=epochs, batch_size=BATCH, device="cpu", progress=False).history
    if state.is_main_process:
        seconds = sorted(row["seconds"] for row in history[1:])
        write_json(args.worker, {"seconds": seconds[len(seconds) // 2]})
    if state.num_processes > 1:
        torch.distributed.destroy_process_group()


def processes(args: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """Images a second of one and of two processes, of one thread each."""
    rows: list[dict[str, Any]] = []
    for count in (1, 2):
        out = folder / f"processes-{count}.json"
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
        command += [__file__, "--worker", str(out), "--images", str(args.images), "--repeats", str(args.repeats)]
        command += ["--root", str(args.root)] if args.root else []
        if subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}).returncode:
            sys.exit(f"training with {count} processes failed; its message stands above")
        per_second = args.images / json.loads(out.read_text())["seconds"]
        rows.append({"processes": count, "per_second": per_second})
        rows[-1]["speed_up"] = per_second / rows[0]["per_second"]
    return rows


def faces(args: argparse.Namespace) -> Any:
    """The first training faces, decoded."""
    data = InMemory(Subset(open_faces(args.root, "train", 48), range(args.images)), progress=False)
    data.classes = [str(label) for label in range(int(data.labels.max()) + 1)]
    return data


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help="of FER2013; drawn faces without it")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "training.json")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.worker:
        return worker(args)
    data = faces(args)
    teacher = build_model("small", len(data.classes))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        search = PointSearch(budget=20)
        mine_positions(teacher, data, folder / "positions", search=search, device="cpu", progress=False)
        erase = PointAdversarialErase(folder / "positions", p=1.0)
        flipped, still = PairedView(erase, v2.RandomHorizontalFlip()), PairedView(erase)
        found = {
            "loop": loops(data, flipped, still, teacher, args.repeats),
            "shares": shares(data, flipped, teacher, folder, args.repeats),
            "processes": processes(args, folder),
        }
    for name, columns in (("loop", LOOP), ("shares", SHARES), ("processes", PROCESSES)):
        print(f"\n{table(columns, found[name])}")
    settings = {"images": args.images, "repeats": args.repeats, "batch_size": BATCH, "faces": str(bool(args.root))}
    write_json(args.out, {"settings": settings, "machine": machine(), "versions": versions(), **found})


if __name__ == "__main__":
    main()
