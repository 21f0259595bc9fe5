"""What does erasing hard squares, found inside the training step, buy? Arms of one teacher, seed by seed.

    python benchmarks/online_gain.py --data fer2013 --root FER2013 [--minutes 60] [--seeds 5]
    python benchmarks/online_gain.py --data synthetic [--minutes 60] [--seeds 8]
    python benchmarks/online_gain.py --data fer2013 --report

Every cell (seed, arm) is done once and appended to ``results/online_gain-DATA.jsonl``; run again, the campaign goes on
where it stopped, and ``--minutes`` ends it at the next cell. All arms of a seed fork from one teacher, see the samples
in the same order and train the same epochs at the same rates, but ``…-long``, which trains as many epochs as take the
time of ``online-4``; ``online-4-…`` are its :data:`VARIANTS`. FER2013: 8,000 training images, the whole test split;
*worst* is the share of test images that stay right under a grey 13 px square wherever it stands (a grid of 6 × 6).
Drawn faces: trained without anything in front of the face, tested with glasses, masks and hands. Intervals are of
Student's t over the paired seeds, 95 %.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import campaign, machine, table, versions
from occlusion_attacks import RectangularOcclusion
from scipy.stats import t as student
from torch import nn
from torchvision.transforms import v2

from pasm_aug import PairedView, PointAdversarialErase, PointSearch, evaluate, mine_positions, train
from pasm_aug.core.networks import copied
from pasm_aug.data.fer2013 import FER2013
from pasm_aug.data.in_memory import InMemory
from pasm_aug.data.synthetic.dataset import SyntheticExpressions
from pasm_aug.data.synthetic.description import Difficulty
from pasm_aug.models import build_model, load_model, save_model
from pasm_aug.rounds.arms import arm_positions
from pasm_aug.search.online import OnlineAdversarialErase
from pasm_aug.training.losses import distillation_loss
from pasm_aug.training.occlusion import evaluate_occlusion
from pasm_aug.transforms.baselines import CountedRandomErasing, RandomPlaceErase

SIZE, EPOCHS, LONG = 13 / 48, 6, 12
LR = 0.02  # of 0.01 and 0.02 the better for online-4 on the validation split of seed 0
BETA = 0.1
SETTINGS = {"size": SIZE, "value": "mean", "p": 1.0}
ARMS = ("random-matched", "online-4", "random", "random-matched-long", "patch", "none")
VARIANTS: dict[str, dict[str, Any]] = {  # of online-4, tried on one seed
    "drawn": {"hardness": "drawn"},
    "below.3": {"hardness": 0.3},
    "half": {"p": 0.5},
    "sizes": {"size_range": (7 / 48, 19 / 48)},
    "noise": {"value": "random"},
    "image": {"value": "image"},
    "point": {"value": "point"},
    "shapes": {"scale": (0.02, 0.33), "p": 0.5},  # RandomErasing's own distribution of rectangles
    "growing": {},
}
ATTACKS: dict[str, dict[str, Any]] = {  # Wu, Tong and Vorobeychik 2020
    "roa-gradient": {},
    "roa-gradient-grey": {"ascents": 0},
    "roa-exhaustive": {"candidates": None},
}
GROWING = (0.9, 0.7, 0.5, 0.3, 0.15, 0.05)  # by epoch: the first tried that takes p(true class) below it is erased
HIDDEN = ("glasses", "mask", "hand")
BARE = {f"{name}_share": 0.0 for name in HIDDEN}
TEACHERS = 3  # of FER2013; the seeds share them in turn


class GrowingErase(OnlineAdversarialErase):
    """Easy squares in the first epoch, nearly the worst in the last."""

    def set_epoch(self, epoch: int) -> None:
        super().set_epoch(epoch)
        self.options = dataclasses.replace(self.options, hardness=GROWING[min(epoch, len(GROWING) - 1)])


def splits(data: str, root: Path | None) -> dict[str, Any]:
    """``train``, ``val`` and the splits to test on."""
    if data == "fer2013":
        found = {
            "train": FER2013(root, "train").limited(8000),
            "val": FER2013(root, "val"),
            "test": FER2013(root, "test"),
        }
    else:
        bare = Difficulty(**BARE)
        found = {name: SyntheticExpressions(name, difficulty=bare) for name in ("train", "val", "test")}
        for name in HIDDEN:
            hidden = Difficulty(**BARE | {f"{name}_share": 1.0})
            found |= {name: SyntheticExpressions("test", difficulty=hidden)}
            found |= {f"val_{name}": SyntheticExpressions("val", difficulty=hidden)}
    return {name: InMemory(split, name=name, progress=False) for name, split in found.items()}


def teacher_of(folder: Path, seed: int, data: dict[str, Any]) -> nn.Module:
    """The first teacher of a seed: kept in ``folder``, trained where there is none."""
    place = folder / f"teacher-{seed}"
    if not (place / "model.json").exists():
        model = build_model("small", len(data["train"].classes), seed=seed)
        train(
            model,
            data["train"],
            augment=PairedView(None, v2.RandomHorizontalFlip()),
            epochs=32,
            lr=0.05,
            seed=seed,
            progress=False,
        )
        classes = list(data["train"].classes)
        mean, std = (part.flatten().tolist() for part in (model.preprocess.mean, model.preprocess.std))
        save_model(place, model, {"architecture": "small", "classes": classes, "mean": mean, "std": std})
    return load_model(place)


def erasing(arm: str, teacher: nn.Module, data: Any, positions: Path) -> Any:
    """The transform of an arm."""
    if arm == "none":
        return None
    if arm == "random":
        return CountedRandomErasing()
    if arm in ATTACKS:
        return RectangularOcclusion(**ATTACKS[arm])
    if arm in ("cutout", "cam-peak"):
        folder = positions.with_suffix("")
        folder.mkdir(parents=True, exist_ok=True)
        search = PointSearch(budget=4)  # neither place nor colour of its points is used
        mined = mine_positions(teacher, data, folder / "mined.safetensors", search=search, progress=False)
        if arm == "cutout":  # DeVries and Taylor 2017: any pixel is the centre, borders clip the square
            return RandomPlaceErase(mined, **SETTINGS)
        return PointAdversarialErase(arm_positions(arm, mined, teacher, data, folder, progress=False), **SETTINGS)
    if arm.startswith("random-matched"):
        options = VARIANTS.get(arm.removeprefix("random-matched").strip("-"), {})
        return PointAdversarialErase(None, **SETTINGS | options)  # every image a miss: at random, inside the image
    if arm == "patch":
        search = PointSearch(objective="patch", patch=SIZE, budget=20)  # as `pasm-aug run` has it
        return PointAdversarialErase(
            mine_positions(teacher, data, positions, search=search, progress=False), **SETTINGS
        )
    _, budget, *variant = arm.split("-")
    options = VARIANTS[variant[0]] if variant else {}
    kind = GrowingErase if variant == ["growing"] else OnlineAdversarialErase
    return kind(budget=int(budget), **SETTINGS | options)


def worst_case(model: nn.Module, data: Any) -> float:
    """Share of images that stay right wherever the square stands."""
    found = evaluate_occlusion(model, data, sizes=(SIZE,), fills=("grey",), bands=False, worst_only=True)
    return found.squares[0].worst


def cell(arm: str, seed: int, beta: float, teacher: nn.Module, data: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Train and score one arm."""
    started = time.perf_counter()
    student, erase = copied(teacher), erasing(arm, teacher, data["train"], folder / f"positions-{seed}.safetensors")
    mined = time.perf_counter() - started
    epochs = LONG if arm.endswith("long") else EPOCHS
    view = PairedView(erase, v2.RandomHorizontalFlip())
    trained = train(
        student,
        data["train"],
        augment=view,
        teacher=teacher,
        loss=functools.partial(distillation_loss, beta=beta),
        epochs=epochs,
        lr=LR,
        seed=seed,
        progress=False,
    )
    scores = {name: evaluate(student, split).accuracy for name, split in data.items() if name != "train"}
    scores |= {name: worst_case(student, data[split]) for name, split in {"worst": "test", "val_worst": "val"}.items()}
    share = trained.history[-1].get("erased_share", 0.0)
    return {
        "arm": arm,
        "seed": seed,
        "epochs": epochs,
        "lr": LR,
        "beta": beta,
        **{name: round(value, 5) for name, value in scores.items()},
        "erased_share": share,
        "mine_seconds": round(mined, 1),
        "train_seconds": round(sum(row["seconds"] for row in trained.history), 1),
    }


