"""What hides a part of an image: squares at the places of a regular grid, bands of rows, and what they are filled with.

Pure functions: noise comes from its key, so that batches, workers and processes change nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pasm_aug.core.checks import check_size
from pasm_aug.core.errors import UserError
from pasm_aug.core.geometry import Box, side_in_pixels
from pasm_aug.core.keyed_draws import keyed_uniform
from pasm_aug.core.rng import derive_seed

COLOURS = {"black": 0, "grey": 128, "white": 255}
FILLS = (*COLOURS, "mean", "random")
# Shares of the height. They cover the features both of faces as FER2013 cuts them (eyes around 0.36, mouth around 0.79)
# and of those that the aligner makes (0.47 and 0.75), and are equally tall, so that neither hides more of the image.
BANDS = {"eyes": (0.25, 0.55), "mouth": (0.65, 0.95)}


@dataclass(frozen=True, eq=False)
class Square:
    """A square of one size and fill, and the places that it is tried at.

    Attributes:
        side: in pixels. share: of the image's shorter side. fill: of :data:`FILLS`.
        tops (rows,), lefts (columns,): int64, the first row and the first column of pixels that it covers.
    """

    side: int
    share: float
    fill: str
    tops: np.ndarray
    lefts: np.ndarray

    @property
    def places(self) -> int:
        """How many places it is tried at; they are numbered row by row."""
        return len(self.tops) * len(self.lefts)

    def boxes(self, *, centre_first: bool = False) -> Iterator[tuple[int, Box]]:
        """Every place's number and its box (left, top, right, bottom), right and bottom exclusive; in order, or the
        nearest to the grid's centre first."""
        y, x = (axis.ravel() for axis in np.meshgrid(self.tops, self.lefts, indexing="ij"))
        far = (2 * y - self.tops[[0, -1]].sum()) ** 2 + (2 * x - self.lefts[[0, -1]].sum()) ** 2
        for place in np.argsort(far, kind="stable").tolist() if centre_first else range(self.places):
            left, top = int(x[place]), int(y[place])
            yield place, (left, top, left + self.side, top + self.side)


def squares_of(
    sizes: float | Sequence[float],
    fills: str | Sequence[str],
    places: int,
    stride: float | None = None,
    *,
    height: int,
    width: int,
) -> tuple[Square, ...]:
    """The squares of every size and fill for images of ``height`` × ``width``, size by size; see
    :func:`~pasm_aug.training.occlusion.evaluate_occlusion`.

    Raises:
        ValueError: no size or fill, one that cannot be, fewer than one place, or a stride of less than a pixel.
        TypeError: a size or a stride that is no number.
    """
    fills = [fills] if isinstance(fills, str) else list(dict.fromkeys(fills))
    sizes, shorter = [sizes] if isinstance(sizes, int | float) else list(sizes), min(height, width)
    unknown = [fill for fill in fills if fill not in FILLS]
    if unknown or not fills:
        raise UserError(f"fills must be some of {', '.join(FILLS)}, got {', '.join(map(repr, unknown)) or 'none'}")
    if isinstance(places, bool) or not isinstance(places, int) or places < 1:
        raise UserError(f"places must be a whole number of at least 1, got {places!r}")
    sides = [side_in_pixels(check_size("sizes", size), shorter) for size in sizes]
    if not sides or max(sides) > shorter:
        raise UserError(f"sizes must be at most the image's shorter side, {shorter} pixels, got {sizes}")
    step = None if stride is None else side_in_pixels(check_size("stride", stride), shorter)

    def along(length: int, side: int) -> np.ndarray:
        return starts(length - side, places) if step is None else strides(length - side, step)

    return tuple(
        Square(side, side / shorter, fill, along(height, side), along(width, side))
        for side in dict.fromkeys(sides)
        for fill in fills
    )


def starts(last: int, places: int) -> np.ndarray:
    """(at most ``places``,) int64 different whole numbers, spread evenly over 0…``last``, both among them."""
    return np.unique(np.rint(np.linspace(0, last, places)).astype(np.int64))


def strides(last: int, step: int) -> np.ndarray:
    """int64: 0, ``step``, 2 ``step``, … and ``last``, which a square at the border has."""
    return np.unique(np.append(np.arange(0, last + 1, step), last)).astype(np.int64)


def bands_of(height: int, width: int) -> dict[str, Box]:
    """The box of each of :data:`BANDS` in an image, from border to border, at least one row tall."""
    rows = {name: [round(share * height) for share in shares] for name, shares in BANDS.items()}
    return {name: (0, min(top, height - 1), width, max(bottom, top + 1)) for name, (top, bottom) in rows.items()}


def hide(images: Tensor, index: Tensor, box: Box, fill: str, seed: int) -> Tensor:
    """Fill one box of all images, in place.

    Args:
        images: (B, C, H, W) uint8. index: (B,) int64, the samples' numbers in their data set, for "random".
        box: (left, top, right, bottom), inside the images. fill: of :data:`FILLS`.
    """
    left, top, right, bottom = box
    patch: Tensor | int
    if fill == "random":
        patch = _noise(images, index, (bottom - top, right - left), derive_seed(seed, top, left))
    elif fill == "mean":
        pixels = images.shape[2] * images.shape[3]
        sums = images.sum((2, 3), keepdim=True)  # of whole numbers: the same whatever the batch
        patch = ((2 * sums + pixels) // (2 * pixels)).to(torch.uint8)
    else:
        patch = COLOURS[fill]
    images[..., top:bottom, left:right] = patch
    return images


def _noise(images: Tensor, index: Tensor, shape: tuple[int, int], seed: int) -> Tensor:
    """(B, C, *shape) uint8; grey for an image with three equal channels, which alone among grey ones has but one."""
    channels = images.shape[1]
    drawn = keyed_uniform(index, channels * shape[0] * shape[1], seed).mul(256).to(torch.uint8)
    drawn = drawn.reshape(len(index), channels, *shape)
    grey = (images == images[:, :1]).flatten(1).all(1)
    return torch.where(grey[:, None, None, None], drawn[:, :1], drawn)
