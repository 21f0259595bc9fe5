"""The options that ``pasm-aug run`` and ``pasm-aug train`` share, in the groups that ``--help`` shows."""

from __future__ import annotations

import argparse

from pasm_aug.cli.options.fields import add_fields
from pasm_aug.cli.options.groups import SEARCH_BUDGET, Switch, add_machine
from pasm_aug.core.errors import UserError
from pasm_aug.core.parsers import path
from pasm_aug.rounds import options
from pasm_aug.rounds.arms import GEOMETRIES, QUERIES, square_of
from pasm_aug.training.tracking import check_installed


def add_start(parser: argparse.ArgumentParser, *, kept: str) -> argparse._ArgumentGroup:
    group = parser.add_argument_group("start")
    group.add_argument(
        "--options",
        metavar="FILE",
        type=path,
        help="read options from a .yaml, .toml or .json file, by their long names (epochs: 12); an option on the "
        f"command line wins. Every --out gets a {kept} that works here",
    )
    group.add_argument(
        "--dry-run",
        action="store_true",
        help="try one batch of every stage, say how long all of it will take, and keep nothing",
    )
    return group


def add_erasing(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("erasing (Algorithm 1, lines 7 and 8)")
    add_fields(group, options.RoundOptions, "erasing")


BASELINES = {  # of `run`, by method
    "pasm": "none,random,random-matched",
    "asm": "plain",
    "pasm+asm": "asm,random-matched,plain",
}
TEACHER_EPOCHS = {"pasm": 32, "asm": 60, "pasm+asm": 60}  # ASM pays where others know wrong labels by heart


def add_method(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("labels that cannot be trusted (Adaptive Sample Mining, arXiv 2310.05618)")
    group.add_argument(
        "--method",
        choices=tuple(BASELINES),
        default="pasm",
        help="pasm: believe all labels; asm: two networks sort them into clean, ambiguous and noise before every epoch "
        "and learn from each kind in its own way, erasing nothing; pasm+asm: the same, and what --augment erases is "
        "erased where the label is believed. The model becomes a pair of two. It pays once plain training would learn "
        "wrong labels by heart: in 60 epochs rather than 20",
    )
    add_fields(group, options.RoundOptions, "asm")


def settle_method(args: argparse.Namespace) -> None:
    """Fill in what follows from ``--method``: the arm ``asm`` erases nothing; two networks, trained for longer."""
    if args.method == "asm":
        if args.augment not in ("asm", "none", "online"):  # what the commands take unless told otherwise
            raise UserError(f"--method asm erases nothing, got --augment {args.augment}: --method pasm+asm erases too")
        args.augment = "asm"
    elif args.augment == "asm":
        args.method = "asm"
    if args.method != "pasm" and not args.model.startswith("pair:"):
        args.model = f"pair:{args.model}"
    if getattr(args, "teacher_epochs", 0) is None:  # of run
        args.teacher_epochs = TEACHER_EPOCHS[args.method]


def method_of(args: argparse.Namespace) -> dict[str, str]:
    """Keywords of :class:`~pasm_aug.rounds.options.RoundOptions` that say how networks are trained, and on what."""
    return {"method": "pasm" if args.method == "pasm" else "asm", "augment": args.augment}


def add_training(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("training (section IV-B; Eq. 4)")
    add_geometry(group)
    add_fields(group, options.RoundOptions, "training", first="training")
    group = parser.add_argument_group("noisy labels, rare classes, overfitting (all off by default)")
    add_fields(group, options.RoundOptions, "care", first="loss")
    group = add_machine(parser)
    add_fields(group, options.RoundOptions, "machine")
    group.add_argument("--tensorboard", action=Switch, help="the same as --tracker tensorboard")
    group.add_argument(
        "--deterministic",
        action=Switch,
        help="the same numbers from every run on a GPU too, at some speed; on a CPU they are the same anyway",
    )


def add_geometry(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--geometry",
        choices=tuple(GEOMETRIES),
        default="flip",
        help="how training images are moved by chance. "
        + "; ".join(f"{name}: {text}" for name, text in GEOMETRIES.items()).replace("%", "%%"),
    )


def settle_square(args: argparse.Namespace) -> None:
    """Fill in what suits the arm where size and fill of the square, or the budget, are not given.

    Raises:
        ValueError: a share of a query.
    """
    square, online = square_of(args.augment, size=args.mask_size, value=args.value), args.augment == "online"
    args.mask_size, args.value = square["size"], square["value"]
    if args.budget is None:
        args.budget = QUERIES if online else SEARCH_BUDGET
    if online and args.budget % 1:
        raise UserError(f"--budget must be a whole number of squares with --augment online, got {args.budget:g}")
    args.queries = int(args.budget) if online else QUERIES


def check_training(args: argparse.Namespace) -> None:
    """What can be seen to be wrong before any image is read.

    Raises:
        ValueError: a warm-up longer than a training; two trackers, or no package for one.
    """
    shortest = args.epochs if getattr(args, "teacher", None) else min(args.epochs, getattr(args, "teacher_epochs", 1e9))
    if args.warmup > shortest:
        raise UserError(f"--warmup must be at most the {shortest} epochs of the shortest training, got {args.warmup:g}")
    if args.tensorboard:
        if args.tracker not in (None, "tensorboard"):
            raise UserError(f"--tensorboard is --tracker tensorboard, got --tracker {args.tracker} beside it")
        args.tracker = "tensorboard"
    if args.tracker:
        check_installed(args.tracker)
