"""What every command opens before it works: the data, the network, and a word to the user."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from pasm_aug.data import open_dataset
from pasm_aug.identity import dataset_digest
from pasm_aug.loading import InMemory
from pasm_aug.models import IMAGENET_MEAN, IMAGENET_STD, build_model
from pasm_aug.processes import process_state

IN_MEMORY = 2 << 30  # bytes of decoded pictures above which they are read from the disk again and again


def say(text: str = "") -> None:
    """Print on the first process only."""
    if process_state().is_main_process:
        print(text, flush=True)


def open_split(args: argparse.Namespace, split: str) -> Any:
    """A split with its deterministic head, decoded into memory when it fits."""
    dataset = open_dataset(
        args.data,
        args.root,
        split,
        size=args.image_size,
        limit=args.limit,
    )
    if len(dataset) * 3 * args.image_size**2 > IN_MEMORY:
        return dataset
    return InMemory(dataset, name=f"{split} images", progress=not args.quiet and process_state().is_main_process)


def default_image_size(args: argparse.Namespace) -> int:
    """The side of the pictures: as asked, else 48 for the small network and the paper's 224 for others."""
    return args.image_size or (48 if args.model == "small" else 224)


def model_factory(args: argparse.Namespace, num_classes: int) -> Callable[[], nn.Module]:
    """Makes the network that was asked for; its initial weights come from torch's global generator."""
    return lambda: build_model(args.model, num_classes, weights=args.weights, seed=None)


def about(args: argparse.Namespace, dataset: Any) -> dict[str, Any]:
    """What ``model.json`` says of a network trained here."""
    return {
        "architecture": args.model,
        "classes": list(dataset.classes),
        "mean": list(IMAGENET_MEAN),
        "std": list(IMAGENET_STD),
        "image_size": args.image_size,
        "weights": args.weights,
        "data": {"name": args.data, "length": len(dataset), "digest": dataset_digest(dataset)},
    }


def plain(value: Any) -> Any:
    """An option as JSON can hold it."""
    return str(value) if isinstance(value, Path) else value
