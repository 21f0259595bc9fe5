"""Which parts of a sample are images, and which of those can be erased."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import PIL.Image
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2._utils import is_pure_tensor

from pasm_aug.core.errors import UserError
from pasm_aug.core.image_content import BITS, DEEP_MODES, SCALE_IT
from pasm_aug.transforms.normalisation import Normalisation

Image = PIL.Image.Image | Tensor


def is_plain_image(leaf: Any) -> bool:
    """Whether part of a sample is a plain tensor that can be an image: a label or a one-hot vector is none."""
    return is_pure_tensor(leaf) and leaf.ndim > 2


def check_image(image: Image, normalisation: Normalisation | None = None) -> tuple[int, int]:
    """(width, height) of an image, or of the images of a batch or video, that can be erased.

    Raises:
        TypeError: a dtype or PIL mode that has no known range; or not floating though mean and std are given.
        ValueError: a tensor that is not (..., C, H, W) with 1 to 4 channels, or without pixels.
    """
    if isinstance(image, PIL.Image.Image):
        if image.mode in DEEP_MODES:
            raise TypeError(f"image must have 8 bits a channel, got PIL mode {image.mode!r}: {SCALE_IT}")
        if normalisation:
            raise TypeError("mean and std are for normalised float tensors, got a PIL image")
        width, height = image.size
        shape: Any = image.size
    else:
        shape, dtype = image.shape, image.dtype
        if len(shape) < 3 or not 1 <= shape[-3] <= 4:
            raise UserError(f"image must be (..., C, H, W) with 1 to 4 channels, got shape {tuple(shape)}")
        if dtype not in BITS and not dtype.is_floating_point:
            raise TypeError(f"image must be uint8, int16 or floating, got {dtype}")
        if normalisation and dtype in BITS:
            raise TypeError(f"mean and std are for normalised float tensors, got {dtype}")
        height, width = shape[-2:]
    if not width or not height:
        raise UserError(f"image must not be empty, got {tuple(shape)}")
    return width, height


def check_images(images: Sequence[Image], normalisation: Normalisation | None = None) -> tuple[int, int]:
    """(width, height) that all images of a sample must have.

    Raises:
        TypeError: no image at all; and as :func:`check_image`.
        ValueError: images of several sizes or numbers; and as :func:`check_image`.
    """
    if not images:
        raise TypeError(
            "the sample holds no image: neither a PIL image nor a tensor (..., C, H, W); numpy arrays (H, W, C) go "
            "through NumpyHWC"
        )
    first = check_image(images[0], normalisation)
    if len(images) > 1:
        shapes = [(check_image(image, normalisation), _leading_shape(image)) for image in images]
        if len(set(shapes)) > 1:
            raise UserError(
                "the images of a sample must have one size (width, height) and one number of images, got "
                f"{[(*size, *lead) for size, lead in shapes]}"
            )
    return first


def leading(image: Tensor) -> int:
    """How many leading dimensions of a tensor count images, or videos."""
    return image.ndim - (4 if isinstance(image, tv_tensors.Video) else 3)


def _leading_shape(image: Image) -> tuple[int, ...]:
    return () if isinstance(image, PIL.Image.Image) else tuple(image.shape[: leading(image)])


def as_mined(image: Image, normalisation: Normalisation | None) -> Image:
    """One image as the search saw it, in [0, 1] or 0…255: a video's first frame, before ``Normalize``."""
    if isinstance(image, Tensor):
        if image.ndim > 3:
            image = image[(0,) * (image.ndim - 3)]
        if normalisation is not None:
            image = normalisation.undo(image)
    return image


def colour_channels(image: Image) -> int:
    """1 for grey images (with or without alpha), 3 for the others."""
    bands = len(image.getbands()) if isinstance(image, PIL.Image.Image) and image.mode not in ("P", "PA") else 3
    return 1 if (image.shape[-3] if isinstance(image, Tensor) else bands) < 3 else 3
