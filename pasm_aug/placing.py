"""Where to erase: the place and colour of each picture's square, looked up or drawn, and counted.

Which row of the cache is a picture's is decided by, in this order: an :class:`ErasePoint` (place alone), a
:class:`SampleIndex` or a dict entry ``"index"``, and else the picture's content.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import PIL.Image
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from pasm_aug import fill
from pasm_aug.cache import PositionCache
from pasm_aug.checks import check_probability, check_size, check_size_range
from pasm_aug.content import as_uint8, content_key, look
from pasm_aug.counts import SharedCounts
from pasm_aug.erase_point import ErasePoint
from pasm_aug.functional import Box, clipped_box, side_in_pixels
from pasm_aug.identity import NAMELESS, Name, SampleIndex, find_row, names_of, rows_by_index, why_missed

_DRAWS = 9  # p, rank, size, two for the place, four for the colour: as many for a miss as for a hit
_COUNTERS = ("calls", "erased", "hits", "misses", "skipped", "warned", "erased_pixels", "pixels")
_REMEMBERED = 64  # pictures missed, to tell why

Colour = tuple[int, ...]


class CacheMiss(LookupError, ValueError):
    """A picture without a row in the cache, where ``on_miss="raise"``."""


class Placing(v2.Transform):
    """What :class:`~pasm_aug.transforms.PointAdversarialErase` knows of places; its options are explained there."""

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
        self._counts = SharedCounts(_COUNTERS)
        self._missed: list[tuple[int, int]] = []

    def __getstate__(self) -> dict[str, Any]:
        """Without what every module has: workers are started with less than a kilobyte."""
        usual = vars(torch.nn.Module())
        return {k: v for k, v in vars(self).items() if k != "_missed" and (k not in usual or v != usual[k])}

    def __setstate__(self, state: dict[str, Any]) -> None:
        torch.nn.Module.__init__(self)
        self.__dict__.update(state, _missed=[])

    def stats(self) -> dict[str, int]:
        """Totals over all processes that share this transform, in pictures: ``calls``, ``erased``, ``hits``,
        ``misses``, and of these ``skipped``."""
        totals = self._counts.totals()
        return {name: totals[name] for name in ("calls", "erased", "hits", "misses", "skipped")}

    def erased_area(self) -> tuple[int, int]:
        """(pixels erased, pixels seen) over all processes."""
        return self._counts.erased_area()

    def _on_miss(self, image: Any) -> str:
        """Warn or raise where the options say so; return what to do."""
        cache = self.cache
        if cache is None:
            if self.on_miss == "raise":
                raise CacheMiss('cache is None: every picture is a miss, and on_miss="raise"')
            return self.on_miss
        if len(self._missed) < _REMEMBERED or self.on_miss == "raise":
            array = as_uint8(self._whole(image))
            self._missed.append((look(array), look(array[..., ::-1])))
        if self.on_miss == "raise":
            raise CacheMiss(f"no row for this picture in {cache.path}; {why_missed(cache, [self._missed.pop()])}")
        totals = self._counts.totals()
        seen = totals["hits"] + totals["misses"] + 1
        known = cache.unmined / max(len(cache), 1)  # pictures that the search skipped are no surprise
        if totals["calls"] >= 100 and not totals["warned"] and totals["misses"] > (0.1 + known) * seen:
            self._counts.add(warned=1)
            rate = f"hit rate {totals['hits'] / seen:.0%} in {seen} look-ups"
            warnings.warn(f"{cache.path}: {rate}; {why_missed(cache, self._missed)}", stacklevel=2)
        return self.on_miss

    def _draw(self, images: Sequence[Any], sample: Any, leaves: Sequence[Any]) -> dict[str, Any]:
        """What ``make_params`` returns, for the pictures of a sample."""
        size = self._check(images)
        image = images[0]
        if self.cache is not None:
            self.cache.refresh()
        point = next((leaf for leaf in leaves if isinstance(leaf, ErasePoint)), None) if leaves else None
        if not isinstance(image, PIL.Image.Image) and leading(image):
            return self._draw_batch(image, size, sample, leaves, point)
        named = leaves or callable(self.index_getter)
        name = names_of(sample, leaves, self.index_getter, None)[0] if named else NAMELESS
        spots = None if point is None else _spots(point, *size, 1)[0]
        box, colour = self._draw_one(torch.rand(_DRAWS).tolist(), image, *size, name, spots)
        return {"box": box, "colour": colour}

    def _draw_batch(
        self, images: Tensor, size: tuple[int, int], sample: Any, leaves: Sequence[Any], point: ErasePoint | None
    ) -> dict[str, Any]:
        """All pictures of a batch: known indices at once, the others one by one; either way the same places."""
        lead, (width, height) = images.shape[: leading(images)], size
        count = math.prod(lead)
        draws = torch.rand(count, _DRAWS).double()
        u = draws.numpy()
        boxes: list[Box | None] = [None] * count
        colours = np.zeros((count, fill.colour_channels(images)), np.uint8)
        done = u[:, 0] >= self.p
        given = next((leaf for leaf in leaves if isinstance(leaf, SampleIndex)), None)
        rows = None
        if self.cache is not None and given is not None and given.shape == (count, 2) and point is None:
            rows = rows_by_index(self.cache, given) if self.index_getter == "default" else None
        self._counts.add(calls=int(done.sum()), pixels=int(done.sum()) * width * height)
        if rows is not None and self.cache is not None:
            hits = np.flatnonzero(~done & (rows >= 0))
            xy, mined = self.cache.points_at(rows[hits], (u[hits, 1] * self.cache.points).astype(int))
            if mined.shape[1] == colours.shape[1] or self.value != "point":
                colours[hits] = mined if mined.shape[1] == colours.shape[1] else 0
                self._place_hits(hits, xy, u, size, boxes)
                done[hits] = True
        rest = np.flatnonzero(~done).tolist()
        if rest:
            each = images.flatten(0, len(lead) - 1)
            names = names_of(sample, leaves, self.index_getter, count)
            spots = [None] * count if point is None else _spots(point, width, height, count)
            for i in rest:
                boxes[i], colour = self._draw_one(u[i].tolist(), each[i], width, height, names[i], spots[i])
                if colour and boxes[i] is not None:
                    colours[i] = fill.match_channels(each[i], colour, self._normalisation)
        return {"boxes": boxes, "colours": torch.from_numpy(colours)}

    def _place_hits(
        self, hits: np.ndarray, xy: np.ndarray, u: np.ndarray, size: tuple[int, int], boxes: list[Box | None]
    ) -> None:
        """Put the boxes of mined points (N, 2) into ``boxes``, as :meth:`_draw_one` does for one."""
        limits = np.array(size)
        for x, y in xy[(xy >= limits).any(1)].tolist():
            self._check_inside(x, y, *size)
        x, y = xy.T.astype(int)
        x, y = self._centre(x, y, u[hits, 3:5].T, *size)
        side = self._sides(u[hits, 2], min(size))
        corner = np.stack([x, y], 1).astype(int) - side[:, None] // 2
        low, high = np.maximum(corner, 0), np.minimum(corner + side[:, None], limits)
        for i, box in zip(hits.tolist(), np.concatenate([low, high], 1).tolist(), strict=True):
            boxes[i] = box
        area, pixels = int((high - low).prod(1).sum()), len(hits) * size[0] * size[1]
        self._counts.add(calls=len(hits), erased=len(hits), hits=len(hits), erased_pixels=area, pixels=pixels)

    def _draw_one(
        self, u: list[float], image: Any, width: int, height: int, name: Name, spots: list[list[float]] | None
    ) -> tuple[Box | None, Colour]:
        """Box and colour of one picture, from its :data:`_DRAWS` uniform numbers; ``None``: leave it."""
        erase, rank, size, *place, c0, c1, c2, _ = u
        if erase >= self.p:
            self._counts.add(calls=1, pixels=width * height)
            return None, ()
        side = self._side(size, min(width, height))
        found = self._find(rank, side, image, width, height, name, spots)
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
        self._counts.add(calls=1, erased=1, hits=hit, misses=not hit, erased_pixels=area, pixels=width * height)
        return box, colour

    def _find(
        self, rank: float, side: int, image: Any, width: int, height: int, name: Name, spots: list[list[float]] | None
    ) -> tuple[int, int, Colour] | None:
        """(x, y, colour) of one of the picture's points, or ``None``."""
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
        row = find_row(cache, name, lambda: self._key(image))
        if row < 0:
            return None
        x, y, colour = cache.point(row, int(rank * cache.points))
        self._check_inside(x, y, width, height)
        return x, y, colour

    def _check_inside(self, x: int, y: int, width: int, height: int) -> None:
        if x >= width or y >= height:
            raise ValueError(
                f"the point ({x}, {y}) in {self.cache.path if self.cache else None} lies outside this picture of "
                f"{width}x{height}: it was mined at another size"
            )

    def _centre(self, x: Any, y: Any, u: Any, width: int, height: int) -> tuple[Any, Any]:
        """Where the square of a picture with a point at (x, y) goes; ``u``: two uniform numbers. Also for arrays."""
        return x, y

    def _anywhere(self, u: list[float], side: int, width: int, height: int) -> tuple[int, int]:
        """A place for a picture without a point: the square lies within the picture."""
        x, y = (
            int(at * max(length - side + 1, 1)) + min(side, length) // 2
            for at, length in zip(u, (width, height), strict=True)
        )
        return x, y

    def _side(self, u: float, shorter: int) -> int:
        if self.size_range is None:
            return side_in_pixels(self.size, shorter)
        low, high = self.size_range
        if isinstance(low, int):
            return low + int(u * (high - low + 1))
        return side_in_pixels(low + u * (high - low), shorter)

    def _sides(self, u: np.ndarray, shorter: int) -> np.ndarray:
        """:meth:`_side` for (N,) draws."""
        if self.size_range is None:
            return np.full(len(u), self._side(0.0, shorter))
        return np.array([self._side(one, shorter) for one in u.tolist()], dtype=int)

    def _whole(self, image: Any) -> Any:
        """One picture in [0, 1] or 0…255: a video's first frame, before ``Normalize``."""
        if isinstance(image, Tensor) and image.ndim > 3:
            image = image[(0,) * (image.ndim - 3)]
        return image if self._normalisation is None else self._normalisation.undo(image)

    def _key(self, image: Any) -> int:
        return content_key(self._whole(image))

    def _check(self, images: Sequence[Any]) -> tuple[int, int]:
        """(width, height) that all pictures of a sample must have."""
        if not images:
            raise TypeError("the sample holds no picture: neither a PIL image nor a tensor (..., C, H, W)")
        first = fill.check_image(images[0], self._normalisation)
        if len(images) > 1:
            shapes = [(fill.check_image(x, self._normalisation), _lead_shape(x)) for x in images]
            if len(set(shapes)) > 1:
                raise ValueError(
                    "the pictures of a sample must have one size (width, height) and one number of pictures, got "
                    f"{[(*size, *lead) for size, lead in shapes]}"
                )
        return first


def leading(image: Any) -> int:
    """How many leading dimensions of a tensor count pictures, or videos."""
    return image.ndim - (4 if isinstance(image, tv_tensors.Video) else 3)


def _lead_shape(image: Any) -> tuple[int, ...]:
    return () if isinstance(image, PIL.Image.Image) else tuple(image.shape[: leading(image)])


def _spots(point: ErasePoint, width: int, height: int, count: int) -> list[list[list[float]]]:
    """The points (x, y) of each of ``count`` pictures."""
    if tuple(point.canvas_size) != (height, width):
        raise ValueError(
            f"the ErasePoint is for a canvas (height, width) = {tuple(point.canvas_size)}, the picture has "
            f"{(height, width)}: a transform changed one without the other"
        )
    if math.prod(point.shape[:-2]) != count:
        raise ValueError(f"{count} pictures need an ErasePoint ({count}, K, 2), got {tuple(point.shape)}")
    return point.as_subclass(Tensor).reshape(count, -1, 2).tolist()
