"""What a patch is filled with, in the range and channels of the image at hand: PIL, uint8, float or normalised."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import PIL.Image
import torch
from torch import Tensor
from torchvision.transforms.v2._utils import is_pure_tensor

from pasm_aug.core.image_content import BITS, DEEP_MODES, as_uint8, is_grey

Image = PIL.Image.Image | Tensor


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

    def columns(self, channels: int) -> list[tuple[float, ...]]:
        """mean and std, one number a channel each."""
        return [part * channels if len(part) == 1 else part for part in (self.mean, self.std)]

    def _column(self, values: tuple[float, ...], like: Tensor) -> Tensor:
        if len(values) not in (1, like.shape[0]):
            raise ValueError(f"mean and std hold {len(values)} numbers, the image has {like.shape[0]} channels")
        return torch.tensor(values, dtype=like.dtype, device=like.device).reshape(-1, *[1] * (like.ndim - 1))


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
            raise TypeError(f"image must have 8 bits a channel, got PIL mode {image.mode!r}: convert it to L or RGB")
        if normalisation:
            raise TypeError("mean and std are for normalised float tensors, got a PIL image")
        width, height = image.size
        shape: Any = image.size
    else:
        shape, dtype = image.shape, image.dtype
        if len(shape) < 3 or not 1 <= shape[-3] <= 4:
            raise ValueError(f"image must be (..., C, H, W) with 1 to 4 channels, got shape {tuple(shape)}")
        if dtype not in BITS and not dtype.is_floating_point:
            raise TypeError(f"image must be uint8, int16 or floating, got {dtype}")
        if normalisation and dtype in BITS:
            raise TypeError(f"mean and std are for normalised float tensors, got {dtype}")
        height, width = shape[-2:]
    if not width or not height:
        raise ValueError(f"image must not be empty, got {tuple(shape)}")
    return width, height


def colour_channels(image: Image) -> int:
    """1 for grey images (with or without alpha), 3 for the others."""
    bands = len(image.getbands()) if isinstance(image, PIL.Image.Image) and image.mode not in ("P", "PA") else 3
    return 1 if (image.shape[-3] if isinstance(image, Tensor) else bands) < 3 else 3


def holding_colours(image: Image) -> Image:
    """Palette and two-level images cannot hold an arbitrary colour: they become RGB and L."""
    if isinstance(image, PIL.Image.Image) and image.mode in ("1", "P", "PA"):
        return image.convert("L" if image.mode == "1" else "RGB")
    return image


def match_channels(image: Image, colour: Sequence[int], normalisation: Normalisation | None = None) -> Sequence[int]:
    """A colour of 1 or 3 channels with as many as the image's colours have.

    Raises:
        ValueError: a grey colour for an image that is not grey, or the reverse.
    """
    wanted = colour_channels(image)
    if len(colour) == wanted:
        return colour
    if len(colour) < wanted and is_grey(as_uint8(_first(image, normalisation))):
        return tuple(colour) * wanted
    if len(colour) > wanted and len(set(colour)) == 1:
        return tuple(colour)[:wanted]
    raise ValueError(
        f"the cache's colours have {len(colour)} channel(s), the image has {wanted}: mined on other images?"
    )


def colour_fill(image: Image, colour: Sequence[int], normalisation: Normalisation | None = None) -> Sequence[float]:
    """One number per channel of ``image``, in its own range, for a uint8 colour of 1 or 3 channels; alpha is opaque.

    Raises:
        ValueError: see :func:`match_channels`.
    """
    if isinstance(image, PIL.Image.Image):
        return _pil_pixel(image.mode, match_channels(image, colour, normalisation))
    channels, dtype = image.shape[-3], image.dtype
    if len(colour) != channels:
        colour = match_channels(image, colour, normalisation)
        colour = [*colour, 255] if channels in (2, 4) else colour
    if dtype == torch.uint8:
        return colour
    if dtype in BITS:
        return [v << (BITS[dtype] - 8) for v in colour]
    if normalisation is None:
        return [v / 255 for v in colour]
    return [(v / 255 - m) / s for v, m, s in zip(colour, *normalisation.columns(channels), strict=True)]


def colour_fills(images: Tensor, colours: Tensor, normalisation: Normalisation | None = None) -> Tensor:
    """(N, C) numbers in the range of ``images`` (..., C, H, W) for N uint8 colours that match their channels."""
    if images.shape[-3] in (2, 4):
        colours = torch.cat([colours, torch.full((len(colours), 1), 255, dtype=colours.dtype)], 1)  # opaque
    if normalisation:
        return normalisation.apply(colours.T.double() / 255).T
    if images.dtype == torch.uint8:
        return colours
    return colours.long() << (BITS[images.dtype] - 8) if images.dtype in BITS else colours.double() / 255


def full(image: Tensor) -> int:
    """What the brightest pixel of a tensor's range holds: 1 for floats, all bits for integers."""
    return 2 ** BITS[image.dtype] - 1 if image.dtype in BITS else 1


def _first(image: Image, normalisation: Normalisation | None) -> Image:
    """The image, or a video's first frame, in [0, 1]."""
    if isinstance(image, Tensor) and image.ndim > 3:
        image = image[(0,) * (image.ndim - 3)]
    return normalisation.undo(image) if normalisation and isinstance(image, Tensor) else image


def mean_fill(image: Image) -> Sequence[float] | Tensor:
    """The mean per channel, in its own range, of an image or of all frames of a video; for a tensor (C, 1, 1)."""
    if isinstance(image, PIL.Image.Image):
        colours = as_uint8(image)[: colour_channels(image)]
        return _pil_pixel(image.mode, [round(value) for value in colours.mean((1, 2)).tolist()])
    plain = image.detach() if type(image) is Tensor else image.detach().as_subclass(Tensor)
    mean = plain.movedim(-3, 0).flatten(1).double().mean(1)[:, None, None]
    return (mean.round() if image.dtype in BITS else mean).to(image.dtype)


def number_fill(image: Image, value: Sequence[float]) -> Sequence[float]:
    """The given numbers, checked against what the image's integers can hold."""
    top = full(image) if isinstance(image, Tensor) else 255
    if (isinstance(image, PIL.Image.Image) or image.dtype in BITS) and not all(0 <= v <= top for v in value):
        raise ValueError(f"value must lie in 0…{top} for such images, got {tuple(value)}")
    return value


def noise(
    image: Tensor, shape: tuple[int, int], normalisation: Normalisation | None = None, *, count: int = 1
) -> Tensor:
    """Uniform noise (count, C, *shape) over the range of a tensor: all its integers, or [0, 1] and then normalised."""
    size = (image.shape[-3], count, *shape)
    drawn = torch.randint(full(image) + 1, size) if image.dtype in BITS else torch.rand(size)
    if size[0] in (2, 4):
        drawn[-1] = full(image)  # alpha
    return (normalisation.apply(drawn) if normalisation else drawn).movedim(0, 1).to(image.dtype)


def pil_noise(image: PIL.Image.Image, shape: tuple[int, int]) -> PIL.Image.Image:
    """Uniform noise (height, width) in the mode of a PIL image; opaque."""
    size = (colour_channels(image), *shape)
    array = torch.randint(256, size, dtype=torch.uint8).numpy()
    return PIL.Image.fromarray(array[0] if size[0] == 1 else array.transpose(1, 2, 0).copy()).convert(image.mode)


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
