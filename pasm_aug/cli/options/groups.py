"""The options of the command line, in groups that the commands share; ``--help`` is written here."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from pasm_aug.cli.options.network import add_classes
from pasm_aug.core.parsers import at_least, path

DATA = {
    "synthetic": "drawn faces, nothing to download",
    "fer2013": "the official CSV or folders",
    "ferplus": "FER2013 with the votes of fer2013new.csv",
    "rafdb": "RAF-DB's basic expressions",
    "ckplus": "CK+ sequences, or CK+48",
    "affectnet": "AffectNet's annotations or folders",
    "manifest": "a CSV of path,label[,split][,person]",
    "folder": "any images in class folders, with or without train/val/test",
}
SEARCH_BUDGET = 20.0  # forward passes an image
SEARCHES = ("seeded", "paper", "exhaustive")

# What the paper states (section IV); the search's size is Su et al.'s, the batch size and the epochs are ours.
PAPER: dict[str, Any] = {
    "augment": "point",
    "p": 1.0,
    "value": "point",
    "mask_size": 31 / 224,
    "search": "paper",
    "student": "refine",
    "lr": 0.01,
    "teacher_lr": 0.01,
    "alpha": 1.0,
    "beta": 0.1,
    "weights": "imagenet",
    "model": "resnet34",
    "image_size": 224,
}


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Shows every default, except where there is none to show."""

    def _get_help_string(self, action: argparse.Action) -> str:
        text, default = action.help or "", action.default
        if default is None or default is False or default == argparse.SUPPRESS or "default" in text:
            return text
        return f"{text} (default: %(default)s)"


class Switch(argparse.BooleanOptionalAction):
    """``--name`` and ``--no-name``, so that the command line can also switch off what a file of options switches on."""

    def __init__(self, option_strings: Sequence[str], dest: str, *, help: str, default: bool = False) -> None:
        super().__init__(option_strings, dest, default=default)
        self.help = help


def add_source(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--data",
        choices=tuple(DATA),
        default="synthetic",
        help="; ".join(f"{name}: {text}" for name, text in DATA.items()),
    )
    group.add_argument("--root", metavar="DIR", type=path, help="where the data set lies (not for synthetic)")
    group.add_argument("--limit", metavar="N", type=at_least(1, int), help="use at most N images of each split")
    group.add_argument(
        "--exclude",
        metavar="CSV",
        type=path,
        help="leave out these images: rows of suspects.csv from an audit, those that you found mislabelled (columns "
        "split and index)",
    )


def add_split(group: argparse._ArgumentGroup, default: str) -> None:
    group.add_argument(
        "--split", choices=("train", "val", "test", "all"), default=default, help="which split; all: CK+ has it"
    )


def add_data(parser: argparse.ArgumentParser, *, split: str | None = None) -> argparse._ArgumentGroup:
    group = parser.add_argument_group("data")
    add_source(group)
    group.add_argument(
        "--decoded",
        metavar="DIR",
        type=path,
        help="keep the decoded, resized images in files there, for sets that do not fit into memory",
    )
    group.add_argument(
        "--image-size",
        metavar="S",
        type=at_least(8, int),
        help="images are resized to S×S (default: 48 for the small network, else 224, the paper's)",
    )
    if split:
        add_split(group, split)
    return group


def default_image_size(args: argparse.Namespace) -> int:
    """The side of the images: as given, else 48 for the small network and the paper's 224 for others."""
    return args.image_size or (48 if args.model.removeprefix("pair:") == "small" else 224)


def add_subset(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--subset",
        choices=("occlusion", "pose30", "pose45"),
        help="of RAF-DB's test images: the occluded ones, or those turned by more than 30° or 45° (Wang et al. 2020)",
    )


def add_model(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("network")
    group.add_argument(
        "--model",
        default="small",
        help="small (a ResNet for 48×48), a torchvision classifier (the paper: resnet34, vgg16), timm:NAME, or "
        "package.module:factory",
    )
    group.add_argument(
        "--weights",
        metavar="W",
        default="none",
        help="initial weights: none, imagenet (downloads; the paper's choice), or a file or folder",
    )
    add_classes(group)


def add_search(parser: argparse.ArgumentParser, more: str = "") -> argparse._ArgumentGroup:
    group = parser.add_argument_group("search (section III-B, Eq. 2 and 3)")
    group.add_argument(
        "--search",
        choices=SEARCHES,
        default="seeded",
        help="seeded: every pixel and corner colour scored by surrogates, the best of them tried exactly; paper: "
        "differential evolution, population 400, 100 generations; exhaustive: every pixel and corner colour tried",
    )
    group.add_argument(
        "--budget",
        metavar="F",
        type=at_least(0, float),
        help="what the seeded search may spend on an image, in forward passes: 20 finds about 96 %% of the best "
        "pixel's drop, 80 about 99 %% (default: 20)" + more,
    )
    group.add_argument(
        "--objective",
        choices=("true_prob", "margin", "patch"),
        default="true_prob",
        help="true_prob: the pixel that costs the true class most of its probability (the paper); margin: most of its "
        "lead; patch: the square that does, of the size that is erased",
    )
    return group


def add_seed_and_device(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--seed",
        metavar="S",
        type=at_least(0, int),
        default=0,
        help="of weights, order, erasing and search; data splits do not depend on it",
    )
    group.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto: a GPU if there is one")


def add_machine(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    group = parser.add_argument_group("machine")
    add_seed_and_device(group)
    group.add_argument("--workers", metavar="W", type=at_least(0, int), default=0, help="processes that load images")
    group.add_argument("--quiet", action=Switch, help="no progress bars")
    return group
