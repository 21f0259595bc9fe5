"""What ``make_params`` of an erasing transform returns: the parts put together for one sample."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pasm_aug.core.geometry import Box
from pasm_aug.core.image_content import as_uint8
from pasm_aug.transforms.erase_point import ErasePoint, points_of_each
from pasm_aug.transforms.fill import match_channels
from pasm_aug.transforms.images import Image, as_mined, check_images, colour_channels, leading
from pasm_aug.transforms.indexed_dataset import SampleIndex
from pasm_aug.transforms.miss_report import MissReport
from pasm_aug.transforms.placement import DRAWS, Colour, Placement, drawn_colour
from pasm_aug.transforms.point_lookup import PointLookup
from pasm_aug.transforms.sample_id import UNKNOWN, SampleId
from pasm_aug.transforms.shared_counters import SharedCounters
from pasm_aug.transforms.where import Where

_LOOK_AT = 64
COUNTERS = ("calls", "hits", "misses", "skipped", "warned", "erased_pixels", "pixels")


@dataclass
class ParamsMaker:
    """Draws the boxes and colours of a sample: looked up where the cache knows the image, and counted.

    An image's row is decided by, in this order: an :class:`ErasePoint` (geometry alone), a :class:`SampleIndex` or a
    dict entry ``"index"``, and else the image's content.

    Attributes:
        points (PointLookup): where an image's point is.
        placement (Placement): where its square goes.
        misses (MissReport): what to do without a point.
        counters (SharedCounters): with the names in :data:`COUNTERS`.
        where (Where, optional): which images may be erased.
        in_range (bool): whether what fills the square needs images in [0, 1]; the first floating ones are looked at.
    """

    points: PointLookup
    placement: Placement
    misses: MissReport
    counters: SharedCounters
    where: Where | None = None
    in_range: bool = False
    _looked_at: int = 0

    def __call__(self, images: Sequence[Image], sample: Any, leaves: Sequence[Any]) -> dict[str, Any]:
        """For a sample whose images are one image, or one batch, in several forms.

        Args:
            images (sequence): those of the sample.
            sample (Any): (image, label, …), a dict, or the image alone.
            leaves (sequence): the flattened sample.
        """
        lookup = self.points.rows
        size = check_images(images, lookup.normalisation)
        image = images[0]
        if self.in_range and self._looked_at < _LOOK_AT and isinstance(image, Tensor):
            self._looked_at += 1
            if image.is_floating_point() and image.numel():
                as_uint8(as_mined(image, lookup.normalisation))  # refuses other ranges
        if lookup.cache is not None:
            lookup.cache.refresh()
        travelled = index = None
        for leaf in leaves:
            if isinstance(leaf, SampleIndex):
                index = leaf
            elif travelled is None and isinstance(leaf, ErasePoint):
                travelled = leaf
        if isinstance(image, Tensor) and image.ndim > 3 and leading(image):
            return self._batch(image, size, sample, leaves, travelled, index)
        row = None if index is None or travelled is not None else lookup.quick_row(index)
        sample_id = UNKNOWN
        if row is None and (leaves or callable(lookup.index_getter)):
            sample_id = lookup.sample_ids(sample, leaves)[0]
        points = None if travelled is None else points_of_each(travelled, *size, 1)[0]
        box, colour = self._one(torch.rand(DRAWS, device="cpu").tolist(), image, *size, sample_id, points, row)
        return {"box": box, "colour": colour}

    def _one(
        self,
        u: list[float],
        image: Image,
        width: int,
        height: int,
        sample_id: SampleId,
        travelled: list[list[float]] | None,
        row: int | None = None,
    ) -> tuple[Box | None, Colour]:
        """Box and colour of one image, from its uniform numbers; ``None``: leave it. A known row is not looked up."""
        placement, count = self.placement, self.counters.add
        if u[0] >= placement.p:
            count(calls=1, pixels=width * height)
            return None, ()
        if self.where is not None:
            lookup = self.points.rows
            if row is None:
                row = lookup.row(image, sample_id) if travelled is None else lookup.row_of_changed(sample_id)
            if not self.where.allows(row):
                count(calls=1, pixels=width * height)
                return None, ()
        side = placement.side(u, min(width, height))
        if travelled is not None:
            found = self.points.of_travelled(travelled, u[1], side, width, height, sample_id)
        elif row is not None:
            found = self.points.of_row(row, u[1], width, height)
        else:
            found = self.points.of_image(image, u[1], width, height, sample_id)
        if found is not None:
            x, y, colour = found
            box = placement.around(x, y, u, side, width, height)
        elif self.misses(image) == "skip":
            count(calls=1, misses=1, skipped=1, pixels=width * height)
            return None, ()
        else:
            cache = self.points.rows.cache
            box = placement.anywhere(u, side, width, height)
            colour = drawn_colour(u, colour_channels(image), grey=cache is not None and cache.channels == 1)
        left, top, right, bottom = box
        hit, area = found is not None, (right - left) * (bottom - top)
        count(calls=1, hits=hit, misses=not hit, erased_pixels=area, pixels=width * height)
        return box, colour

    def _batch(
        self,
        images: Tensor,
        size: tuple[int, int],
        sample: Any,
        leaves: Sequence[Any],
        travelled: ErasePoint | None,
        index: SampleIndex | None,
    ) -> dict[str, Any]:
        """Each image gets what it would get alone: those with an index all at once, the others one by one."""
        lookup, lead = self.points.rows, images.shape[: leading(images)]
        count, channels = math.prod(lead), colour_channels(images)
        u = torch.rand(count, DRAWS, device="cpu").numpy().astype(np.float64)
        boxes: list[Box | None] = [None] * count
        colours = np.zeros((count, channels), np.uint8)
        wanted = u[:, 0] < self.placement.p  # and not placed yet
        self._keep(count - int(np.count_nonzero(wanted)), size)
        if lookup.cache is not None and index is not None and index.shape == (count, 2) and travelled is None:
            rows, fitting = lookup.rows(index), lookup.cache.channels == channels
            if rows is not None and (fitting or not self.points.coloured):
                if self.where is not None:
                    allowed = np.append(self.where.rows(), True)[rows]  # -1, no row: the last
                    self._keep(int(np.count_nonzero(wanted & ~allowed)), size)
                    wanted &= allowed
                hits = (wanted & (rows >= 0)).nonzero()[0]
                placed, mined = self._hits(rows[hits], u[hits], size)
                colours[hits] = mined if fitting else 0
                for i, box in zip(hits.tolist(), placed, strict=True):
                    boxes[i] = box
                wanted[hits] = False
        rest = wanted.nonzero()[0].tolist()
        if rest:
            each = images.flatten(0, len(lead) - 1)
            sample_ids = lookup.sample_ids(sample, leaves, count)
            points = [None] * count if travelled is None else points_of_each(travelled, *size, count)
            for i in rest:
                boxes[i], colour = self._one(u[i].tolist(), each[i], *size, sample_ids[i], points[i])
                if colour and boxes[i] is not None:
                    colours[i] = match_channels(each[i], colour, lookup.normalisation)
        return {"boxes": boxes, "colours": torch.from_numpy(colours)}

    def _keep(self, count: int, size: tuple[int, int]) -> None:
        """Count images that are left as they are."""
        self.counters.add(calls=count, pixels=count * size[0] * size[1])

    def _hits(self, rows: np.ndarray, u: np.ndarray, size: tuple[int, int]) -> tuple[list[Box], np.ndarray]:
        """Boxes and colours of N images that have a row."""
        xy, colours = self.points.of_batch(rows, u[:, 1], *size)
        boxes = self.placement.around_each(xy, u, *size)
        area = sum((right - left) * (bottom - top) for left, top, right, bottom in boxes)
        pixels = len(rows) * size[0] * size[1]
        self.counters.add(calls=len(rows), hits=len(rows), erased_pixels=area, pixels=pixels)
        return boxes, colours
