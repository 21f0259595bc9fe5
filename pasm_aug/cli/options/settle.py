"""What follows from the options of ``run`` and ``train``, filled in before anything is opened; loads no torch."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from pasm_aug.cli.options.groups import default_image_size
from pasm_aug.cli.options.network import check_classes
from pasm_aug.cli.options.noise import settle_noise
from pasm_aug.cli.options.training import BASELINES, check_training, settle_method, settle_square
from pasm_aug.core.errors import UserError
from pasm_aug.rounds.arms import MINED, check_arm, mines


def settle_run(args: argparse.Namespace) -> list[str]:
    """Fill in what was not given of ``run``; returns the arms, the first of which leads.

    Raises:
        ValueError: options that cannot be.
    """
    _settle(args)
    args.out = args.out or Path("runs") / args.data
    names = [args.augment, *(arm for arm in args.baselines.split(",") if arm and arm != args.augment)]
    for arm in names:
        check_arm(arm)
    _check_mining(args, names)
    return names


def _check_mining(args: argparse.Namespace, names: list[str]) -> None:
    """Refuse what says how points are mined where no arm mines any, instead of passing over it in silence."""
    usual = {"search": "seeded", "objective": "true_prob", "miner": None, "refresh": 0.0, "keep_points": 1}
    if args.preset:  # its search is of its own arm
        del usual["search"]
    given = [f"--{name.replace('_', '-')}" for name, value in usual.items() if getattr(args, name) != value]
    if given and not any(mines(arm, matched_to(names)) for arm in names):
        raise UserError(f"{given[0]} needs an arm that mines points, as --augment point does; got {', '.join(names)}")


def matched_to(names: Sequence[str]) -> str:
    """The arm whose square ``random-matched`` erases elsewhere: the one that leads, or the paper's."""
    return "online" if names[0] == "online" else "point"


def settle_train(args: argparse.Namespace) -> None:
    """Fill in what was not given of ``train``.

    Raises:
        ValueError: options that cannot be, or that need another one beside them.
    """
    _settle(args)
    if args.augment in MINED and args.positions is None:
        raise UserError(f"--augment {args.augment} needs --positions FILE, which `pasm-aug mine` writes")
    if args.augment.startswith("cam-") and args.teacher is None:
        raise UserError(f"--augment {args.augment} needs --teacher DIR, whose class activation maps it follows")


def _settle(args: argparse.Namespace) -> None:
    check_training(args)
    check_classes(args, "teacher", "miner")
    settle_noise(args)
    fill_in(args)


def fill_in(args: argparse.Namespace) -> None:
    """Fill in what follows from other options and was not given."""
    settle_method(args)
    if getattr(args, "baselines", "") is None:  # of run
        args.baselines = BASELINES[args.method]
    args.image_size = default_image_size(args)
    settle_square(args)
