"""Options that would change nothing beside the others are refused: whoever gives one expects it to. Loads no torch."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from pasm_aug.cli.options.groups import PAPER, SEARCH_BUDGET
from pasm_aug.cli.options.training import TEACHER_EPOCHS
from pasm_aug.core.errors import UserError
from pasm_aug.core.options import leaves
from pasm_aug.rounds.arms import BARE, MINED, ONE_ROUND, matched_to, mines, square_of
from pasm_aug.rounds.options import RoundOptions


def check_run(args: argparse.Namespace, names: Sequence[str]) -> None:
    """Refuse what has no effect on a run of these arms, the first of which leads; all defaults are filled in.

    Raises:
        ValueError: names the option, and what it needs.
    """
    mining = any(mines(arm, matched_to(names)) for arm in names)
    rounds = args.augment not in ONE_ROUND if args.rounds is None else args.rounds > 1
    usual = {"search": "seeded", "objective": "true_prob", "miner": None, "refresh": 0.0, "keep_points": 1}
    _needs(args, usual, mining, "an arm that mines points, as --augment point does", names)
    _needs(args, {"refresh": 0.0, "keep_points": 1}, rounds, "several rounds", names)
    _needs(args, {"refresh": 0.0}, args.miner is None, "to mine with the teacher, without --miner", names)
    measured = args.rounds is None and args.augment not in ONE_ROUND
    _needs(args, {"patience": 1, "margin": 1.0}, measured, "rounds that end by themselves, without --rounds", names)
    first = {"teacher_epochs": TEACHER_EPOCHS[args.method], "teacher_lr": 0.05}
    _needs(args, first, args.teacher is None, "a first teacher that is trained here", names)
    if args.augment != "online":
        spent = mining and args.search == "seeded"
        _needs(args, {"budget": SEARCH_BUDGET}, spent, "--search seeded and an arm that mines points", names)
    _check_erasing(args, names)


def check_train(args: argparse.Namespace) -> None:
    """Refuse what has no effect on the training of one network.

    Raises:
        ValueError: names the option, and what it needs.
    """
    names = [args.augment]
    _needs(args, {"positions": None}, args.augment in MINED, f"--augment {', '.join(MINED)}", names)
    _needs(args, {"beta": 0.1}, args.teacher is not None, "--teacher", names)
    if args.augment != "online":
        _needs(args, {"budget": SEARCH_BUDGET}, False, "--augment online", names)
    _check_erasing(args, names)


def _check_erasing(args: argparse.Namespace, names: Sequence[str]) -> None:
    """What both commands share: the square, and how labels are sorted."""
    squares = [arm for arm in names if arm not in (*BARE, "random")]
    _needs(args, {"p": 1.0}, bool(squares), "an arm that erases a square or a region", names)
    usual = square_of(args.augment)
    square = {"mask_size": usual["size"], "value": usual["value"]}
    _needs(args, square, squares not in ([], ["cam-region"]), "an arm that erases a square", names)
    _needs(args, {"hardness": "worst"}, "online" in names, "--augment online", names)
    if isinstance(args.mask_size, int) and args.mask_size >= args.image_size:
        raise UserError(f"--mask-size {args.mask_size} covers all of the {args.image_size}×{args.image_size} images")
    sorting = {
        leaf.dest: leaf.default for leaf in leaves(RoundOptions) if leaf.path[0] == "asm" and leaf.about["group"]
    }
    _needs(args, sorting, args.method != "pasm", "--method asm or pasm+asm", names)
    _needs(args, {"asm_erase": "clean"}, args.method == "pasm+asm", "--method pasm+asm", names)
    _needs(args, {"alpha": 1.0}, args.method == "pasm", "--method pasm: the loss of ASM has no such weight", names)


def _needs(args: argparse.Namespace, usual: Mapping[str, Any], met: bool, what: str, names: Sequence[str]) -> None:
    """Refuse the first option that is not as usual, unless what it needs is there; a preset's is made so."""
    preset = PAPER if getattr(args, "preset", None) else {}
    for name, value in usual.items():
        given = getattr(args, name)
        if met or given == value:
            continue
        if given != preset.get(name, value):
            raise UserError(f"--{name.replace('_', '-')} needs {what}; got {', '.join(names)}")
        setattr(args, name, value)  # else what the run writes down, which knows of no preset, would be refused
