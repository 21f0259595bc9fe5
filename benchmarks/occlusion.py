"""What does hiding a part of the face cost a network?

    python benchmarks/occlusion.py --root FER2013 --model DIR [DIR ...] [--split test] [--limit N]

DIR are folders that `save_model` wrote: a round of `pasm-aug run`, what `pasm-aug train` or `teachers.py` made. Squares
of 7, 13 and 19 of 48 pixels, black and in the image's own mean grey, are tried at 6 × 6 places of every face. *Mean* is
the accuracy over all places, *worst* the share of the faces that are right at every one of them; *eyes* and *mouth* are
the accuracy with these rows blacked out. The intervals in the results are Wilson's, 95 %.

With more than one network, *against the first* is the gain in the worst case and its standard error, on the same faces.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import Meter, machine, open_faces, table, versions
from torch.utils.data import Subset

from pasm_aug.core.files import write_json
from pasm_aug.data.in_memory import InMemory
from pasm_aug.models import load_model
from pasm_aug.training.interval import wilson
from pasm_aug.training.occlusion import evaluate_occlusion
from pasm_aug.training.occlusion_metrics import OcclusionMetrics
from pasm_aug.training.paired_gain import paired_gain


def score(folder: Path, data: InMemory, seed: int) -> tuple[OcclusionMetrics, dict[str, Any]]:
    """The scores of one network, and its rows of the results: all but the comparison."""
    model = load_model(folder)
    if list(model.info["classes"]) != data.classes:
        raise SystemExit(f"{folder} knows the classes {model.info['classes']}, the data have {data.classes}")
    with Meter() as meter:
        found = evaluate_occlusion(model, data, device="cpu", seed=seed, progress=True)
    row = {"model": folder.name, "clean": found.clean, "seconds": meter.wall, "cpu_seconds": meter.cpu}
    row |= {"images_per_second": found.forwards / meter.wall, "images_per_cpu_second": found.forwards / meter.cpu}
    row |= {f"{kind}_{s.side}_{s.fill}": getattr(s, kind) for kind in ("mean", "worst") for s in found.squares}
    return found, row | {name: band.accuracy for name, band in found.bands.items()}


def against(first: OcclusionMetrics, other: OcclusionMetrics) -> list[dict[str, Any]]:
    """Gains of ``other`` in the worst case, and on the faces as they are, over ``first``, on the same faces."""
    pairs = [("whole", "", first.clean_right, other.clean_right)]
    pairs += [(a.side, a.fill, a.robust, b.robust) for a, b in zip(first.squares, other.squares, strict=True)]
    rows = []
    for side, fill, before, after in pairs:
        sought = np.ones(first.count, dtype=np.int64)  # paired_gain compares labels and predictions: right is 1
        gain = paired_gain(np.stack([sought, before]), np.stack([sought, after]))
        rows.append({"side": side, "fill": fill, "gain": gain.gain, "error": gain.error})
    return rows


def columns(found: OcclusionMetrics) -> dict[str, str]:
    """Of the table."""
    named = {"model": "network", "clean": "clean|.1%"}
    for s in found.squares:
        named[f"mean_{s.side}_{s.fill}"] = f"{s.side} px {s.fill}: mean|.1%"
        named[f"worst_{s.side}_{s.fill}"] = "worst|.1%"
    return named | {"eyes": "eyes|.1%", "mouth": "mouth|.1%", "seconds": "seconds|.0f"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, help="of FER2013")
    parser.add_argument("--model", type=Path, nargs="+", required=True, metavar="DIR", help="folders of networks")
    parser.add_argument("--split", choices=("train", "val", "test"), default="test")
    parser.add_argument("--limit", type=int, help="the first N faces of the split")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "occlusion.json")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    faces = open_faces(args.root, args.split, 48)
    data = InMemory(Subset(faces, range(min(args.limit or len(faces), len(faces)))), progress=False)
    data.classes = list(faces.classes)
    scored = [score(folder, data, args.seed) for folder in args.model]
    first, rows = scored[0][0], [row for _, row in scored]
    print(table(columns(first), rows))
    for folder, (found, row) in zip(args.model[1:], scored[1:], strict=True):
        row["against_first"] = against(first, found)
        print(f"\n{folder.name} against {args.model[0].name}, in the worst case:\n")
        print(table({"side": "square", "fill": "fill", "gain": "gain|+.1%", "error": "±|.1%"}, row["against_first"]))
    for found, row in scored:
        row["intervals"] = {
            f"worst_{s.side}_{s.fill}": wilson(int(s.robust.sum()), found.count) for s in found.squares
        } | {"clean": wilson(int(found.clean_right.sum()), found.count)}
        row["maps"] = [{"side": s.side, "fill": s.fill, "heatmap": s.heatmap.tolist()} for s in found.squares]
    settings = {"split": args.split, "faces": len(data), "seed": args.seed, "fills": ["black", "mean"], "places": 6}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    write_json(args.out, {"settings": settings, "versions": versions(), "machine": machine(), "rows": rows})


if __name__ == "__main__":
    main()
