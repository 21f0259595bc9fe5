"""Pure functions on pictures and logits: erase a patch, name a picture by its content, distil.

Everything here is stateless and draws no random numbers; the classes that hold options are in
:mod:`pasm_aug.transforms` and :mod:`pasm_aug.rounds`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import PIL.Image
import torch
import torch.nn.functional as F
import xxhash
from torch import Tensor

Picture = PIL.Image.Image | Tensor | np.ndarray


def patch_box(x: int, y: int, size: int, width: int, height: int) -> tuple[int, int, int, int]:
    """Box of a ``size`` × ``size`` patch centred on pixel (x, y), clipped at the borders.

    An odd patch has (x, y) in its middle; an even one reaches one pixel further to the left and top.

    Returns:
        ``(left, top, right, bottom)`` in pixels, right and bottom exclusive; never empty for a position inside.

    Raises:
        ValueError: ``size`` < 1, or (x, y) outside the image.
    """
    if size < 1:
        raise ValueError(f"size must be at least 1 pixel, got {size}")
    if not (0 <= x < width and 0 <= y < height):
        raise ValueError(f"position must lie inside the {width}x{height} image, got (x={x}, y={y})")
    left, top = x - size // 2, y - size // 2
    return max(left, 0), max(top, 0), min(left + size, width), min(top + size, height)


def side_in_pixels(size: float, shorter: int) -> int:
    """Side of a patch: an int is pixels, a float a share of the image's shorter side (nearest pixel, at least 1)."""
    return size if isinstance(size, int) else max(1, math.floor(size * shorter + 0.5))


def paint_squares(images: Tensor, xy: Tensor, colours: Tensor, side: int) -> Tensor:
    """Paint one square into each of N images, in place: the box of :func:`patch_box` around each position.

    Args:
        images: (N, C, H, W). xy: (N, 2) int64 positions (x, y) inside. colours: (N, C), in the images' own range.
        side: of the squares, in pixels.
    """
    reach = torch.arange(side, device=images.device) - side // 2
    x, y = (xy[:, i, None] + reach for i in (0, 1))
    x, y = x.clamp(0, images.shape[3] - 1), y.clamp(0, images.shape[2] - 1)  # the part outside falls on the border
    rows = torch.arange(len(images), device=images.device)
    images[rows[:, None, None], :, y[:, :, None], x[:, None, :]] = colours[:, None, None, :]
    return images


def erase_patch(
    image: PIL.Image.Image | Tensor, box: tuple[int, int, int, int], value: Sequence[float], *, inplace: bool = False
) -> PIL.Image.Image | Tensor:
    """Fill ``box`` of an image with one colour (Algorithm 1, line 7 of the paper).

    Args:
        image: PIL image, or tensor of shape (..., C, H, W) and any dtype.
        box: ``(left, top, right, bottom)`` in pixels, right and bottom exclusive.
        value: one number a channel, in the image's own range; a single one serves all channels.
        inplace: write into ``image`` and return it.

    Raises:
        ValueError: the number of values is neither 1 nor the number of channels.
    """
    left, top, right, bottom = box
    if isinstance(image, PIL.Image.Image):
        image = image if inplace else image.copy()
        bands = len(image.getbands())
        colour = _per_channel(value, bands)
        image.paste(tuple(int(v) for v in colour) if bands > 1 else int(colour[0]), box)
        return image
    image = image if inplace else image.clone()
    colour = _per_channel(value, image.shape[-3])
    fill = torch.tensor(colour, dtype=image.dtype, device=image.device)
    image[..., top:bottom, left:right] = fill[:, None, None]
    return image


