"""The images that are searched together: their queries, their ledger, their cost."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pasm_aug.search.candidates import corner_colours
from pasm_aug.search.incremental.windows import Maps
from pasm_aug.search.ledger import Ledger, Ranking, spread
from pasm_aug.search.scoring import Clean
from pasm_aug.search.teacher import TeacherObjective


class Batch:
    """Those images of a batch that are searched together, with their ledger and costs.

    Args:
        images: (B, C, H, W) uint8. clean: what the teacher says of them. keys: (B,) names of the random streams.
        rows: (n,) the images that take part; the arrays below and the methods count them from 0 to n − 1.
        maps: the clean feature maps of all B images, if candidates are to be scored by windows.

    Attributes:
        queries, forwards: (n,) candidates queried and forward-equivalents spent.
    """

    def __init__(
        self,
        objective: TeacherObjective,
        images: Tensor,
        clean: Clean,
        keys: NDArray[np.int64],
        rows: NDArray[np.int64],
        maps: Maps | None = None,
    ) -> None:
        self.objective, self.images, self.clean, self.keys, self.rows = objective, images, clean, keys, rows
        self.maps = maps
        ready = objective.prepared(images) if maps is not None else None
        self.share = ready.share if ready is not None else 1.0
        self.count = len(rows)
        self.channels, self.height, self.width = images.shape[1:]
        self.ledger = Ledger(self.height, self.width, self.channels)
        self.queries = np.zeros(self.count, dtype=np.int64)
        self.forwards = np.zeros(self.count)

    def evaluate(self, xy: NDArray[np.int64], colour: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Scores (n, M) of M candidates per image, ``xy`` (n, M, 2) and ``colour`` (n, M, C)."""
        return self._score(self.ledger.encode(np.arange(self.count)[:, None], xy, colour))

    def candidates(self, picked: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """Pixels (..., 2) and colours (..., C) of indices in the order y, x, corner colour."""
        corners = corner_colours(self.channels)
        place, corner = np.divmod(picked, len(corners))
        return np.stack([place % self.width, place // self.width], axis=-1), corners[corner]

    def _score(self, codes: NDArray[np.int64]) -> NDArray[np.float64]:
        new = self.ledger.missing(codes)
        image, xy, colour = self.ledger.decode(new)
        found = self.objective.evaluate(self.images, self.clean.target, self.rows[image], xy, colour, self.maps)
        self.ledger.add(new, *found)
        self.queries += np.bincount(self.ledger.decode(codes.ravel())[0], minlength=self.count)
        self.forwards += self.share * np.bincount(image, minlength=self.count)
        return self.ledger.scores(codes)

    def places(self, image: int, count: int, min_distance: int) -> Ranking:
        """The ``count`` best places of an image, best first; places never tried fill up where too few were."""
        ranking = self.ledger.ranking(image)
        if len(ranking.xy) < count:
            self._try_more(image, ranking, count - len(ranking.xy))
            ranking = self.ledger.ranking(image)
        chosen = np.sort(spread(ranking.xy, count, min_distance))
        return Ranking(*(column[chosen] for column in vars(ranking).values()))

    def _try_more(self, image: int, ranking: Ranking, count: int) -> None:
        tried = ranking.xy[:, 1] * self.width + ranking.xy[:, 0]
        place = np.setdiff1d(np.arange(self.height * self.width), tried)[:count]
        xy = np.stack([place % self.width, place // self.width], axis=1)
        pixels = self.images[self.rows[image]].cpu().numpy()[:, xy[:, 1], xy[:, 0]].T
        farthest = np.where(pixels < 128, 255, 0).astype(np.uint8)
        self._score(self.ledger.encode(np.full(len(place), image), xy, farthest))
