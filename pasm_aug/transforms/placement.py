"""Where to erase: the place and colour of each image's square, looked up or drawn, and counted.

Which row of the cache is an image's is decided by, in this order: an :class:`ErasePoint` (place alone), a
:class:`SampleIndex` or a dict entry ``"index"``, and else the image's content.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from typing import Any

import PIL.Image
from torch import Tensor
from torchvision import tv_tensors

from pasm_aug.cache.position_cache import PositionCache
from pasm_aug.core.geometry import Box, clipped_box, side_in_pixels
from pasm_aug.core.image_content import content_key
from pasm_aug.transforms import fill
from pasm_aug.transforms.erase_point import ErasePoint
from pasm_aug.transforms.miss_report import Counting
from pasm_aug.transforms.row_lookup import NAMELESS, Name, find_row
from pasm_aug.transforms.validation import check_probability, check_size, check_size_range

DRAWS = 9  # p, rank, size, two for the place, four for the colour: as many for a miss as for a hit

Colour = tuple[int, ...]


class Placing(Counting):
    """What :class:`~pasm_aug.transforms.erase.PointAdversarialErase` knows of places; its options are explained there."""

    def __init__(
        self,
        cache: str | os.PathLike[str] | PositionCache | None,
        *,
        p: float,
        size: float,
        size_range: tuple[float, float] | None,
        value: str | float | Sequence[float],
        on_miss: str,
        index_getter: str | Callable[[Any], Any] | None,
        mean: Sequence[float] | None,
        std: Sequence[float] | None,
    ) -> None:
        super().__init__()
        self.cache = cache if cache is None or isinstance(cache, PositionCache) else PositionCache.open(cache)
        if on_miss not in ("random", "skip", "raise"):
            raise ValueError(f'on_miss must be "random", "skip" or "raise", got {on_miss!r}')
        if index_getter is not None and index_getter != "default" and not callable(index_getter):
            raise TypeError(f'index_getter must be "default", a callable or None, got {index_getter!r}')
        self.on_miss, self.index_getter = on_miss, index_getter
        self.p = check_probability(p)
        self.size = check_size("size", size)
        self.size_range = None if size_range is None else check_size_range(size_range)
        self.value = fill.check_value(value)
        self._normalisation = fill.check_normalisation(mean, std)

    def _draw_one(
        self,
        u: list[float],
        image: Any,
        width: int,
        height: int,
        name: Name,
        spots: list[list[float]] | None,
        row: int | None = None,
    ) -> tuple[Box | None, Colour]:
        """Box and colour of one image, from its :data:`DRAWS` uniform numbers; ``None``: leave it.

        Its row is looked up by ``name`` unless it is known already.
        """
        erase, rank, size, *place, c0, c1, c2, _ = u
        if erase >= self.p:
            self._counts.add(calls=1, pixels=width * height)
            return None, ()
        shorter = min(width, height)
        side = side_in_pixels(self.size, shorter) if self.size_range is None else self._drawn_side(size, shorter)
        found = self._find(rank, side, image, width, height, name, spots, row)
        if found is not None:
            x, y, colour = found
            x, y = self._centre(x, y, place, width, height)
            box = clipped_box(int(x), int(y), side, width, height)
        elif self._on_miss(image) == "skip":
            self._counts.add(calls=1, misses=1, skipped=1, pixels=width * height)
            return None, ()
        else:
            box = clipped_box(*self._anywhere(place, side, width, height), side, width, height)
            channels = fill.colour_channels(image)
            grey = self.cache is not None and self.cache.channels == 1
            colour = tuple(int(u * 256) for u in ((c0,) * channels if grey else (c0, c1, c2)[:channels]))
        assert box is not None
        area = (box[2] - box[0]) * (box[3] - box[1])
        hit = found is not None
        self._counts.add(calls=1, hits=hit, misses=not hit, erased_pixels=area, pixels=width * height)
        return box, colour

    def _find(
        self,
        rank: float,
        side: int,
        image: Any,
        width: int,
        height: int,
        name: Name,
        spots: list[list[float]] | None,
        row: int | None,
    ) -> tuple[int, int, Colour] | None:
        """(x, y, colour) of one of the image's points, or ``None``."""
        cache = self.cache
        if spots is not None:
            # Of several points one is drawn whose square is still on the canvas.
            pixels = [(k, math.floor(x), math.floor(y)) for k, (x, y) in enumerate(spots) if not math.isnan(x)]
            pixels = [(k, x, y) for k, x, y in pixels if clipped_box(x, y, side, width, height)]
            if not pixels:
                return None
            chosen, x, y = pixels[int(rank * len(pixels))]
            if self.value != "point":
                return x, y, ()
            if cache is None or name.number is None:
                raise ValueError(
                    'an ErasePoint has no colour: value="point" needs the cache and a SampleIndex beside it '
                    "(IndexedDataset gives both), or give another value"
                )
            row = find_row(cache, name._replace(trusted=True), int)  # random geometry has changed the content
            return None if row < 0 else (x, y, cache.point(row, min(chosen, cache.points - 1))[2])
        if cache is None:
            return None
        if row is None:
            if name is NAMELESS:
                row = cache.find(content_key(self._whole(image)))
            else:
                row = find_row(cache, name, lambda: content_key(self._whole(image)))
        if row < 0:
            return None
        x, y, colour = cache.point(row, int(rank * cache.points))
        if x >= width or y >= height:
            raise self._outside(x, y, width, height)
        return x, y, colour

    def _outside(self, x: int, y: int, width: int, height: int) -> ValueError:
        return ValueError(
            f"the point ({x}, {y}) in {self.cache.path if self.cache else None} lies outside this image of "
            f"{width}x{height}: it was mined at another size"
        )

    def _centre(self, x: Any, y: Any, u: Any, width: int, height: int) -> tuple[Any, Any]:
        """Where the square of an image with a point at (x, y) goes; ``u``: two uniform numbers. Also for arrays."""
        return x, y

    def _anywhere(self, u: list[float], side: int, width: int, height: int) -> tuple[int, int]:
        """A place for an image without a point: the square lies within the image."""
        x, y = (
            int(at * max(length - side + 1, 1)) + min(side, length) // 2
            for at, length in zip(u, (width, height), strict=True)
        )
        return x, y

    def _drawn_side(self, u: float, shorter: int) -> int:
        assert self.size_range is not None
        low, high = self.size_range
        if isinstance(low, int):
            return low + int(u * (high - low + 1))
        return side_in_pixels(low + u * (high - low), shorter)

    def _check(self, images: Sequence[Any]) -> tuple[int, int]:
        """(width, height) that all images of a sample must have."""
        if not images:
            raise TypeError("the sample holds no image: neither a PIL image nor a tensor (..., C, H, W)")
        first = fill.check_image(images[0], self._normalisation)
        if len(images) > 1:
            shapes = [(fill.check_image(x, self._normalisation), _lead_shape(x)) for x in images]
            if len(set(shapes)) > 1:
                raise ValueError(
                    "the images of a sample must have one size (width, height) and one number of images, got "
                    f"{[(*size, *lead) for size, lead in shapes]}"
                )
        return first


def leading(image: Any) -> int:
    """How many leading dimensions of a tensor count images, or videos."""
    return image.ndim - (4 if isinstance(image, tv_tensors.Video) else 3)


def _lead_shape(image: Any) -> tuple[int, ...]:
    return () if isinstance(image, PIL.Image.Image) else tuple(image.shape[: leading(image)])


def spots_of(point: ErasePoint, width: int, height: int, count: int) -> list[list[list[float]]]:
    """The points (x, y) of each of ``count`` images."""
    if tuple(point.canvas_size) != (height, width):
        raise ValueError(
            f"the ErasePoint is for a canvas (height, width) = {tuple(point.canvas_size)}, the image has "
            f"{(height, width)}: a transform changed one without the other"
        )
    if math.prod(point.shape[:-2]) != count:
        raise ValueError(f"{count} images need an ErasePoint ({count}, K, 2), got {tuple(point.shape)}")
    return point.as_subclass(Tensor).reshape(count, -1, 2).tolist()
