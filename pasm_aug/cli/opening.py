"""What every command opens before it works: the data, the network, and a word to the user."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from pasm_aug.cli.noise import noise_record, with_noise
from pasm_aug.core.errors import UserError
from pasm_aug.core.files import read_json
from pasm_aug.core.image_content import dataset_digest, to_uint8_tensor
from pasm_aug.core.networks import take_logits
from pasm_aug.core.processes import process_state
from pasm_aug.core.weights import start_from
from pasm_aug.data.base import Split
from pasm_aug.data.decoded_store import decoded
from pasm_aug.data.in_memory import InMemory
from pasm_aug.data.overlap import shared_images
from pasm_aug.data.registry import open_dataset
from pasm_aug.models import Preprocess, build_model, load_model

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
    """The options of the data set's class that the command line knows.

    Raises:
        ValueError: a subset of another data set than RAF-DB.
    """
    subset = getattr(args, "subset", None)
    if subset is None:
        return {}
    if args.data != "rafdb":
        raise UserError(f"--subset {subset} is a part of --data rafdb, got --data {args.data}")
    return {"subset": subset}


def also_in_training(args: argparse.Namespace) -> np.ndarray:
    """Indices of the images of ``args.split`` that stand in the data set's training split too, by content."""
    training = open_dataset(args.data, args.root, "train")
    scored = open_dataset(args.data, args.root, args.split, limit=args.limit, **data_options(args))
    return shared_images(scored, training)


def model_factory(args: argparse.Namespace, num_classes: int) -> Callable[[], nn.Module]:
    """Makes the chosen network; its initial weights come from torch's global generator."""
    return lambda: build_model(args.model, num_classes, weights=args.weights, seed=None)


def about(args: argparse.Namespace, dataset: Any) -> dict[str, Any]:
    """What ``model.json`` says of a network trained here; tries the network once on images of noise.

    Raises:
        ValueError: it cannot be made, or does not take such images or give logits for them.
    """
    file = None if args.weights in (None, "none", "imagenet") else Path(args.weights).expanduser()
    model = build_model(args.model, len(dataset.classes), weights=None if file else args.weights)
    fit = start_from(model, file) if file else None
    if fit:
        say(f"--weights {args.weights}: {fit}")
    noise = torch.randint(0, 256, (2, *to_uint8_tensor(dataset[0][0]).shape), generator=torch.Generator()).byte()
    size = f"{args.image_size}×{args.image_size} images"
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            outputs = [model.train(mode)(model.preprocess(noise)) for mode in (True, False)]  # type: ignore[operator]
    except Exception as error:
        what = str(error) or f"{type(error).__name__} without a word"
        raise UserError(f"model {args.model!r} does not work on {size}: {what}") from error
    try:
        logits = [take_logits(part) for part in outputs]
    except UserError as error:
        raise UserError(f"model {args.model!r} must give logits: {error}") from error
    if any(part.shape != (2, len(dataset.classes)) for part in logits):
        got = [tuple(part.shape) for part in logits]
        raise UserError(f"model {args.model!r} must give logits (2, {len(dataset.classes)}) for 2 {size}, got {got}")
    ours = model.preprocess if isinstance(model.preprocess, Preprocess) else None
    return {
        "architecture": args.model,
        "classes": list(dataset.classes),
        "mean": ours and ours.mean.flatten().tolist(),
        "std": ours and ours.std.flatten().tolist(),
        "image_size": args.image_size,
        "channels": noise.shape[1],
        "weights": args.weights,
        **({"weights_fit": str(fit)} if fit else {}),
        "data": {"name": args.data, "length": len(dataset), "digest": dataset_digest(dataset)}
        | noise_record(args, dataset),
    }


def open_model(folder: Path, classes: Sequence[str], option: str) -> nn.Module:
    """A trained network that was trained on these classes in this order.

    Raises:
        ValueError: it cannot be read, or knows other classes.
    """
    model = load_model(folder)
    known = model.info["classes"]  # type: ignore[index]
    if list(known) != list(classes):
        raise UserError(
            f"{option} {folder} was trained on the classes {', '.join(known)}; the data have {', '.join(classes)}"
        )
    return model


def open_any_model(folder: Path) -> tuple[nn.Module, dict[str, Any]]:
    """A trained network of whatever classes, and what its ``model.json`` says.

    Raises:
        ValueError: it cannot be read, or does not say its classes and its images' size.
    """
    model = load_model(folder)
    info: dict[str, Any] = model.info  # type: ignore[assignment]
    for name in ("classes", "image_size"):
        if not info.get(name):
            raise UserError(f"{folder / 'model.json'} must tell {name!r}, got {', '.join(info)}")
    return model, info


def trained_size(folder: Path) -> int:
    """The side of the images that the network in ``folder`` was trained on."""
    size = read_json(folder / "model.json").get("image_size")
    if not size:
        raise UserError(f"{folder / 'model.json'} must tell 'image_size', got none")
    return int(size)