def run(args: argparse.Namespace, done: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The cells that are not done, until the time is over."""
    data, until = splits(args.data, args.root), time.monotonic() + 60 * args.minutes
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    about = {"commit": commit, "versions": versions(), "machine": machine()}
    have = {(row["seed"], row["arm"], row.get("beta", BETA)) for row in done}
    for seed in args.seeds:
        number = seed % TEACHERS if args.data == "fer2013" else seed
        for arm in args.arms.split(","):
            if (seed, arm, args.beta) in have:
                continue
            if time.monotonic() > until:
                return
            teacher = teacher_of(args.work, number, data)
            yield {
                "data": args.data,
                "teacher": number,
                **cell(arm, seed, args.beta, teacher, data, args.work),
                **about,
            }


def report(rows: list[dict[str, Any]], lead: str) -> str:
    """Means of the arms, and ``lead`` against the others on the same seeds."""
    for row in rows:  # the mean over what hides the faces
        for prefix in ("", "val_"):
            if all(prefix + name in row for name in HIDDEN):
                row[f"{prefix}hidden"] = float(np.mean([row[prefix + name] for name in HIDDEN]))
    columns = ("val", "val_worst", "val_hidden", "test", "worst", *HIDDEN, "hidden")
    scores = [name for name in columns if all(name in row for row in rows)]
    by_arm: dict[str, dict[int, dict[str, Any]]] = {}
    for row in rows:
        by_arm.setdefault(row["arm"], {})[row["seed"]] = row
    means = [
        {
            "arm": arm,
            "seeds": len(cells),
            **{name: 100 * float(np.mean([row[name] for row in cells.values()])) for name in (*scores, "erased_share")},
            "seconds": float(np.mean([row["mine_seconds"] + row["train_seconds"] for row in cells.values()])),
        }
        for arm, cells in by_arm.items()
    ]
    titles = {"arm": "arm", "seeds": "seeds", **{name: f"{name}|.1f" for name in scores}}
    titles |= {"erased_share": "pixels erased, %|.1f", "seconds": "seconds|.0f"}
    return table(titles, means) + "\n\n" + gains(by_arm, lead, scores)


def gains(by_arm: dict[str, dict[int, dict[str, Any]]], lead: str, scores: list[str]) -> str:
    """A table of ``lead`` minus every other arm on the same seeds, in points with the interval of their mean."""
    rows = []
    for arm, cells in by_arm.items():
        both = sorted(cells.keys() & by_arm.get(lead, {}).keys())
        if arm != lead and len(both) > 1:
            row = {"arm": f"{lead} − {arm}", "seeds": str(len(both))}
            for name in scores:
                apart = [100 * (by_arm[lead][seed][name] - cells[seed][name]) for seed in both]
                half = student.ppf(0.975, len(both) - 1) * np.std(apart, ddof=1) / len(both) ** 0.5
                row[name] = f"{np.mean(apart):+.2f} ± {half:.2f}"
            rows.append(row)
    return table({"arm": "points", "seeds": "seeds", **{name: name for name in scores}}, rows)


def seeds(text: str) -> list[int]:
    """``"5"``: the first five; ``"9,12"``: these."""
    return list(range(int(text))) if text.isdigit() else [int(part) for part in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=("fer2013", "synthetic"), default="fer2013")
    parser.add_argument("--root", type=Path, help="of FER2013")
    parser.add_argument("--work", type=Path, default=Path("runs/online_gain"), help="keeps teachers and mined points")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seeds", type=seeds, default=range(5), help="how many, or which: 5 or 9,12")
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--beta", type=float, default=BETA, help="weight of the teacher's logits")
    parser.add_argument("--report", action="store_true", help="print the tables of what is done")
    parser.add_argument("--lead", default="online-4", help="the arm that is compared with the others")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    out = args.out or Path(__file__).parent / "results" / f"online_gain-{args.data}.jsonl"
    shown = ("seed", "arm", "test", "worst", "train_seconds")
    done = campaign(out, functools.partial(run, args), shown, go_on=not args.report)
    print(report([row for row in done if row.get("beta", BETA) == args.beta], args.lead))


if __name__ == "__main__":
    main()
