"""Which square to erase: from uniform numbers, and a point where one was found, to boxes and colours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pasm_aug.core.geometry import Box, clipped_box, side_in_pixels

DRAWS = 9  # p, rank, size, two for the place, four for the colour: as many for a miss as for a hit

Colour = tuple[int, ...]
Centre = Callable[[Any, Any, Any, int, int], tuple[Any, Any]]


def at_the_point(x: Any, y: Any, u: Any, width: int, height: int) -> tuple[Any, Any]:
    """The centre of PASM's square: the point itself. Takes ints, or arrays (N,) of many images at once.

    Args:
        x (int or array): of the point.
        y (int or array): of the point.
        u (pair of floats or of arrays): two uniform numbers.
        width (int): of the image.
        height (int): of the image.
    """
    return x, y


def at_any_pixel(x: Any, y: Any, u: Any, width: int, height: int) -> tuple[Any, Any]:
    """A uniformly drawn pixel, wherever the point is; see :func:`at_the_point`."""
    return u[0] * width // 1, u[1] * height // 1


class Placement:
    """Places squares; draws no random numbers itself. An image has :data:`DRAWS` of them: ``u`` in what follows.

    Args:
        p (float): probability of erasing.
        size (float): side of the square: a float is a share of the image's shorter side, an int is pixels.
        size_range (tuple of two floats, optional): (low, high) alike, both included; replaces ``size``.
        centre (callable): where the square of an image with a point goes: :func:`at_the_point` or another rule.
    """

    def __init__(
        self,
        p: float,
        size: float,
        size_range: tuple[float, float] | None = None,
        *,
        centre: Centre = at_the_point,
    ) -> None:
        self.p, self.size, self.size_range, self.centre = p, size, size_range, centre

    def side(self, u: list[float], shorter: int) -> int:
        """Of the square, in pixels, for an image whose shorter side is ``shorter``."""
        if self.size_range is None:
            return side_in_pixels(self.size, shorter)
        low, high = self.size_range
        if isinstance(low, int):
            return low + int(u[2] * (high - low + 1))
        return side_in_pixels(low + u[2] * (high - low), shorter)

    def around(self, x: int, y: int, u: list[float], side: int, width: int, height: int) -> Box:
        """The box of the square of an image with a point at (x, y), clipped at the borders."""
        if self.centre is not at_the_point:
            x, y = map(int, self.centre(x, y, u[3:5], width, height))
        box = clipped_box(x, y, side, width, height)
        assert box is not None
        return box

    def around_each(self, xy: np.ndarray, u: np.ndarray, width: int, height: int) -> list[Box]:
        """:meth:`around` of N images of one size.

        Args:
            xy (array): (N, 2), a point of each.
            u (array): (N, DRAWS) float64, the uniform numbers of each.
        """
        centres = self.centre(xy[:, 0], xy[:, 1], u[:, 3:5].T, width, height)
        shorter = min(width, height)
        if self.size_range is None:
            side: Any = side_in_pixels(self.size, shorter)
        else:
            side = np.array([self.side(one, shorter) for one in u[:, :3].tolist()], dtype=int)
        corners = np.array(centres, dtype=int) - side // 2
        low, high = np.maximum(corners, 0), np.minimum(corners + side, [[width], [height]])
        return list(zip(*low.tolist(), *high.tolist(), strict=True))

    def anywhere(self, u: list[float], side: int, width: int, height: int) -> Box:
        """The box of the square of an image without a point: it lies within the image."""
        x, y = (
            int(at * max(length - side + 1, 1)) + min(side, length) // 2
            for at, length in zip(u[3:5], (width, height), strict=True)
        )
        box = clipped_box(x, y, side, width, height)
        assert box is not None
        return box


def drawn_colour(u: list[float], channels: int, *, grey: bool) -> Colour:
    """The uint8 colour of an image without a point, with 1 or 3 channels; all equal if ``grey``."""
    return tuple(int(one * 256) for one in (u[5:6] * channels if grey else u[5 : 5 + channels]))
