"""What a patch is filled with, in the range and channels of the picture at hand: PIL, uint8, float or normalised."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import PIL.Image
import torch
from torch import Tensor

from pasm_aug.functional import as_uint8

Image = PIL.Image.Image | Tensor
Box = tuple[int, int, int, int]
_DEEP_MODES = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")


@dataclass(frozen=True)
class Normalisation:
    """``(x - mean) / std`` per channel on floats in [0, 1], as :class:`torchvision.transforms.v2.Normalize` does."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def apply(self, values: Tensor) -> Tensor:
        """(C, …) in [0, 1] → normalised."""
        return (values - self._column(self.mean, values)) / self._column(self.std, values)

    def undo(self, image: Tensor) -> Tensor:
        """(C, H, W) normalised → float32 in [0, 1]."""
        image = image.detach().float()
        return image * self._column(self.std, image) + self._column(self.mean, image)

    def _column(self, values: tuple[float, ...], like: Tensor) -> Tensor:
        if len(values) not in (1, like.shape[0]):
            raise ValueError(f"mean and std hold {len(values)} numbers, the image has {like.shape[0]} channels")
        return torch.tensor(values, device=like.device).reshape(-1, *[1] * (like.ndim - 1))


def check_image(image: Image, normalisation: Normalisation | None = None) -> tuple[int, int]:
    """(width, height) of a picture that can be erased.

    Raises:
        TypeError: a dtype or PIL mode of other than 8 bits or floats; or not floating though mean and std are given.
        ValueError: a tensor that is not (C, H, W) with 1 to 4 channels.
    """
    if isinstance(image, PIL.Image.Image):
        if image.mode in _DEEP_MODES:
            raise TypeError(f"image must have 8 bits a channel, got PIL mode {image.mode!r}: convert it to L or RGB")
        if normalisation:
            raise TypeError("mean and std are for normalised float tensors, got a PIL image")
        return image.size
    if image.ndim != 3 or not 1 <= image.shape[0] <= 4:
        raise ValueError(
            f"image must be one picture (C, H, W) with 1 to 4 channels, got shape {tuple(image.shape)}: "
            "erase before batching"
        )
    if image.dtype != torch.uint8 and not image.is_floating_point():
        raise TypeError(f"image must be uint8 or floating, got {image.dtype}")
    if normalisation and image.dtype == torch.uint8:
        raise TypeError("mean and std are for normalised float tensors, got uint8")
    return image.shape[2], image.shape[1]


def colour_channels(image: Image) -> int:
    """1 for grey pictures (with or without alpha), 3 for the others."""
    bands = len(image.getbands()) if isinstance(image, PIL.Image.Image) and image.mode not in ("P", "PA") else 3
    return 1 if (image.shape[0] if isinstance(image, Tensor) else bands) < 3 else 3


def holding_colours(image: Image) -> Image:
    """Palette and two-level pictures cannot hold an arbitrary colour: they become RGB and L."""
    if isinstance(image, PIL.Image.Image) and image.mode in ("1", "P", "PA"):
        return image.convert("L" if image.mode == "1" else "RGB")
    return image


def colour_fill(image: Image, colour: Sequence[int], normalisation: Normalisation | None = None) -> list[float]:
    """One number per channel of ``image``, in its own range, for a uint8 colour of 1 or 3 channels; alpha is opaque.

    Raises:
        ValueError: a grey colour for a picture that is not grey, or the reverse.
    """
    wanted = colour_channels(image)
    if len(colour) < wanted and _is_grey(image, normalisation):
        colour = tuple(colour) * wanted
    elif len(colour) > wanted and len(set(colour)) == 1:
        colour = tuple(colour)[:wanted]
    if len(colour) != wanted:
        raise ValueError(
            f"the cache's colours have {len(colour)} channel(s), the image has {wanted}: mined on other pictures?"
        )
    if isinstance(image, PIL.Image.Image):
        return _pil_pixel(image.mode, colour)
    values = [*colour, 255] if image.shape[0] in (2, 4) else list(colour)
    if normalisation:
        return normalisation.apply(torch.tensor(values) / 255).tolist()
    return [float(v) if image.dtype == torch.uint8 else v / 255 for v in values]


