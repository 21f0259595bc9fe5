"""Fill boxes of an image, or one box of each image of a batch: what erasing does once it is known where."""

from __future__ import annotations

import math
from collections.abc import Sequence

import PIL.Image
import torch
from torch import Tensor

from pasm_aug.core.errors import UserError
from pasm_aug.core.geometry import Box
from pasm_aug.core.painting import erase_patch, erase_patches
from pasm_aug.transforms import fill
from pasm_aug.transforms.images import Image, leading
from pasm_aug.transforms.normalisation import Normalisation
from pasm_aug.transforms.validation import Fill


def fill_box(
    image: Image,
    box: Box,
    value: Fill,
    colour: Sequence[int] = (),
    *,
    normalisation: Normalisation | None = None,
    inplace: bool = False,
) -> Image:
    """Fill a box of one image.

    Args:
        image (PIL image or Tensor): (..., C, H, W) with 1 to 4 channels, uint8, int16 or floating; palette and
            two-level PIL images become RGB and L.
        box (tuple of four ints): (left, top, right, bottom) in pixels, right and bottom exclusive.
        value (str or tuple of floats): ``"point"`` the given colour, ``"mean"`` of the image, ``"random"`` noise, or
            one number or one per channel in the image's range.
        colour (sequence of ints): uint8, of 1 or 3 channels; for ``"point"`` alone.
        normalisation (Normalisation, optional): that the image went through; ``"point"`` and ``"random"`` follow it.
        inplace (bool): write into ``image``.

    Returns:
        PIL image or Tensor: of the class and dtype of ``image``.

    Raises:
        ValueError: numbers or a colour that do not fit the image.
    """
    if not isinstance(image, Tensor):
        image = fill.holding_colours(image)
    if value == "point":
        return erase_patch(image, box, fill.colour_fill(image, colour, normalisation), inplace=inplace)
    if value == "mean":
        return erase_patch(image, box, fill.mean_fill(image), inplace=inplace)
    if value != "random":
        return erase_patch(image, box, fill.number_fill(image, value), inplace=inplace)
    left, top, right, bottom = box
    if isinstance(image, PIL.Image.Image):
        image = image if inplace else image.copy()
        image.paste(fill.pil_noise(image, (bottom - top, right - left)), box)
        return image
    patch = fill.noise(image, (bottom - top, right - left), normalisation)[0]
    return erase_patch(image, box, patch.to(image.device), inplace=inplace)


def fill_boxes(
    images: Tensor,
    boxes: Sequence[Box | None],
    value: Fill,
    colours: Tensor,
    *,
    normalisation: Normalisation | None = None,
    inplace: bool = False,
) -> Tensor:
    """:func:`fill_box` for N images, each with its own box and colour.

    Args:
        images (Tensor): (..., C, H, W) whose leading dimensions count N images, or a ``tv_tensors.Video``
            (..., T, C, H, W) of N videos.
        boxes (sequence): N boxes; ``None`` leaves an image as it is.
        value (str or tuple of floats): see :func:`fill_box`.
        colours (Tensor): (N, C) uint8 that fit the images' channels, 1 or 3; for ``"point"`` alone.
        normalisation (Normalisation, optional): see :func:`fill_box`.
        inplace (bool): write into ``images``.

    Returns:
        Tensor: of the class and dtype of ``images``.

    Raises:
        ValueError: not N boxes; numbers that do not fit the images.
    """
    lead = leading(images)
    if math.prod(images.shape[:lead]) != len(boxes):
        raise UserError(f"params are for {len(boxes)} images, the batch has shape {tuple(images.shape)}")
    if not any(boxes):
        return images
    if value == "point":
        values = fill.colour_fills(images, colours, normalisation)
    elif value == "mean":
        each = (images if type(images) is Tensor else images.as_subclass(Tensor)).flatten(0, lead - 1)
        values = torch.stack([torch.as_tensor(fill.mean_fill(image)) for image in each])[..., 0, 0]
    elif value == "random":
        side = max(max(box[2] - box[0], box[3] - box[1]) for box in boxes if box is not None)
        noise = fill.noise(images, (side, side), normalisation, count=len(boxes))
        return erase_patches(images, boxes, noise, lead=lead, inplace=inplace)
    else:
        row = torch.tensor(fill.number_fill(images, value), dtype=torch.float64)
        values = row.expand(len(boxes), -1)
    return erase_patches(images, boxes, values[..., None, None], lead=lead, inplace=inplace)
