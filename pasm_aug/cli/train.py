"""``pasm-aug train``: one network, with or without a teacher and mined positions."""

from __future__ import annotations

import argparse

from pasm_aug.cli.options.groups import add_data, add_model
from pasm_aug.cli.options.network import OWN
from pasm_aug.cli.options.noise import add_noise
from pasm_aug.cli.options.training import add_erasing, add_method, add_start, add_training
from pasm_aug.core.parsers import at_least, path
from pasm_aug.rounds.arms import MINED


def add_train(parser: argparse.ArgumentParser) -> None:
    """The options of ``pasm-aug train``."""
    start = add_start(parser, kept="train.yaml")
    start.add_argument("--out", metavar="DIR", type=path, required=True, help="folder of the trained network")
    add_noise(add_data(parser))
    add_model(parser)
    group = parser.add_argument_group("distilling")
    group.add_argument(
        "--teacher",
        metavar="DIR|FILE",
        type=path,
        help=f"folder of a trained network whose logits on the clean image enter the loss (Eq. 4), {OWN}",
    )
    group.add_argument(
        "--positions",
        metavar="FILE",
        type=path,
        help="cache of `pasm-aug mine`; needed by --augment " + ", ".join(MINED),
    )
    group.add_argument(
        "--budget",
        metavar="K",
        type=at_least(0, float),
        help="squares that --augment online tries exactly for each image in each step (default: 4)",
    )
    add_erasing(parser)
    add_method(parser)
    add_training(parser)
    parser.set_defaults(augment="none", epochs=40, lr=0.05)


def train(args: argparse.Namespace) -> None:
    """Train one network into a folder, or say that it lies there."""
    from pasm_aug.cli.fit import fit_into_folder  # loads torch: not for --help

    fit_into_folder(args, add_train)
