"""The options of the command line, in groups that the commands share; ``--help`` is written here."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from pasm_aug.arms import AUGMENTS

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
SEARCHES = ("seeded", "paper", "exhaustive")

# What the paper states (section IV); the search's size is Su et al.'s, the batch size and the epochs are ours.
PAPER: dict[str, Any] = {
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
        text = action.help or ""
        if action.default in (None, False, argparse.SUPPRESS) or "default" in text:
            return text
        return f"{text} (default: %(default)s)"


def share(text: str) -> float | int:
    """``31`` → pixels, ``0.14`` or ``31/224`` → share of the shorter side."""
    try:
        if "/" in text:
            above, below = text.split("/")
            value: float | int = float(above) / float(below)
        else:
            value = int(text) if text.isdigit() else float(text)
    except (ValueError, ZeroDivisionError):
        raise argparse.ArgumentTypeError(f"wanted pixels (31) or a share (0.14, 31/224), got {text!r}") from None
    if value <= 0 or (isinstance(value, float) and value > 1):
        raise argparse.ArgumentTypeError(f"wanted pixels of 1 or more, or a share in (0, 1], got {text!r}")
    return value


def fill(text: str) -> str | float:
    """``point``, ``mean``, ``random`` or a number."""
    if text in ("point", "mean", "random"):
        return text
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 255:
        raise argparse.ArgumentTypeError(f"wanted point, mean, random or a number in 0…255, got {text!r}")
    return value


def _at_least(low: float, kind: type) -> Any:
    def parse(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"wanted a number of at least {low}, got {text!r}") from None
        if not value >= low:
            raise argparse.ArgumentTypeError(f"wanted a number of at least {low}, got {text!r}")
        return value

    return parse


def add_data(parser: argparse.ArgumentParser, *, split: str | None = None) -> None:
    group = parser.add_argument_group("data")
    group.add_argument(
        "--data",
        choices=tuple(DATA),
        default="synthetic",
        help="; ".join(f"{name}: {text}" for name, text in DATA.items()),
    )
    group.add_argument("--root", metavar="DIR", type=Path, help="where the data set lies (not for synthetic)")
    group.add_argument(
        "--decoded",
        metavar="DIR",
        type=Path,
        help="keep the decoded, resized pictures in files there, for sets that do not fit into memory",
    )
    group.add_argument("--limit", metavar="N", type=_at_least(1, int), help="use at most N images of each split")
    group.add_argument(
        "--image-size",
        metavar="S",
        type=_at_least(8, int),
        help="images are resized to S×S (default: 48 for the small network, else 224, the paper's)",
    )
    if split:
        group.add_argument(
            "--split", choices=("train", "val", "test", "all"), default=split, help="which split; all: CK+ has it"
        )


def add_subset(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--subset",
        choices=("occlusion", "pose30", "pose45"),
        help="of RAF-DB's test pictures: the occluded ones, or those turned by more than 30° or 45° (Wang et al. 2020)",
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


def add_search(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
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
        type=_at_least(4, float),
        default=20,
        help="what the seeded search may spend on a picture, in forward passes: 20 finds about 96 %% of the best "
        "pixel's drop, 80 about 99 %%",
    )
    group.add_argument(
        "--objective",
        choices=("true_prob", "margin", "patch"),
        default="true_prob",
        help="true_prob: the pixel that costs the true class most of its probability (the paper); margin: most of its "
        "lead; patch: the square that does, of the size that is erased",
    )
    return group


def add_erasing(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("erasing (Algorithm 1, lines 7 and 8)")
    group.add_argument(
        "--augment",
        choices=tuple(AUGMENTS),
        default="point",
        help="; ".join(f"{name}: {text}" for name, text in AUGMENTS.items()),
    )
    group.add_argument("--p", type=float, default=1.0, help="share of the images erased; the paper erases all")
    add_mask_size(group)
    group.add_argument(
        "--value",
        metavar="V",
        type=fill,
        default="point",
        help="fill: point (the colour found), mean, random, or 0…255",
    )


def add_mask_size(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--mask-size",
        metavar="S",
        type=share,
        default=31 / 224,
        help="side of the square, in pixels or as a share of the image (default: 31/224; the paper: 23 to 39 at 224)",
    )


def add_training(parser: argparse.ArgumentParser, *, epochs: int, lr: float) -> None:
    group = parser.add_argument_group("training (section IV-B; Eq. 4)")
    group.add_argument(
        "--epochs", metavar="E", type=_at_least(1, int), default=epochs, help="epochs; in `run`, of each student"
    )
    group.add_argument(
        "--lr", type=_at_least(0, float), default=lr, help="learning rate, ×0.1 at 60 %% and 85 %% of the epochs"
    )
    group.add_argument("--batch-size", metavar="B", type=_at_least(2, int), default=32, help="images a step")
    group.add_argument("--alpha", type=_at_least(0, float), default=1.0, help="weight of the cross-entropy in Eq. 4")
    group.add_argument(
        "--beta",
        type=_at_least(0, float),
        default=0.1,
        help="weight of the distance to the teacher's logits in Eq. 4 (the paper: 0.5, 0.1, 0.01)",
    )


def add_machine(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("machine")
    group.add_argument(
        "--seed",
        type=_at_least(0, int),
        default=0,
        help="of weights, order, erasing and search; data splits do not depend on it",
    )
    group.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto: a GPU if there is one")
    group.add_argument("--precision", choices=("no", "bf16"), default="no", help="mixed precision in training")
    group.add_argument("--workers", metavar="W", type=_at_least(0, int), default=0, help="processes that load images")
    group.add_argument("--quiet", action="store_true", help="no progress bars")
