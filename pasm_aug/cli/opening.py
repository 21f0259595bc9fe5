"""What every command opens before it works: the data, the network, and a word to the user."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from pasm_aug.cli.networks import described, noise_images, try_out
from pasm_aug.cli.noise import noise_record, with_noise
from pasm_aug.cli.options.network import folder_of, is_weights
from pasm_aug.core.errors import UserError
from pasm_aug.core.files import read_json
from pasm_aug.core.image_content import dataset_digest, to_uint8_tensor
from pasm_aug.core.processes import process_state
from pasm_aug.core.weights import start_from
from pasm_aug.data.base import Split
from pasm_aug.data.decoded_store import decoded
from pasm_aug.data.in_memory import InMemory
from pasm_aug.data.overlap import shared_images
from pasm_aug.data.registry import open_dataset
from pasm_aug.models import Preprocess, build_model, carry

IN_MEMORY = 2 << 30  # bytes of decoded images above which they are read from the disk again and again


def say(text: str = "") -> None:
    """Print on the first process only."""
    if process_state().is_main_process:
        print(text, flush=True)


def open_split(args: argparse.Namespace, split: Split) -> Any:
    """A split with its deterministic head, :func:`held`; training labels are as ``--noise`` makes them."""
    dataset = open_dataset(args.data, args.root, split, size=args.image_size, limit=args.limit, **data_options(args))
    with_noise(args, split, dataset)  # a list for other data is refused before the images are read
    return with_noise(args, split, held(args, dataset, split))


def held(args: argparse.Namespace, dataset: Any, split: str) -> Any:
    """The data set decoded into memory when it fits, or into a file under ``--decoded``."""
    progress = not args.quiet and process_state().is_main_process
    if args.decoded:
        return decoded(dataset, args.decoded, name=f"{args.data}-{split}", workers=args.workers, progress=progress)
    if len(dataset) * 3 * args.image_size**2 > IN_MEMORY:
        return dataset
    return InMemory(dataset, name=f"{split} images", progress=progress)


def data_options(args: argparse.Namespace) -> dict[str, Any]:
    """What the command line says of a data set beyond its name and size: keywords of :func:`open_dataset`.

    Raises:
        ValueError: a subset of another data set than RAF-DB.
    """
    subset, options = getattr(args, "subset", None), {"exclude": getattr(args, "exclude", None)}
    if subset is None:
        return options
    if args.data != "rafdb":
        raise UserError(f"--subset {subset} is a part of --data rafdb, got --data {args.data}")
    return options | {"subset": subset}


def also_in_training(args: argparse.Namespace) -> np.ndarray:
    """Indices of the images of ``args.split`` that stand in the data set's training split too, by content."""
    training = open_dataset(args.data, args.root, "train")
    scored = open_dataset(args.data, args.root, args.split, limit=args.limit, **data_options(args))
    return shared_images(scored, training)


def model_factory(args: argparse.Namespace, num_classes: int) -> Callable[[], nn.Module]:
    """Makes the chosen network; its initial weights come from torch's global generator."""
    return lambda: new_model(args, num_classes, weights=args.weights, seed=None)


def new_model(args: argparse.Namespace, num_classes: int, **how: Any) -> nn.Module:
    """The chosen network; in a run that starts from a folder's teacher, with that one's mean and std of the input.

    Args:
        how: as :func:`~pasm_aug.models.build_model` has it.
    """
    model = build_model(args.model, num_classes, **how)
    if args.command == "run" and args.teacher and not is_weights(args.teacher):
        first = read_json(folder_of(args.teacher) / "model.json")
        if first.get("mean"):
            carry(model, Preprocess(first["mean"], first["std"]))
    return model


def about(args: argparse.Namespace, dataset: Any) -> dict[str, Any]:
    """What ``model.json`` says of a network trained here; tries the network once on images of noise.

    Raises:
        ValueError: it cannot be made, or does not take such images or give logits for them.
    """
    file = None if args.weights in (None, "none", "imagenet") else Path(args.weights).expanduser()
    model = new_model(args, len(dataset.classes), weights=None if file else args.weights)
    fit = start_from(model, file) if file else None
    if fit:
        say(f"--weights {args.weights}: {fit}")
    channels = to_uint8_tensor(dataset[0][0]).shape[0]
    try_out(args, model, noise_images(channels, args.image_size), len(dataset.classes), (True, False))
    return described(args, model, dataset.classes) | {
        "image_size": args.image_size,
        "channels": channels,
        "weights": args.weights,
        **({"weights_fit": str(fit)} if fit else {}),
        "data": {"name": args.data, "length": len(dataset), "digest": dataset_digest(dataset)}
        | noise_record(args, dataset),
    }
