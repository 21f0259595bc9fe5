"""Where to erase in one image or in every image of a batch: those with an index all at once, others one by one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pasm_aug.core.geometry import Box, side_in_pixels
from pasm_aug.transforms import fill
from pasm_aug.transforms.erase_point import ErasePoint
from pasm_aug.transforms.indexed_dataset import SampleIndex
from pasm_aug.transforms.placement import DRAWS, Placing, leading, spots_of
from pasm_aug.transforms.row_lookup import NAMELESS, names_of, rows_by_index


class BatchPlacing(Placing):
    """:class:`~pasm_aug.transforms.placement.Placing` for batches too; each image gets what it would get alone."""

    def _draw(self, images: Sequence[Any], sample: Any, leaves: Sequence[Any]) -> dict[str, Any]:
        """What ``make_params`` returns, for a sample whose images are one image, or one batch, in several forms."""
        size = fill.check_image(images[0], self._normalisation) if len(images) == 1 else self._check(images)
        image, cache = images[0], self.cache
        if cache is not None:
            cache.refresh()
        point = given = None
        for leaf in leaves:
            if isinstance(leaf, SampleIndex):
                given = leaf
            elif point is None and isinstance(leaf, ErasePoint):
                point = leaf
        if isinstance(image, Tensor) and image.ndim > 3 and leading(image):
            return self._draw_batch(image, size, sample, leaves, point, given)
        name, row = NAMELESS, None
        if given is not None and point is None and cache is not None and self.index_getter == "default":
            with torch._C.DisableTorchFunctionSubclass():  # else each step asks the class what to return
                row = cache.quick_row(given.tolist())
        if row is None and (leaves or callable(self.index_getter)):
            name = names_of(sample, leaves, self.index_getter, None)[0]
        spots = None if point is None else spots_of(point, *size, 1)[0]
        box, colour = self._draw_one(torch.rand(DRAWS).tolist(), image, *size, name, spots, row)
        return {"box": box, "colour": colour}

    def _draw_batch(
        self,
        images: Tensor,
        size: tuple[int, int],
        sample: Any,
        leaves: Sequence[Any],
        point: ErasePoint | None,
        given: SampleIndex | None,
    ) -> dict[str, Any]:
        cache, lead = self.cache, images.shape[: leading(images)]
        count = math.prod(lead)
        u = torch.rand(count, DRAWS).numpy().astype(np.float64)
        boxes: list[Box | None] = [None] * count
        colours = np.zeros((count, fill.colour_channels(images)), np.uint8)
        wanted = u[:, 0] < self.p  # and not placed yet
        kept = count - int(np.count_nonzero(wanted))
        self._counts.add(calls=kept, pixels=kept * size[0] * size[1])
        if cache is not None and given is not None and given.shape == (count, 2) and point is None:
            rows = rows_by_index(cache, given) if self.index_getter == "default" else None
            fitting = cache.channels == colours.shape[1]
            if rows is not None and (fitting or self.value != "point"):
                hits = (wanted & (rows >= 0)).nonzero()[0]
                drawn = u[hits]
                xy, mined = cache.points_at(rows[hits], (drawn[:, 1] * cache.points).astype(int))
                colours[hits] = mined if fitting else 0
                for i, box in zip(hits.tolist(), self._boxes_of_hits(xy, drawn, size), strict=True):
                    boxes[i] = box
                wanted[hits] = False
        rest = wanted.nonzero()[0].tolist()
        if rest:
            each = images.flatten(0, len(lead) - 1)
            names = names_of(sample, leaves, self.index_getter, count)
            spots = [None] * count if point is None else spots_of(point, *size, count)
            for i in rest:
                boxes[i], colour = self._draw_one(u[i].tolist(), each[i], *size, names[i], spots[i])
                if colour and boxes[i] is not None:
                    colours[i] = fill.match_channels(each[i], colour, self._normalisation)
        return {"boxes": boxes, "colours": torch.from_numpy(colours)}

    def _boxes_of_hits(self, xy: np.ndarray, u: np.ndarray, size: tuple[int, int]) -> list[Box]:
        """The boxes of N mined points (N, 2) with the random numbers (N, DRAWS), as of :meth:`_draw_one`; counted."""
        width, height = size
        if (xy >= size).any():
            x, y = xy[(xy >= size).any(1)][0].tolist()
            raise self._outside(x, y, width, height)
        centres = self._centre(xy[:, 0], xy[:, 1], u[:, 3:5].T, width, height)
        if self.size_range is None:
            side: Any = side_in_pixels(self.size, min(size))
        else:
            side = np.array([self._drawn_side(one, min(size)) for one in u[:, 2].tolist()], dtype=int)
        corners = np.array(centres, dtype=int) - side // 2
        low, high = np.maximum(corners, 0), np.minimum(corners + side, [[width], [height]])
        widths, heights = high - low
        area, pixels = int(widths.dot(heights)), len(xy) * width * height
        self._counts.add(calls=len(xy), hits=len(xy), erased_pixels=area, pixels=pixels)
        return list(zip(*low.tolist(), *high.tolist(), strict=True))