def _per_channel(value: Sequence[float], channels: int) -> list[float]:
    if len(value) not in (1, channels):
        raise ValueError(f"value must hold 1 or {channels} numbers (the image's channels), got {len(value)}")
    return list(value) * (channels // len(value))


def as_uint8(image: Picture) -> np.ndarray:
    """The image as contiguous uint8 (C, H, W) with C = 1 or 3: the pixel space in which pictures are mined.

    Palette, LA and CMYK pictures become RGB, alpha is dropped and floats in [0, 1] are ``round(255 x)``.

    Args:
        image: PIL image of any mode; or tensor or array of shape (C, H, W) or (H, W), uint8 or floating in [0, 1].

    Raises:
        TypeError: not a picture, or a dtype other than uint8 and the floating ones.
        ValueError: a wrong number of dimensions or channels, or an empty picture.
    """
    array = _from_pil(image) if isinstance(image, PIL.Image.Image) else _from_array(image)
    if array.size == 0:
        raise ValueError(f"image must not be empty, got shape {tuple(array.shape)}")
    if array.shape[0] not in (1, 2, 3, 4):
        raise ValueError(f"image must have 1 to 4 channels, got shape {tuple(array.shape)}")
    return np.ascontiguousarray(array[:3] if array.shape[0] >= 3 else array[:1])


def canonical(image: Picture) -> np.ndarray:
    """:func:`as_uint8`, with three equal channels counted as one: the form in which pictures are compared."""
    array = as_uint8(image)
    if array.shape[0] == 3 and np.array_equal(array[0], array[1]) and np.array_equal(array[0], array[2]):
        array = np.ascontiguousarray(array[:1])
    return array


def _from_pil(image: PIL.Image.Image) -> np.ndarray:
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        raise TypeError(f"image must have 8 bits a channel, got mode {image.mode!r}: bring it to 0…255 first")
    if image.mode not in ("L", "RGB"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    array = np.asarray(image)
    return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)


def _from_array(image: Tensor | np.ndarray) -> np.ndarray:
    if isinstance(image, Tensor):
        if image.is_floating_point():
            image = torch.round(image.detach().float() * 255).clamp_(0, 255).to(torch.uint8)
        array = image.detach().cpu().numpy()
    elif isinstance(image, np.ndarray):
        array = image
        if np.issubdtype(array.dtype, np.floating):
            array = np.clip(np.round(array.astype(np.float32) * 255), 0, 255).astype(np.uint8)
    else:
        raise TypeError(f"image must be a PIL image, a tensor or an array, got {type(image).__name__}")
    if array.dtype != np.uint8:
        raise TypeError(f"image must be uint8 or floating, got {array.dtype}")
    if array.ndim == 2:
        array = array[None]
    if array.ndim != 3:
        raise ValueError(f"image must have shape (C, H, W), got {tuple(array.shape)}")
    return array


def content_key(image: Picture) -> int:
    """64-bit name of a picture's content: xxh3_64 of its :func:`canonical` form and shape, as a signed int64.

    The key is the only identity that every pipeline carries, v1 ``Compose`` included. It is the same in mining and
    training only if both run the same deterministic head (decoding, alignment, resizing).
    """
    array = canonical(image)
    digest = xxhash.xxh3_64(array.data, seed=0)
    digest.update(np.array(array.shape, dtype="<i8").data)
    return digest.intdigest() - ((digest.intdigest() >> 63) << 64)


def distillation_loss(
    student_logits: Tensor, teacher_logits: Tensor | None, target: Tensor, *, alpha: float = 1.0, beta: float = 0.1
) -> Tensor:
    """``alpha * CE(student, target) + beta * MSE(student, teacher)``: Eq. 4 of the paper.

    The student's logits are taken on the erased image, the teacher's on the clean one. The paper leaves the reduction
    of the MSE open; here it is the mean over batch × classes (``beta`` depends on that).

    Args:
        student_logits: (B, classes) floating.
        teacher_logits: (B, classes) floating, detached; ``None`` leaves the second term out.
        target: (B,) int64 labels.

    Raises:
        ValueError: student and teacher logits differ in shape.
    """
    loss = alpha * F.cross_entropy(student_logits, target)
    if teacher_logits is None or beta == 0:
        return loss
    if student_logits.shape != teacher_logits.shape:
        raise ValueError(
            f"teacher_logits must have the student's shape {tuple(student_logits.shape)}, "
            f"got {tuple(teacher_logits.shape)}: a teacher with another number of classes?"
        )
    return loss + beta * F.mse_loss(student_logits, teacher_logits)
