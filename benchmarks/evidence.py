"""Does it pay? A campaign that grows: regimes × arms × seeds, each cell done once, on any machine.

    python benchmarks/evidence.py --root FER2013 [--regimes small-8k,faces,digits] [--minutes 60]
    python benchmarks/evidence.py --report

A cell is one arm of ``pasm_aug.run_rounds``, forked from the first teacher of its regime and seed: same epochs, same
order of samples, same restarts of the learning rate. Its result is one line of ``results/evidence.jsonl``: accuracy on
validation and test, under a square (mean and worst case), seconds of every stage, pixels erased, which test images are
right, settings, versions, machine, commit. All settings stand in ``evidence.yaml``. ``--minutes`` ends the campaign at
the next cell; run again, it goes on where it stopped.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from common import campaign, machine, versions
from evidence_models import Digits
from evidence_report import report
from torchvision.transforms import v2

from pasm_aug import PointSearch, build_model, run_rounds
from pasm_aug.data.fer2013 import FER2013
from pasm_aug.data.in_memory import InMemory
from pasm_aug.data.synthetic.dataset import SyntheticExpressions
from pasm_aug.rounds.results import RoundResult

HERE = Path(__file__).parent
BUDGET = 20  # forwards an image of the search, as `pasm-aug run` has it


def splits(regime: dict[str, Any], root: Path | None) -> dict[str, Any]:
    """``train``, ``val`` and ``test`` of a regime."""
    size, limit = regime["size"], regime.get("limit")
    head = None if size == 48 else v2.Resize((size, size))
    found: dict[str, Any] = {}
    for name in ("train", "val", "test"):
        if regime["data"] == "digits":
            found[name] = Digits(name, size)
            continue
        if regime["data"] == "synthetic":
            data: Any = SyntheticExpressions(name, size=size)
        elif root is None:
            raise SystemExit("evidence.py: this regime needs --root, the folder of FER2013")
        else:
            data = FER2013(root, name, transform=head)
            data = data.limited(limit) if limit and name == "train" else data
        found[name] = InMemory(data, name=name, progress=False)
    return found


def options_of(settings: dict[str, Any], regime: dict[str, Any], arm: dict[str, Any], seed: int) -> dict[str, Any]:
    """Keywords of ``run_rounds`` for an arm."""
    student = settings["student"] | regime.get("student", {})
    given = settings["square"] | student | {k: v for k, v in arm.items() if k not in ("objective", "longer")}
    given["epochs"] *= arm.get("longer", 1)
    search = PointSearch(objective=arm.get("objective", "true_prob"), patch=given["size"], budget=BUDGET, seed=seed)
    matched = {"matched_to": "online"} if arm["augment"] == "random-matched" else {}
    teacher = settings["teacher"] | regime.get("teacher", {})
    return {"rounds": 1, "search": search, "teacher_training": teacher} | given | matched


def arms_of(settings: dict[str, Any], name: str) -> dict[str, dict[str, Any]]:
    """The arms of a regime, by name."""
    return settings[settings["regimes"][name].get("arms", "arms")]


def cells(settings: dict[str, Any], names: list[str], wanted: list[str] | None) -> Iterator[tuple[str, int, str]]:
    """(regime, seed, arm) in the order in which they are done: seed by seed, so that few seeds are complete."""
    for name in names:
        for seed in range(settings["regimes"][name]["seeds"]):
            for arm in wanted or arms_of(settings, name):
                yield name, seed, arm


def key_of(settings: dict[str, Any], name: str, arm: str) -> str:
    """What a cell's result depends on besides its seed: another setting makes another cell."""
    common = {k: settings[k] for k in ("teacher", "student", "square")}
    regime = {k: v for k, v in settings["regimes"][name].items() if k not in ("seeds", "arms")}
    return hashlib.sha256(
        json.dumps([common, regime, arms_of(settings, name)[arm]], sort_keys=True).encode()
    ).hexdigest()[:12]


def right_images(result: RoundResult) -> str:
    """Which test images are right, a bit each, in hexadecimal."""
    assert result.test is not None
    assert result.test.predictions is not None
    labels, predicted = result.test.predictions
    return np.packbits(labels == predicted).tobytes().hex()


def cell(
    settings: dict[str, Any], name: str, seed: int, arm: str, data: dict[str, Any], work: Path
) -> list[dict[str, Any]]:
    """Do one arm; a row for each of its rounds."""
    regime, folder = settings["regimes"][name], work / name / f"seed-{seed}"
    classes = len(data["train"].classes)

    def model() -> Any:
        return build_model(regime["model"], classes, weights=regime.get("weights"), seed=None)

    common: dict[str, Any] = {"seed": seed, "geometry": v2.RandomHorizontalFlip() if name != "digits" else None}
    common |= {"progress": False, "device": regime.get("device")}
    options = options_of(settings, regime, arms_of(settings, name)[arm], seed)
    bare = options_of(settings, regime, {"augment": "none", "rounds": 0}, seed)  # the same teacher for all arms
    first = run_rounds(model, data, out=folder / "teacher", **common | bare)[0]
    results = run_rounds(model, data, out=folder / arm, teacher=first, **common | options | {"teacher_training": None})
    return [
        {
            "round": r.round,
            "val": round(r.val.accuracy, 6),
            "test": round(r.test.accuracy, 6) if r.test else None,
            "occluded": {k: round(v, 6) for k, v in (r.occluded or {}).items()},
            "seconds": {k: round(v, 1) for k, v in r.seconds.items()},
            "erased_share": r.erased_share,
            "picked": r.improved,
            "right": right_images(r),
        }
        for r in results
    ]


def run(args: argparse.Namespace, settings: dict[str, Any], done: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The rows of the cells that are not done, until the time is over."""
    until, opened = time.monotonic() + 60 * args.minutes, {}
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    about = {"commit": commit, "versions": versions(), "machine": machine()}
    have = {(row["key"], row["seed"]) for row in done}
    arms = args.arms.split(",") if args.arms else None
    for name, seed, arm in cells(settings, args.regimes.split(","), arms):
        key = key_of(settings, name, arm)
        if (key, seed) in have:
            continue
        if time.monotonic() > until:
            return
        if name not in opened:
            opened = {name: splits(settings["regimes"][name], args.root)}
        for row in cell(settings, name, seed, arm, opened[name], args.work):
            yield {"key": key, "regime": name, "seed": seed, "arm": arm, **row, **about}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help="of FER2013")
    parser.add_argument("--regimes", default="small-8k,faces,digits", help="of evidence.yaml, comma-separated")
    parser.add_argument("--arms", help="of evidence.yaml (default: all)")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--work", type=Path, default=Path("runs/evidence"), help="keeps networks and points")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "evidence.jsonl")
    parser.add_argument("--report", action="store_true", help="tables of what is done, and figures/evidence-*.png")
    parser.add_argument("--lead", default="online-4", help="the arm that is compared with all others")
    args = parser.parse_args()
    torch.set_num_threads(1)
    settings = yaml.safe_load((HERE / "evidence.yaml").read_text())
    shown = ("regime", "seed", "arm", "round", "val", "test")
    done = campaign(args.out, functools.partial(run, args, settings), shown, go_on=not args.report)
    wanted = {key_of(settings, name, arm) for name in settings["regimes"] for arm in arms_of(settings, name)}
    print(report([row for row in done if row["key"] in wanted], args.lead, HERE / "figures"))


if __name__ == "__main__":
    main()
