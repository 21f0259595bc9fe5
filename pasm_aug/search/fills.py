"""What a square of a batch is filled with, in the images' own range: one fill, or several to choose from."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from pasm_aug.core.errors import UserError
from pasm_aug.core.keyed_draws import keyed_uniform

FILLS = ("mean", "random", "image", "point")


def fills_of(images: Tensor, value: str | float | Sequence[float], keys: Tensor, seed: int) -> Tensor:
    """(B, F, C, H or 1, W or 1) in the images' dtype: F fills of each image.

    Args:
        images: (B, C, H, W) uint8 or floating. value: of :class:`~pasm_aug.search.online.OnlineAdversarialErase`, but
            "image", which :func:`other_images` are.
        keys: (B,) int64, names of the images. seed: with them it decides what is random.

    Raises:
        ValueError: numbers that uint8 cannot hold, or neither one nor one a channel.
    """
    if value == "mean":
        mean = images.float().mean((2, 3), keepdim=True)
        return _like(mean, images)[:, None]
    if value == "random":
        return _noise(images, keys, seed)[:, None]
    if value == "point":
        return corner_fills(images)
    assert not isinstance(value, str)
    numbers = torch.tensor(value if isinstance(value, Sequence) else [value], dtype=torch.float32)
    if len(numbers) not in (1, images.shape[1]):
        raise UserError(f"value must hold 1 or {images.shape[1]} numbers (the images' channels), got {value!r}")
    if images.dtype == torch.uint8 and not bool(((numbers >= 0) & (numbers <= 255)).all()):
        raise UserError(f"value must lie in 0…255 for such images, got {value!r}")
    colour = numbers.to(images.device, images.dtype).expand(images.shape[1])
    return colour[None, None, :, None, None].expand(len(images), 1, -1, 1, 1)


def other_images(images: Tensor, keys: Tensor) -> Tensor:
    """(B, C, H, W): of each image the next by its key, however the batch is ordered; alone, it has its own mean."""
    if len(images) == 1:
        return _like(images.float().mean((2, 3), keepdim=True), images).expand_as(images)
    order = keys.argsort()
    partner = torch.empty_like(order)
    partner[order] = order.roll(-1)
    return images[partner]


def corner_fills(images: Tensor) -> Tensor:
    """(B, F, C, 1, 1): every mixture of two extremes a channel, F = 2 for grey images and 8 for RGB.

    The extremes are 0 and 255, of floating images each image's own least and greatest value of the channel.
    """
    channels = images.shape[1]
    corners = torch.tensor(list(itertools.product((0, 1), repeat=channels if channels <= 3 else 1)))
    high = corners.to(images.device).bool().expand(-1, channels)[None, :, :, None, None]
    if images.dtype == torch.uint8:
        return (high * 255).to(torch.uint8).expand(len(images), -1, -1, -1, -1)
    low, top = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    return torch.where(high, top[:, None], low[:, None])


def _noise(images: Tensor, keys: Tensor, seed: int) -> Tensor:
    """As torchvision's RandomErasing has it: uniform integers, or standard normal numbers for normalised images."""
    drawn = keyed_uniform(keys, images[0].numel(), seed ^ 1).view(images.shape)
    if images.dtype == torch.uint8:
        return (drawn * 256).to(torch.uint8)
    return (2**0.5 * torch.erfinv(2 * drawn + (2.0**-24 - 1))).to(images.dtype)


def _like(values: Tensor, images: Tensor) -> Tensor:
    return values.round().to(torch.uint8) if images.dtype == torch.uint8 else values.to(images.dtype)
