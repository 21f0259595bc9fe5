"""Does it pay to mine anew only the images whose teacher changed its mind?

    python benchmarks/refresh.py --run RUN --root FER2013 [--images 1000] [--round 2]

RUN is a run folder of `pasm-aug run --data fer2013` with at least ``--round`` rounds. The teacher of that round mines
the first N training faces, from scratch and with the points of the round before at several thresholds. *Captured* is
the drop of the true class's probability that the points cause, as a share of the drop from scratch.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import Meter, machine, open_faces, table, versions
from torch.utils.data import Subset

from pasm_aug import PointSearch, PositionCache, mine_positions
from pasm_aug.core.files import read_json, write_json
from pasm_aug.data.in_memory import InMemory
from pasm_aug.models import load_model

THRESHOLDS = (0.01, 0.05, 0.1, 0.3, 1.0)
COLUMNS = {
    "threshold": "probability moved by at least",
    "searched": "searched anew|.0%",
    "forwards": "forwards an image|.1f",
    "cost": "processor time ÷ from scratch|.2f",
    "captured": "captured|.3f",
    "same": "same pixel as from scratch|.0%",
}


def drop(cache: PositionCache) -> np.ndarray:
    """(N,) what the best point of each image takes from its true class's probability."""
    found = cache.lookup(indices=np.arange(len(cache)))
    return found.p_clean - found.p_point[:, 0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--root", type=Path, required=True, help="of FER2013")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--round", type=int, default=2, help="whose teacher mines")
    parser.add_argument("--budget", type=float, default=20)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "refresh.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    data = InMemory(Subset(open_faces(args.root, "train", 48), range(args.images)), progress=False)
    search = PointSearch(budget=args.budget)
    networks = [load_model(args.run / f"round-{number}") for number in (args.round - 2, args.round - 1)]
    scores = [read_json(args.run / f"round-{number}" / "result.json") for number in (args.round - 2, args.round - 1)]
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)

        def mine(name: str, network: Any, refresh: Any = None) -> tuple[PositionCache, float]:
            with Meter() as meter:
                cache = mine_positions(
                    network, data, folder / name, search=search, refresh=refresh, device="cpu", progress=False
                )
            return cache, meter.cpu

        before, _ = mine("before", networks[0])
        scratch, seconds = mine("scratch", networks[1])
        index = np.arange(args.images)
        moved = np.abs(scratch.lookup(indices=index).p_clean - before.lookup(indices=index).p_clean)
        place = scratch.lookup(indices=index).xy
        for threshold in (0.0, *THRESHOLDS):
            refresh = (before, threshold) if threshold else None
            cache, took = mine(f"at-{threshold}", networks[1], refresh) if threshold else (scratch, seconds)
            rows.append(
                {
                    "threshold": threshold or "from scratch",
                    "searched": float((moved >= threshold).mean()),
                    "forwards": cache.metadata["forwards"] / len(cache.to_numpy()["key"]),
                    "cost": took / seconds,
                    "captured": float(drop(cache).mean() / drop(scratch).mean()),
                    "same": float((cache.lookup(indices=index).xy == place).all((1, 2)).mean()),
                }
            )
    print(table(COLUMNS, rows))
    settings = {"images": args.images, "round": args.round, "budget": args.budget}
    teachers = [{"train": s["train"]["accuracy"], "test": (s["test"] or {}).get("accuracy")} for s in scores]
    about = {"settings": settings, "teachers": teachers, "machine": machine(), "versions": versions()}
    write_json(args.out, about | {"rows": rows})


if __name__ == "__main__":
    main()
