"""``pasm-aug audit``: which labels of a data set are probably wrong?"""

from __future__ import annotations

import argparse

from pasm_aug.cli.options.fields import add_fields
from pasm_aug.cli.options.groups import add_data, add_machine, add_model
from pasm_aug.cli.options.network import OWN
from pasm_aug.cli.options.noise import add_noise
from pasm_aug.cli.options.training import add_geometry
from pasm_aug.core.parsers import at_least, path
from pasm_aug.training.options import LossOptions, TrainingOptions

FOLDS = 4


def add_audit(parser: argparse.ArgumentParser) -> None:
    """The options of ``pasm-aug audit``."""
    group = parser.add_argument_group("audit")
    group.add_argument(
        "--out",
        metavar="DIR",
        type=path,
        help="for suspects.csv and suspects.png; an existing audit goes on (default: runs/audit-DATA)",
    )
    who = group.add_mutually_exclusive_group()
    who.add_argument(
        "--folds",
        metavar="K",
        type=at_least(2, int),
        help="deal the images into K parts and let each be judged by a network that is trained on the others; "
        f"more: better networks, K times the time of a training (default: {FOLDS})",
    )
    who.add_argument(
        "--network",
        metavar="DIR|FILE",
        type=path,
        help=f"let this trained network judge, at once ({OWN}); one that was trained on the same images "
        "remembers their wrong labels, and hides them",
    )
    group.add_argument(
        "--top", metavar="N", type=at_least(1, int), default=48, help="images on the contact sheet, at most 1200"
    )
    group.add_argument(
        "--partitions",
        metavar="RUN",
        type=path,
        help="a run whose training sorted the samples, or its partition.safetensors: tell how many epochs called each "
        "label noise; needs --split train",
    )
    data = add_data(parser)
    data.add_argument(
        "--split",
        choices=("train", "val", "test", "all"),
        default="all",
        help="whose labels; all: of every image that the data set has",
    )
    add_noise(data)
    add_model(parser)
    group = parser.add_argument_group(
        "training (of the folds' networks; few images, few epochs: what fits wrong labels judges worse)"
    )
    add_geometry(group)
    add_fields(group, TrainingOptions, "training")
    for keyword in ("sampling", "ema"):
        add_fields(group, TrainingOptions, "care", only=keyword)
    add_fields(group, LossOptions, "care", only="label_smoothing")
    add_fields(add_machine(parser), TrainingOptions, "machine")
    parser.set_defaults(epochs=20, lr=0.05)


def audit(args: argparse.Namespace) -> None:
    """Rank the labels of a data set by how probably they are wrong; write a table and a contact sheet."""
    from pasm_aug.cli.find_suspects import audit_into_folder  # loads torch: not for --help

    if args.network is None:
        args.folds = args.folds or FOLDS
    audit_into_folder(args)
