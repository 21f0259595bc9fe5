"""The point of an image: one of its row, or one that came along with the image."""

from __future__ import annotations

import math

import numpy as np

from pasm_aug.core.errors import UserError
from pasm_aug.core.geometry import clipped_box
from pasm_aug.transforms.images import Image
from pasm_aug.transforms.placement import Colour
from pasm_aug.transforms.row_lookup import RowLookup
from pasm_aug.transforms.sample_id import UNKNOWN, SampleId


class PointLookup:
    """Finds points (x, y) and their mined colours.

    Args:
        rows (RowLookup): says which row is an image's.
        coloured (bool): whether the colour of a point that came along is wanted too, which only the row knows.
    """

    def __init__(self, rows: RowLookup, *, coloured: bool = True) -> None:
        self.rows, self.coloured = rows, coloured

    def of_row(self, row: int, rank: float, width: int, height: int) -> tuple[int, int, Colour] | None:
        """(x, y, colour) of one point of a row; ``rank``: a uniform number, which of the points.

        Raises:
            ValueError: the point lies outside the image.
        """
        cache = self.rows.cache
        if row < 0 or cache is None:
            return None
        x, y, colour = cache.point(row, int(rank * cache.points))
        if x >= width or y >= height:
            raise self._outside(x, y, width, height)
        return x, y, colour

    def of_image(
        self, image: Image, rank: float, width: int, height: int, sample_id: SampleId = UNKNOWN
    ) -> tuple[int, int, Colour] | None:
        """:meth:`of_row` for the row that is the image's."""
        return self.of_row(self.rows.row(image, sample_id), rank, width, height)

    def of_batch(self, rows: np.ndarray, ranks: np.ndarray, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
        """xy (N, 2) and colours (N, C) of N images that have a row; see :meth:`of_row`."""
        cache = self.rows.cache
        assert cache is not None
        xy, colours = cache.points_at(rows, (ranks * cache.points).astype(int))
        outside = (xy >= (width, height)).any(1)
        if outside.any():
            x, y = xy[outside][0].tolist()
            raise self._outside(x, y, width, height)
        return xy, colours

    def of_travelled(
        self, points: list[list[float]], rank: float, side: int, width: int, height: int, sample_id: SampleId
    ) -> tuple[int, int, Colour] | None:
        """(x, y, colour) of one of the points that came along; of those whose square is still on the canvas.

        Raises:
            ValueError: the colour is wanted, and there is no index or cache to look it up.
        """
        pixels = [(k, math.floor(x), math.floor(y)) for k, (x, y) in enumerate(points) if not math.isnan(x)]
        pixels = [(k, x, y) for k, x, y in pixels if clipped_box(x, y, side, width, height)]
        if not pixels:
            return None
        chosen, x, y = pixels[int(rank * len(pixels))]
        if not self.coloured:
            return x, y, ()
        row, cache = self.rows.row_of_changed(sample_id), self.rows.cache
        return None if row < 0 or cache is None else (x, y, cache.point(row, min(chosen, cache.points - 1))[2])

    def _outside(self, x: int, y: int, width: int, height: int) -> UserError:
        return UserError(
            f"the point ({x}, {y}) in {self.rows.cache.path if self.rows.cache else None} lies outside this image of "
            f"{width}x{height}: it was mined at another size"
        )
