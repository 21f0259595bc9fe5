"""What follows from the options of ``run`` and ``train``, filled in before anything is opened; loads no torch."""

from __future__ import annotations

import argparse
from pathlib import Path

from pasm_aug.cli.options import effect
from pasm_aug.cli.options.groups import default_image_size
from pasm_aug.cli.options.network import check_classes
from pasm_aug.cli.options.noise import settle_noise
from pasm_aug.cli.options.training import BASELINES, check_training, settle_method, settle_square
from pasm_aug.core.errors import UserError
from pasm_aug.rounds.arms import MINED, check_arm


def settle_run(args: argparse.Namespace) -> list[str]:
    """Fill in what was not given of ``run``; returns the arms, the first of which leads.

    Raises:
        ValueError: options that cannot be.
    """
    _settle(args)
    args.out = args.out or Path("runs") / args.data
    check_place(args, args.out)
    names = [args.augment, *(arm for arm in args.baselines.split(",") if arm)]
    names = list(dict.fromkeys(names))  # each once
    for arm in names:
        check_arm(arm)
    if args.method == "pasm" and "asm" in names:
        raise UserError("--baselines asm needs --method asm or pasm+asm, which train a pair of networks; got pasm")
    effect.check_run(args, names)
    return names


def check_place(args: argparse.Namespace, out: Path) -> None:
    """Raise a ValueError if what is written to ``out`` would be a class of the data set at the next reading."""
    if args.data != "folder" or args.root is None or not out.resolve().is_relative_to(args.root.resolve()):
        return
    if not (args.root.is_dir() and {"train", "training"} & {path.name.lower() for path in args.root.iterdir()}):
        raise UserError(
            f"--out {out} lies in --root {args.root}, where it would be a class of the data set: choose a folder "
            "outside it"
        )


def settle_train(args: argparse.Namespace) -> None:
    """Fill in what was not given of ``train``.

    Raises:
        ValueError: options that cannot be, or that need another one beside them.
    """
    _settle(args)
    check_place(args, args.out)
    effect.check_train(args)
    if args.augment in MINED and args.positions is None:
        raise UserError(f"--augment {args.augment} needs --positions FILE, which `pasm-aug mine` writes")
    if args.augment.startswith("cam-") and args.teacher is None:
        raise UserError(f"--augment {args.augment} needs --teacher DIR, whose class activation maps it follows")


def _settle(args: argparse.Namespace) -> None:
    check_classes(args, "teacher", "miner")
    settle_noise(args)
    fill_in(args)
    check_training(args)


def fill_in(args: argparse.Namespace) -> None:
    """Fill in what follows from other options and was not given."""
    settle_method(args)
    if getattr(args, "baselines", "") is None:  # of run
        args.baselines = BASELINES[args.method]
    args.image_size = default_image_size(args)
    settle_square(args)
