"""Which image is this? Its pixels as mining sees them, and two names made of them.

:func:`content_key` names an image exactly: it is the only identity that every pipeline carries, v1 ``Compose``
included. :func:`look` names it roughly, and tells why an exact name was not found.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import PIL.Image
import torch
import xxhash
from torch import Tensor

from pasm_aug.core.errors import UserError
from pasm_aug.core.items import class_of, unpacked

AnyImage = PIL.Image.Image | Tensor | np.ndarray

BITS = {torch.uint8: 8, torch.int16: 15}  # of an integer image's full range
DEEP_MODES = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")  # of PIL, which do not say what their full range is
SCALE_IT = (  # Pillow's convert("L") clips instead
    "scale it to 0…255, of 16 bits by Image.fromarray((np.asarray(image) / 257).round().astype('uint8')); convert() "
    "would clip it to white"
)
OVERSHOOT = 0.25  # beyond [0, 1], of a floating image
_ODD = 16  # values further outside, or a twentieth of them: more is another range
_GRID = 8
_LARGE = 100 * 100  # pixels from which on Pillow separates the channels faster than numpy
_FULL = np.float32(255)
_FULL_BITS = int(_FULL.view(np.uint32))
_SHAPE = struct.Struct("<3q")


def as_uint8(image: AnyImage) -> np.ndarray:
    """The image as contiguous uint8 (C, H, W) with C = 1 or 3: the pixel space in which images are mined.

    Palette, LA and CMYK images become RGB, alpha is dropped, floats in [0, 1] are ``round(255 x)`` (NaN counts as
    0), and of int16 the upper eight of its 15 bits count, as in torchvision's ``to_dtype(scale=True)``.

    Args:
        image: PIL image of any 8-bit mode; or tensor or array of shape (C, H, W) or (H, W), uint8, int16 or floating in
            [0, 1].

    Raises:
        TypeError: not an image, or a dtype other than these.
        ValueError: a wrong number of dimensions or channels, an empty image, or floats far outside [0, 1].
    """
    array = _from_pil(image) if isinstance(image, PIL.Image.Image) else _from_array(image)
    if array.size == 0:
        raise UserError(f"image must not be empty, got shape {tuple(array.shape)}")
    channels = array.shape[0]
    if channels not in (1, 2, 3, 4):
        raise UserError(f"image must have 1 to 4 channels, got shape {tuple(array.shape)}")
    return np.ascontiguousarray(array[:-1] if channels in (2, 4) else array)


def canonical(image: AnyImage) -> np.ndarray:
    """:func:`as_uint8`, with three equal channels counted as one: the form in which images are compared."""
    array = as_uint8(image)
    return array[:1] if is_grey(array) else array


def is_grey(array: np.ndarray) -> bool:
    """Whether an image (3, H, W) has three equal channels."""
    if array.shape[0] != 3 or array[0, 0].tobytes() != array[1, 0].tobytes():  # the first line settles most
        return False
    return np.array_equal(array[0], array[1]) and np.array_equal(array[0], array[2])


def content_key(image: AnyImage) -> int:
    """64-bit name of an image's content: xxh3_64 of its :func:`canonical` form and shape, as a signed int64.

    It is the same in mining and training only if both run the same deterministic head (decoding, alignment, resizing).
    """
    if isinstance(image, PIL.Image.Image) and image.mode == "RGB" and image.width * image.height > _LARGE:
        bands = [image.tobytes("raw", band) for band in "RGB"]  # quicker than to bring the channels apart in an array
        bands = bands[:1] if bands[0] == bands[1] == bands[2] else bands
        digest = xxhash.xxh3_64()
        for band in bands:
            digest.update(band)
        shape: tuple[int, ...] = (len(bands), image.height, image.width)
    else:
        array = canonical(image)
        digest = xxhash.xxh3_64(array.data)
        shape = array.shape
    digest.update(_SHAPE.pack(*shape))
    key = digest.intdigest()
    return key - ((key >> 63) << 64)


def look(image: AnyImage) -> int:
    """64 bits, as a signed int64, that hardly change with an image's size or with how it was decoded and resized.

    Which of the means of a grid of 9 × 8 cells are brighter than their right neighbours (the "difference hash").
    """
    grey = canonical(image).astype(np.float32).mean(0)
    for axis, cells in ((0, _GRID), (1, _GRID + 1)):
        edges = np.arange(cells) * grey.shape[axis] // cells
        widths = np.maximum(np.diff(edges, append=grey.shape[axis]), 1)
        grey = np.add.reduceat(grey, edges, axis=axis) / np.expand_dims(widths, 1 - axis)
    bits = np.packbits(grey[:, :-1] > grey[:, 1:])
    return int(bits.view("<i8")[0])


def unlikeness(looks: np.ndarray, of: int) -> np.ndarray:
    """In how many of its 64 bits each of ``looks`` (R,) int64 differs from one."""
    return np.bitwise_count((looks ^ np.int64(of)).view(np.uint64))  # of signed numbers it counts the absolute value


def _from_pil(image: PIL.Image.Image) -> np.ndarray:
    if image.mode in DEEP_MODES:
        raise TypeError(f"image must have 8 bits a channel, got mode {image.mode!r}: {SCALE_IT}")
    if image.mode not in ("L", "RGB"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    array = np.asarray(image)
    return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)


def _from_array(image: Tensor | np.ndarray) -> np.ndarray:
    if isinstance(image, Tensor):
        if type(image) is not Tensor:
            image = image.as_subclass(Tensor)
        if image.dtype == torch.bfloat16:  # numpy has none
            image = image.float()
        try:
            array = image.numpy()
        except (RuntimeError, TypeError):  # it has a gradient, or lies on another device
            array = image.numpy(force=True)
    elif isinstance(image, np.ndarray):
        array = image
    else:
        raise TypeError(f"image must be a PIL image, a tensor or an array, got {type(image).__name__}")
    if array.dtype != np.uint8:
        array = _eight_bits(array)
    if array.ndim == 2:
        array = array[None]
    if array.ndim != 3:
        raise UserError(f"image must have shape (C, H, W), got {tuple(array.shape)}")
    return array


def _eight_bits(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind == "f":
        scaled = np.multiply(array, _FULL, dtype=np.float32)
        np.rint(scaled, out=scaled)
        # As unsigned integers, the bits of floats have the floats' order, and those of negative ones and NaN come last.
        bits = scaled.ravel("K").view(np.uint32)
        if bits.size and bits.item(bits.argmax()) > _FULL_BITS:
            _check_range(scaled)
            np.minimum(np.fmax(scaled, 0), _FULL, out=scaled)  # fmax prefers the number to NaN
        return scaled.astype(np.uint8)
    if array.dtype == np.int16:
        return (np.maximum(array, 0) >> (BITS[torch.int16] - 8)).astype(np.uint8)
    raise TypeError(f"image must be uint8, int16 or floating, got {array.dtype}")


def _check_range(scaled: np.ndarray) -> None:
    """Raise a ValueError for an image that is not in [0, 1]; bicubic resizing may overshoot, odd pixels pass."""
    outside = np.count_nonzero((scaled < -255 * OVERSHOOT) | (scaled > 255 * (1 + OVERSHOOT)))
    if outside > max(_ODD, scaled.size // 20):
        low, high = float(np.nanmin(scaled)) / 255, float(np.nanmax(scaled)) / 255
        raise UserError(
            f"image must be floating in [0, 1], got values in {low:.3g}…{high:.3g}: behind a Normalize give mean= and "
            "std=; mine before it; divide 0…255 by 255"
        )


_PROBES = 16


def probed(length: int) -> list[int]:
    """The evenly spaced items by which a data set is known."""
    return sorted({length * i // _PROBES for i in range(_PROBES)} if length else ())


def dataset_digest(dataset: Any) -> int:
    """63-bit name of a data set: its length, and the content keys and labels of 16 evenly spaced items.

    Args:
        dataset: map-style, items (image, label, …) or dicts that hold both, without random transforms.
    """
    numbers = [len(dataset)]
    for index in probed(len(dataset)):
        image, label = unpacked(dataset[index])[:2]
        numbers += [content_key(image), class_of(label, index)]
    return xxhash.xxh3_64_intdigest(np.array(numbers, dtype="<i8").tobytes()) & (2**63 - 1)


def to_uint8_tensor(image: Any) -> Tensor:
    """PIL image, array or tensor → plain uint8 tensor (C, H, W) with C = 1 or 3."""
    if isinstance(image, Tensor) and image.dtype == torch.uint8 and image.ndim == 3 and image.shape[0] in (1, 3):
        return image.as_subclass(Tensor)
    return torch.from_numpy(as_uint8(image).copy())


def same_channels(images: Sequence[Tensor]) -> list[Tensor]:
    """Grey images among colour ones get three equal channels."""
    if len({image.shape[0] for image in images}) == 1:
        return list(images)
    return [image.expand(3, -1, -1) for image in images]
