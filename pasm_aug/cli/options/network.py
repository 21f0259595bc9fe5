"""The options that name a trained network, and that say what a file of somebody's weights is."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from pasm_aug.core.errors import UserError
from pasm_aug.core.parsers import names, path

ENDINGS = (".pt", ".pth", ".bin", ".ckpt", ".safetensors")  # of files of weights
OWN = "or a FILE of your own weights (.pt, .pth, .safetensors) of --model, with --classes"


def add_network(
    group: argparse._ActionsContainer, flag: str, *, help: str = "folder of the trained network", **options: Any
) -> None:
    """``flag``, ``--model`` and ``--classes``, where a command trains no network; ``options`` are of ``flag``."""
    group.add_argument(flag, metavar="DIR|FILE", type=path, help=f"{help}, {OWN}", **options)
    group.add_argument(
        "--model",
        metavar="NAME",
        help="of a FILE of weights: its architecture, a torchvision classifier (resnet18), timm:NAME, "
        "package.module:factory or small; its input is normalised as for ImageNet (else: `pasm-aug import-model`)",
    )
    add_classes(group)


def add_classes(group: argparse._ActionsContainer, *, required: bool = False) -> None:
    group.add_argument(
        "--classes",
        metavar="A,B,…",
        type=names,
        required=required,
        help="of a FILE of weights: names of its outputs in their order, or a text file with one a line",
    )


def check_classes(args: argparse.Namespace, *options: str) -> None:
    """Raise a ValueError for ``--classes`` where none of the options names a file that they could be of."""
    paths = [getattr(args, option, None) for option in options]
    if args.classes and not any(path is not None and is_weights(path) for path in paths):
        raise UserError(f"--classes goes with --{' or --'.join(options)} FILE, a file of weights")


def is_weights(path: Path) -> bool:
    """Whether a path means a file of weights, and no folder of ours."""
    folder = folder_of(path)
    return folder == path and not folder.is_dir() and (path.is_file() or path.suffix.lower() in ENDINGS)


def folder_of(path: Path) -> Path:
    """The folder of a trained network, of which a file in it may stand for the whole."""
    ours = path.name in ("model.json", "model.safetensors") and (path.parent / "model.json").exists()
    return path.parent if ours else path
