"""What the adversary of the training step does to images, to look at: a contact sheet. Loaded when it is asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import PIL.Image
import torch
from torch import Tensor

from pasm_aug.core.contact_sheet import Cell, contact_sheet
from pasm_aug.core.errors import UserError
from pasm_aug.core.rng import derive_seed
from pasm_aug.search.adversary import Network
from pasm_aug.search.in_step import check_batch, undisturbed
from pasm_aug.search.step_search import StepOptions


def online_sheet(
    make: Any,
    model: Any,
    options: StepOptions,
    preprocess: Any,
    images: Tensor,
    labels: Tensor,
    *,
    classes: Sequence[str] = (),
    draws: int = 3,
    seed: int = 0,
) -> PIL.Image.Image:
    """Rows of an image and several draws, with the network's probability of the label before and after above them.

    Args:
        make: the class of the adversary: one of its own is made, so that nothing is left behind.
        model, options, preprocess: of the adversary.
        images: (B, C, H, W) uint8, or floating as the network takes them. labels: (B,) integers.
        classes: names of the labels. draws: for each image. seed: of the draws.

    Returns:
        PIL image: RGB.
    """
    if draws < 1:
        raise UserError(f"draws must be at least 1, got {draws}")
    model = check_batch(images, labels, model)
    erase = make(
        model, preprocess=preprocess, **vars(dataclasses.replace(options, seed=derive_seed(options.seed, seed)))
    )
    network, labels = Network(model, preprocess, images), labels.to(images.device, torch.int64)
    shown = [images]
    with torch.no_grad():
        for draw in range(draws):
            erase.set_epoch(draw)
            shown.append(erase(images, labels))
        with undisturbed(model, images.device):
            p = [(-network.losses(batch, labels)).exp().tolist() for batch in shown]
    rows = []
    for row, label in enumerate(labels.tolist()):
        name = classes[label] if 0 <= label < len(classes) else str(label)
        cells = [Cell(_visible(images[row], images[row]), f"{name}  p {p[0][row]:.2f}")]
        for batch, after in zip(shown[1:], p[1:], strict=True):
            same = torch.equal(batch[row], images[row])
            cells.append(Cell(_visible(batch[row], images[row]), "not erased" if same else f"p {after[row]:.2f}"))
        rows.append(cells)
    return contact_sheet(rows)


def _visible(image: Tensor, whole: Tensor) -> Tensor:
    """uint8 as it is; floats, which may be normalised, from the least to the greatest of the ``whole`` image."""
    if image.dtype == torch.uint8:
        return image.cpu()
    low, high = whole.amin(), whole.amax()
    return ((image.float() - low) / (high - low).clamp(min=1e-6)).clamp(0, 1).cpu()
