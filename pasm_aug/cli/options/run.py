"""The options of ``pasm-aug run`` and ``pasm-aug train``, in the groups that ``--help`` and ``run.yaml`` show."""

from __future__ import annotations

import argparse
from pathlib import Path

from pasm_aug.cli.options.groups import PAPER, add_data, add_erasing, add_model, add_search, at_least, ratio
from pasm_aug.cli.options.training import add_care, add_training, add_training_machine
from pasm_aug.rounds.arms import MINED


def add_run(parser: argparse.ArgumentParser) -> None:
    """All options of ``run``."""
    start = add_start(parser, kept="run.yaml")
    start.add_argument(
        "--out", metavar="DIR", type=Path, help="run folder; a begun run is resumed (default: runs/DATA)"
    )
    start.add_argument(
        "--preset",
        choices=("paper",),
        help="paper: "
        + ", ".join(
            f"{k.replace('_', '-')} {v:.4g}" if isinstance(v, float) else f"{k.replace('_', '-')} {v}"
            for k, v in PAPER.items()
        )
        + "; options given beside it win",
    )
    add_data(parser)
    add_model(parser)
    add_rounds(parser)
    add_search(parser)
    add_erasing(parser)
    add_training(parser, epochs=6, lr=0.01)
    add_care(parser)
    add_training_machine(parser)


def add_train(parser: argparse.ArgumentParser) -> None:
    """All options of ``train``."""
    start = add_start(parser, kept="train.yaml")
    start.add_argument("--out", metavar="DIR", type=Path, required=True, help="folder of the trained network")
    add_data(parser)
    add_model(parser)
    group = parser.add_argument_group("distilling")
    group.add_argument(
        "--teacher", metavar="DIR", type=Path, help="its logits on the clean image enter the loss (Eq. 4)"
    )
    group.add_argument(
        "--positions",
        metavar="FILE",
        type=Path,
        help="cache of `pasm-aug mine`; needed by --augment " + ", ".join(MINED),
    )
    add_erasing(parser)
    parser.set_defaults(augment="none")
    add_training(parser, epochs=40, lr=0.05)
    add_care(parser)
    add_training_machine(parser)


def add_start(parser: argparse.ArgumentParser, *, kept: str) -> argparse._ArgumentGroup:
    group = parser.add_argument_group("start")
    group.add_argument(
        "--options",
        metavar="FILE",
        type=Path,
        help="read options from a .yaml, .toml or .json file, by their long names (epochs: 12); an option on the "
        f"command line wins. Every --out gets a {kept} that works here",
    )
    group.add_argument(
        "--dry-run",
        action="store_true",
        help="try one batch of every stage, say how long all of it will take, and keep nothing",
    )
    return group


def add_rounds(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("rounds (Algorithm 1)")
    group.add_argument(
        "--rounds",
        metavar="N",
        type=at_least(0, int),
        help="exactly so many; without it, until validation stops improving, 8 at most (the paper, by hand: 3 on "
        "RAF-DB, 2 on FER2013)",
    )
    group.add_argument(
        "--patience",
        metavar="N",
        type=at_least(1, int),
        default=1,
        help="without --rounds: stop after so many rounds in a row without a gain; 2 costs a round more and forgives "
        "one bad one",
    )
    group.add_argument(
        "--margin",
        metavar="Z",
        type=at_least(0, float),
        default=1.0,
        help="a gain counts from so many standard errors on; 0 takes any gain, 2 only what is hardly chance",
    )
    group.add_argument(
        "--keep-points",
        metavar="K",
        type=at_least(1, int),
        default=1,
        help="erase at the points of the last K rounds, one of them drawn each time; 1: this round's alone (the paper)",
    )
    group.add_argument(
        "--refresh",
        metavar="T",
        type=ratio,
        default=0.0,
        help="from round 2 on, mine again only the images whose true-class probability moved by T or more, and keep "
        "the other points; 0.01 saves about 40 %% of the search for 2 %% of its drop; 0: mine all (the paper)",
    )
    group.add_argument("--teacher", metavar="DIR", type=Path, help="start from this trained network (a round's folder)")
    group.add_argument("--miner", metavar="DIR", type=Path, help="mine with this network instead (Table 7)")
    group.add_argument(
        "--student",
        choices=("refine", "scratch"),
        default="refine",
        help="refine: from the teacher's weights (the paper); scratch: from new ones",
    )
    group.add_argument(
        "--teacher-epochs", metavar="E", type=at_least(1, int), default=32, help="epochs of the first teacher"
    )
    group.add_argument(
        "--teacher-lr",
        metavar="LR",
        type=at_least(0, float),
        default=0.05,
        help="learning rate of the first teacher",
    )
    group.add_argument(
        "--baselines",
        metavar="ARMS",
        default="none,random",
        help="arms to compare with, same budget, comma-separated; an empty string for none of them",
    )
