"""Where to erase in every picture of a batch: those with an index all at once, the others one by one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import PIL.Image
import torch
from torch import Tensor

from pasm_aug import fill
from pasm_aug.erase_point import ErasePoint
from pasm_aug.functional import Box
from pasm_aug.identity import SampleIndex, names_of, rows_by_index
from pasm_aug.placing import DRAWS, Placing, leading, spots_of


class BatchPlacing(Placing):
    """:class:`~pasm_aug.placing.Placing` for batches too; each picture gets what it would get alone."""

    def _draw(self, images: Sequence[Any], sample: Any, leaves: Sequence[Any]) -> dict[str, Any]:
        if not images or isinstance(images[0], PIL.Image.Image) or not leading(images[0]):
            return super()._draw(images, sample, leaves)
        size = self._check(images)
        if self.cache is not None:
            self.cache.refresh()
        return self._draw_batch(images[0], size, sample, leaves)

    def _draw_batch(self, images: Tensor, size: tuple[int, int], sample: Any, leaves: Sequence[Any]) -> dict[str, Any]:
        cache, lead = self.cache, images.shape[: leading(images)]
        count = math.prod(lead)
        u = torch.rand(count, DRAWS).double().numpy()
        boxes: list[Box | None] = [None] * count
        colours = np.zeros((count, fill.colour_channels(images)), np.uint8)
        done = u[:, 0] >= self.p
        kept = int(done.sum())
        self._counts.add(calls=kept, pixels=kept * size[0] * size[1])
        point = next((leaf for leaf in leaves if isinstance(leaf, ErasePoint)), None)
        given = next((leaf for leaf in leaves if isinstance(leaf, SampleIndex)), None)
        if cache is not None and given is not None and given.shape == (count, 2) and point is None:
            rows = rows_by_index(cache, given) if self.index_getter == "default" else None
            fitting = cache.channels == colours.shape[1]
            if rows is not None and (fitting or self.value != "point"):
                hits = np.flatnonzero(~done & (rows >= 0))
                xy, mined = cache.points_at(rows[hits], (u[hits, 1] * cache.points).astype(int))
                colours[hits] = mined if fitting else 0
                self._place_hits(hits, xy, u, size, boxes)
                done[hits] = True
        rest = np.flatnonzero(~done).tolist()
        if rest:
            each = images.flatten(0, len(lead) - 1)
            names = names_of(sample, leaves, self.index_getter, count)
            spots = [None] * count if point is None else spots_of(point, *size, count)
            for i in rest:
                boxes[i], colour = self._draw_one(u[i].tolist(), each[i], *size, names[i], spots[i])
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
        if self.size_range is None:
            side = np.full(len(hits), self._side(0.0, min(size)))
        else:
            side = np.array([self._side(one, min(size)) for one in u[hits, 2].tolist()], dtype=int)
        corner = np.stack([x, y], 1).astype(int) - side[:, None] // 2
        low, high = np.maximum(corner, 0), np.minimum(corner + side[:, None], limits)
        for i, box in zip(hits.tolist(), np.concatenate([low, high], 1).tolist(), strict=True):
            boxes[i] = box
        area, pixels = int((high - low).prod(1).sum()), len(hits) * size[0] * size[1]
        self._counts.add(calls=len(hits), erased=len(hits), hits=len(hits), erased_pixels=area, pixels=pixels)
