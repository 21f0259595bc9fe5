"""How far is differential evolution from the exhaustive optimum, generation by generation?

    python benchmarks/generations.py [--images 16] [--epochs 32] [--out benchmarks/results/generations.json]

Trains the small network on the drawn faces (as ``pasm-aug run`` does), takes test faces that it has right, finds the
true optimum (every position × every corner colour), then lets each search go for 0…100 generations. "Captured" is the
drop of the true class's log-odds that a search reached, divided by the optimum's. It may pass 1: evolution may use
colours that are no corners.
"""

from __future__ import annotations

import argparse
import json
import platform
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

import pasm_aug
from pasm_aug.core.image_content import to_uint8_tensor
from pasm_aug.data.in_memory import InMemory
from pasm_aug.data.synthetic.dataset import SyntheticExpressions
from pasm_aug.models import build_model
from pasm_aug.rounds.arms import make_geometry
from pasm_aug.search.point_search import PointSearch
from pasm_aug.search.result import PointResult
from pasm_aug.training.evaluation import evaluate
from pasm_aug.training.trainer import train
from pasm_aug.transforms.paired_view import PairedView

GENERATIONS = (0, 1, 3, 10, 25, 50, 100)


def captured(result: PointResult, best: PointResult) -> np.ndarray:
    """Share of the best drop of the log-odds that each image's search reached."""
    return (result.score_clean - result.score_point[:, 0]) / (best.score_clean - best.score_point[:, 0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/generations.json"))
    args = parser.parse_args()

    faces = InMemory(SyntheticExpressions("train"))
    teacher = build_model("small", 7, seed=args.seed)
    train(teacher, faces, augment=PairedView(make_geometry()), epochs=args.epochs, lr=0.05, seed=args.seed)
    test = SyntheticExpressions("test")
    images = torch.stack([to_uint8_tensor(test[i][0]) for i in range(4 * args.images)])
    labels = torch.from_numpy(test.labels[: 4 * args.images])
    right = teacher(teacher.preprocess(images)).argmax(1) == labels
    images, labels = images[right][: args.images], labels[right][: args.images]

    best = PointSearch("exhaustive").run(teacher, images, labels)
    rows = [{"search": "exhaustive", "forwards": float(best.forwards.mean()), "mean": 1.0, "worst": 1.0}]
    searches = [("seeded", PointSearch("seeded", budget=80))]
    searches += [(f"paper, {g} generations", PointSearch("paper", generations=g, seed=args.seed)) for g in GENERATIONS]
    for name, search in tqdm(searches):
        result = search.run(teacher, images, labels)
        share = captured(result, best)
        rows.append(
            {
                "search": name,
                "queries": int(result.queries.mean()),
                "forwards": float(result.forwards.mean()),
                "mean": float(share.mean()),
                "worst": float(share.min()),
            }
        )
    about = {
        "seed": args.seed,
        "images": len(images),
        "teacher": {"model": "small", "train": evaluate(teacher, faces).accuracy},
        "versions": {"pasm_aug": pasm_aug.__version__, "torch": torch.__version__, "python": platform.python_version()},
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(about | {"rows": rows}, indent=2) + "\n")
    print("| search | queries | forwards per image | captured, mean | worst image |\n|---|---|---|---|---|")
    for row in rows:
        queries = f"{row['queries']:,}" if "queries" in row else "all"
        print(f"| {row['search']} | {queries} | {row['forwards']:,.0f} | {row['mean']:.3f} | {row['worst']:.3f} |")


if __name__ == "__main__":
    main()