def _is_grey(image: Image, normalisation: Normalisation | None) -> bool:
    """Whether the colour channels of a picture are equal."""
    array = as_uint8(normalisation.undo(image) if normalisation and isinstance(image, Tensor) else image)
    return all(np.array_equal(array[0], channel) for channel in array[1:])


def mean_fill(image: Image) -> list[float]:
    """The picture's mean per channel, in its own range."""
    if isinstance(image, PIL.Image.Image):
        colours = as_uint8(image)[: colour_channels(image)]
        return _pil_pixel(image.mode, [round(value) for value in colours.mean((1, 2)).tolist()])
    mean = image.detach().float().mean((1, 2))
    return (mean.round() if image.dtype == torch.uint8 else mean).tolist()


def number_fill(image: Image, value: Sequence[float]) -> Sequence[float]:
    """The given numbers, checked against what eight bits can hold."""
    if (isinstance(image, PIL.Image.Image) or image.dtype == torch.uint8) and not all(0 <= v <= 255 for v in value):
        raise ValueError(f"value must lie in 0…255 for 8-bit pictures, got {tuple(value)}")
    return value


def noise_patch(image: Image, box: Box, normalisation: Normalisation | None = None) -> Image:
    """Uniform noise of the box's size over the picture's range: 0…255, or [0, 1] and then normalised; opaque."""
    left, top, right, bottom = box
    channels = colour_channels(image) if isinstance(image, PIL.Image.Image) else image.shape[0]
    shape = (channels, bottom - top, right - left)
    if isinstance(image, Tensor):
        noise = torch.randint(256, shape) if image.dtype == torch.uint8 else torch.rand(shape)
        if channels in (2, 4):
            noise[-1] = 255 if image.dtype == torch.uint8 else 1
        return (normalisation.apply(noise) if normalisation else noise).to(image)
    array = torch.randint(256, shape, dtype=torch.uint8).numpy()
    return PIL.Image.fromarray(array[0] if channels == 1 else array.transpose(1, 2, 0).copy()).convert(image.mode)


def paste(image: Any, box: Box, patch: Any, inplace: bool) -> Any:
    """Put a patch of the box's size into a picture."""
    if isinstance(image, PIL.Image.Image):
        image = image if inplace else image.copy()
        image.paste(patch, box)
        return image
    image = image if inplace else image.clone()
    left, top, right, bottom = box
    image[:, top:bottom, left:right] = patch
    return image


def _pil_pixel(mode: str, colour: Sequence[int]) -> list[float]:
    if mode == ("L" if len(colour) == 1 else "RGB"):
        return list(colour)
    one = PIL.Image.new("L" if len(colour) == 1 else "RGB", (1, 1), colour[0] if len(colour) == 1 else tuple(colour))
    pixel = one.convert(mode).getpixel((0, 0))
    return list(pixel) if isinstance(pixel, tuple) else [float(pixel or 0)]


def check_value(value: Any) -> str | tuple[float, ...]:
    """The ``value`` option of an erasing transform: a word, or numbers as a tuple."""
    if isinstance(value, str):
        if value not in ("point", "mean", "random"):
            raise ValueError(f'value must be "point", "mean", "random" or numbers, got {value!r}')
        return value
    values = tuple(value) if isinstance(value, Sequence) else (value,)
    if not values or not all(isinstance(v, numbers.Real) for v in values):
        raise TypeError(f'value must be "point", "mean", "random" or numbers, got {value!r}')
    return values


def check_normalisation(mean: Any, std: Any) -> Normalisation | None:
    """The ``mean`` and ``std`` options; both or neither."""
    if mean is None and std is None:
        return None
    if mean is None or std is None or len(mean) != len(std) or not all(s > 0 for s in std):
        raise ValueError(f"mean and std must be given together, equally long, std positive, got {mean!r} and {std!r}")
    return Normalisation(tuple(float(m) for m in mean), tuple(float(s) for s in std))
