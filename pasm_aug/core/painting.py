"""Erase patches of images and fill them: pure functions that draw no random numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import PIL.Image
import torch
from torch import Tensor
from torchvision import tv_tensors

from pasm_aug.core.errors import UserError
from pasm_aug.core.geometry import Box

_HUGE = 1 << 22  # bytes from which on numpy requests huge pages


def paint_squares(images: Tensor, xy: Tensor, colours: Tensor, side: int) -> Tensor:
    """Paint one square into each of N images, in place: the box of :func:`patch_box` around each position.

    Args:
        images: (N, C, H, W). xy: (N, 2) int64 positions (x, y) inside. colours: (N, C), in the images' own range.
        side: of the squares, in pixels.
    """
    offsets = torch.arange(side, device=images.device) - side // 2
    x, y = (xy[:, i, None] + offsets for i in (0, 1))
    x, y = x.clamp(0, images.shape[3] - 1), y.clamp(0, images.shape[2] - 1)  # the part outside falls on the border
    rows = torch.arange(len(images), device=images.device)
    images[rows[:, None, None], :, y[:, :, None], x[:, None, :]] = colours[:, None, None, :]
    return images


def erase_patch(
    image: PIL.Image.Image | Tensor, box: Box, value: Sequence[float] | Tensor, *, inplace: bool = False
) -> PIL.Image.Image | Tensor:
    """Fill ``box`` of an image with one colour (Algorithm 1, line 7 of the paper), or with a patch of its size.

    Args:
        image: PIL image, or tensor of shape (..., C, H, W) and any dtype.
        box: ``(left, top, right, bottom)`` in pixels, right and bottom exclusive.
        value: one number a channel, in the image's own range; a single one serves all channels. For a tensor also a
            patch (C, bottom - top, right - left) of its dtype.
        inplace: write into ``image`` and return it.

    Raises:
        ValueError: the number of values is neither 1 nor the number of channels.
    """
    if isinstance(image, PIL.Image.Image):
        image = image if inplace else image.copy()
        assert not isinstance(value, Tensor)
        bands = len(image.getbands())
        _check_channels(len(value), bands)
        colour = tuple(map(int, value)) * (bands // len(value))
        image.paste(colour if bands > 1 else colour[0], box)
        return image
    left, top, right, bottom = box
    if not isinstance(value, Tensor):
        _check_channels(len(value), image.shape[-3])
    if not inplace and _numpy_may_write(image):
        plain = _plain_clone(image)
        view = plain.numpy()
        fill = value.numpy() if isinstance(value, Tensor) else np.array(value, view.dtype)[:, None, None]
        view[..., top:bottom, left:right] = fill
        return plain if type(image) is Tensor else _like(plain, image)
    image = image if inplace else image.clone()
    if not isinstance(value, Tensor):
        value = torch.tensor(value, dtype=image.dtype, device=image.device)[:, None, None]
    image[..., top:bottom, left:right] = value
    return image


def erase_patches(
    images: Tensor, boxes: Sequence[Box | None], values: Tensor, *, lead: int | None = None, inplace: bool = False
) -> Tensor:
    """Fill one box in each of N images, each with its own colour or patch.

    Args:
        images: (..., C, H, W) whose ``lead`` first dimensions hold the N images; by default all before C.
        boxes: N of :func:`clipped_box`; ``None`` leaves an image as it is.
        values: (N, C, 1, 1) colours, or (N, C, S, S) patches whose upper left corner is used where a box is smaller;
            in the images' range.
        lead: fewer than all: (N, T, C, H, W) with ``lead=1`` are N videos of T frames, with one box each.
        inplace: write into ``images`` and return them.

    Raises:
        ValueError: the number of values is neither 1 nor the number of channels.
    """
    _check_channels(values.shape[1], images.shape[-3])
    lead = images.ndim - 3 if lead is None else lead
    values = values if values.dtype == images.dtype else values.to(images.dtype)
    if not inplace and _numpy_may_write(images):  # views of each image: faster on a CPU than any indexed write
        plain = _plain_clone(images) if images.nbytes < _HUGE else _huge_clone(images)
        array, patches = plain.numpy(), values.numpy()
        views = array if lead == 1 else (array[where] for where in np.ndindex(images.shape[:lead]))
        flat = patches.shape[-1] == 1
        for view, box, patch in zip(views, boxes, patches, strict=True):
            if box is not None:
                left, top, right, bottom = box
                view[..., top:bottom, left:right] = patch if flat else patch[:, : bottom - top, : right - left]
        return _like(plain, images)
    images = images if inplace else images.clone()
    kept = [i for i, box in enumerate(boxes) if box is not None]
    if kept:
        _write_indexed(images, kept, [box for box in boxes if box is not None], values[kept], lead)
    return images


def _write_indexed(images: Tensor, kept: list[int], boxes: list[Box], values: Tensor, lead: int) -> None:
    """Write all boxes of the images ``kept`` at once, on any device and seen by autograd."""
    device = images.device
    side = max(max(right - left, bottom - top) for left, top, right, bottom in boxes)
    corners, offsets = torch.tensor(boxes), torch.arange(side)
    widths, heights = corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1]
    # Where a box is smaller than the largest, its last row and column are written again, with the same values.
    x, y = (torch.minimum(offsets, (sides - 1)[:, None]) for sides in (widths, heights))
    if values.shape[-1] > 1:
        rows = torch.arange(len(kept))[:, None, None]
        fill = values.cpu()[rows, :, y[:, :, None], x[:, None, :]]
    else:
        fill = values.reshape(len(kept), 1, 1, -1)
    fill = fill.reshape(*fill.shape[:3], *[1] * (images.ndim - 3 - lead), fill.shape[3])
    x, y = (x + corners[:, :1]).to(device), (y + corners[:, 1:2]).to(device)
    which = torch.unravel_index(torch.tensor(kept), images.shape[:lead])
    middle = [slice(None)] * (images.ndim - 2 - lead)
    place: Any = (*(part[:, None, None].to(device) for part in which), *middle, y[:, :, None], x[:, None, :])
    images[place] = fill.to(device)


def _numpy_may_write(image: Tensor) -> bool:
    """Whether a clone of ``image`` may be written as an array, which takes a tenth of the time of a tensor's slice."""
    return (
        image.is_cpu and not image.requires_grad and image.dtype != torch.bfloat16 and not torch.compiler.is_compiling()
    )


def _plain_clone(image: Tensor) -> Tensor:
    return image.clone() if type(image) is Tensor else image.as_subclass(Tensor).clone()


def _huge_clone(image: Tensor) -> Tensor:
    """Numpy requests huge pages of the system, torch does not: at this size most of a clone's time is page faults."""
    plain = image.as_subclass(Tensor)
    return torch.from_numpy(plain.numpy().copy()) if plain.is_contiguous() else plain.clone()


def _like(plain: Tensor, image: Tensor) -> Tensor:
    """Back to the class, and the metadata, of ``image``."""
    if type(image) is Tensor:
        return plain
    if isinstance(image, tv_tensors.TVTensor):
        return tv_tensors.wrap(plain, like=image)
    return plain.as_subclass(type(image))


def _check_channels(values: int, channels: int) -> None:
    if values not in (1, channels):
        raise UserError(f"value must hold 1 or {channels} numbers (the image's channels), got {values}")
