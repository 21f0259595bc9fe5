"""The trained networks that commands are given: folders that ``save_model`` wrote, or files of somebody's weights."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pasm_aug.cli.options.groups import default_image_size
from pasm_aug.cli.options.network import folder_of, is_weights
from pasm_aug.core.errors import UserError
from pasm_aug.core.files import read_json
from pasm_aug.core.networks import take_logits
from pasm_aug.core.outputs import reorder_outputs
from pasm_aug.core.weights import Taken, take_weights
from pasm_aug.data.base import canonical_name
from pasm_aug.models import Preprocess, build_model, carry, load_model

TRAINS = ("run", "train", "audit")  # commands whose --model is what they train


def open_model(args: argparse.Namespace, option: str, classes: Sequence[str]) -> nn.Module:
    """The network that ``--option`` names, which knows these classes; its outputs are put into their order.

    Raises:
        ValueError: it cannot be read, or knows other classes.
    """
    model, info = _opened(args, option)
    known = list(info["classes"])
    if sorted(known) != sorted(classes):
        raise UserError(
            f"--{option} {getattr(args, option)} was trained on the classes {', '.join(known)}; the data have "
            f"{', '.join(classes)}"
        )
    if known != list(classes):
        images = noise_images(info.get("channels") or 3, info.get("image_size") or default_image_size(args))
        reorder_outputs(model, [known.index(name) for name in classes], model.preprocess(images))  # type: ignore[operator]
        model.info = info | {"classes": list(classes)}  # type: ignore[assignment]
    return model


def open_any_model(args: argparse.Namespace, option: str) -> tuple[nn.Module, dict[str, Any]]:
    """The network that ``--option`` names, of whatever classes, and what its ``model.json`` says.

    Raises:
        ValueError: it cannot be read, or does not say its classes and its images' size.
    """
    model, info = _opened(args, option)
    for name in ("classes", "image_size"):
        if not info.get(name):
            file = folder_of(getattr(args, option)) / "model.json"
            raise UserError(f"{file} must tell {name!r}, got {', '.join(info)}")
    return model, info


def _opened(args: argparse.Namespace, option: str) -> tuple[nn.Module, dict[str, Any]]:
    path = getattr(args, option)
    if is_weights(path):
        model, info, _ = own_model(args, path)
        model.info = info  # type: ignore[assignment]
        return model.eval(), info
    for name in ("classes", "model"):
        if args.command not in TRAINS and getattr(args, name):
            raise UserError(f"--{name} goes with a file of weights; {path} is a folder, whose model.json tells it")
    model = load_model(folder_of(path))
    return model, model.info


def trained_size(args: argparse.Namespace, option: str) -> int:
    """The side of the images: as given, else that on which the network of ``--option`` was trained."""
    path: Path = getattr(args, option)
    if args.image_size:
        return args.image_size
    if is_weights(path):
        check_told(args, path)
        return default_image_size(args)
    file = folder_of(path) / "model.json"
    size = read_json(file).get("image_size")
    if not size:
        raise UserError(f"{file} must tell 'image_size', got none")
    return int(size)


def check_told(args: argparse.Namespace, file: Path) -> None:
    """Raise a ValueError if it is not told what a file of weights is."""
    if not args.classes or not args.model:
        raise UserError(
            f"{file} is a file of weights, which does not tell what it is: add --model NAME and --classes A,B,… in the "
            "order of its outputs, or make a folder of it once by `pasm-aug import-model`"
        )


def own_model(
    args: argparse.Namespace,
    file: Path,
    *,
    key: str | None = None,
    mean: Sequence[float] = (),
    std: Sequence[float] = (),
) -> tuple[nn.Module, dict[str, Any], Taken]:
    """``--model`` and ``--classes`` with the weights in a file; with what ``model.json`` says, and what was taken.

    Args:
        key: of the weights in a file of more.
        mean, std: of its input, one for each channel or one for all; default: the architecture's own, or ImageNet's.

    Raises:
        ValueError: architecture or classes are not told; the weights cannot be read, or do not fit.
    """
    check_told(args, file)
    classes = [canonical_name(name) for name in args.classes]
    model = build_model(args.model, len(classes))
    if mean and std:
        wide = next((part.in_channels for part in model.modules() if isinstance(part, nn.Conv2d)), 3)
        carry(model, Preprocess(*(list(one) * wide if len(one) == 1 else one for one in (mean, std))))
    taken = take_weights(model, file, key)
    return model, described(args, model, classes) | {"image_size": default_image_size(args)}, taken


def described(args: argparse.Namespace, model: Any, classes: Sequence[str]) -> dict[str, Any]:
    """What ``model.json`` says of every network of ``--model``."""
    ours = model.preprocess if isinstance(model.preprocess, Preprocess) else None
    return {
        "architecture": args.model,
        "classes": list(classes),
        "mean": ours and ours.mean.flatten().tolist(),
        "std": ours and ours.std.flatten().tolist(),
    }


def try_out(args: argparse.Namespace, model: nn.Module, images: Tensor, classes: int, modes: Sequence[bool]) -> None:
    """Ask a network of ``--model`` once for the logits of images (2, C, S, S) uint8.

    Args:
        modes: training or not, each once.

    Raises:
        ValueError: it does not take such images or does not give logits (2, classes) for them.
    """
    size = "×".join(map(str, images.shape[2:])) + " images"
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            outputs = [model.train(mode)(model.preprocess(images)) for mode in modes]  # type: ignore[operator]
    except Exception as error:
        what = str(error) or f"{type(error).__name__} without a word"
        raise UserError(f"model {args.model!r} does not work on {size}: {what}") from error
    try:
        logits = [take_logits(part) for part in outputs]
    except UserError as error:
        raise UserError(f"model {args.model!r} must give logits: {error}") from error
    if any(part.shape != (2, classes) for part in logits):
        got = [tuple(part.shape) for part in logits]
        raise UserError(f"model {args.model!r} must give logits (2, {classes}) for 2 {size}, got {got}")


def noise_images(channels: int, size: int) -> Tensor:
    """(2, channels, size, size) uint8, the same at every call."""
    return torch.randint(0, 256, (2, channels, size, size), generator=torch.Generator()).byte()
