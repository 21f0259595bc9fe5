"""What a patch is filled with, in the range and channels of the image at hand: PIL, uint8, float or normalised."""

from __future__ import annotations

from collections.abc import Sequence

import PIL.Image
import torch
from torch import Tensor

from pasm_aug.core.errors import UserError
from pasm_aug.core.image_content import BITS, as_uint8, is_grey
from pasm_aug.transforms.images import Image, as_mined, colour_channels
from pasm_aug.transforms.normalisation import Normalisation


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
    if len(colour) < wanted and is_grey(as_uint8(as_mined(image, normalisation))):
        return tuple(colour) * wanted
    if len(colour) > wanted and len(set(colour)) == 1:
        return tuple(colour)[:wanted]
    raise UserError(
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
        raise UserError(f"value must lie in 0…{top} for such images, got {tuple(value)}")
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
