"""The book of every candidate scored so far: nothing is evaluated twice, and the best places are read off at the end.

A candidate (image, position, colour) is one int64 code, and the codes are kept sorted, which is by image, y, x, colour.
So equal candidates tie exactly whatever batch they would have been scored in, and ties between different ones are
broken by y, x, colour. On grey images differential evolution repeats itself in more than half of its candidates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Ranking:
    """Scored positions of one image with the best colour of each, best first: (P, 2), (P, C), (P,), (P,)."""

    xy: Ints
    colour: NDArray[np.uint8]
    scores: Floats
    probabilities: Floats


class Ledger:
    """Scores of one-pixel candidates of images of height × width × channels (1 or 3)."""

    def __init__(self, height: int, width: int, channels: int) -> None:
        self.height, self.width, self.channels = height, width, channels
        self._codes: Ints = np.empty(0, dtype=np.int64)
        self._values: Floats = np.empty((0, 2))  # score, probability

    def encode(self, image: Ints, xy: Ints, colour: NDArray[np.uint8]) -> Ints:
        """Codes of candidates: ``image`` (...), ``xy`` (..., 2), ``colour`` (..., C), broadcast against each other."""
        code = (image * self.height + xy[..., 1]) * self.width + xy[..., 0]
        for channel in range(self.channels):
            code = (code << 8) | colour[..., channel]
        return code

    def decode(self, codes: Ints) -> tuple[Ints, Ints, NDArray[np.uint8]]:
        """Image (...), xy (..., 2) and colour (..., C) of codes."""
        shifts = 8 * np.arange(self.channels)[::-1]
        colour = ((codes[..., None] >> shifts) & 255).astype(np.uint8)
        place, x = np.divmod(codes >> (8 * self.channels), self.width)
        image, y = np.divmod(place, self.height)
        return image, np.stack([x, y], axis=-1), colour

    def missing(self, codes: Ints) -> Ints:
        """The codes not scored yet: sorted, each once."""
        codes = np.unique(codes)
        return codes[~self._known(codes)]

    def _known(self, codes: Ints) -> NDArray[np.bool_]:
        place = np.searchsorted(self._codes, codes)
        inside = place < len(self._codes)
        inside[inside] = self._codes[place[inside]] == codes[inside]
        return inside

    def add(self, codes: Ints, scores: Floats, probabilities: Floats) -> None:
        """Enter codes from :meth:`missing`."""
        merged = np.concatenate([self._codes, codes])
        order = merged.argsort(kind="stable")
        self._codes = merged[order]
        self._values = np.concatenate([self._values, np.stack([scores, probabilities], axis=1)])[order]

    def scores(self, codes: Ints) -> Floats:
        """Scores of codes entered before, in the shape of ``codes``."""
        return self._values[np.searchsorted(self._codes, codes), 0]

    def ranking(self, image: int) -> Ranking:
        """All positions of an image that were tried."""
        size = (self.height * self.width) << (8 * self.channels)
        rows = slice(*np.searchsorted(self._codes, [image * size, (image + 1) * size]))
        codes, values = self._codes[rows], self._values[rows]
        order = values[:, 0].argsort(kind="stable")
        _, first = np.unique(codes[order] >> (8 * self.channels), return_index=True)
        best = order[np.sort(first)]
        _, xy, colour = self.decode(codes[best])
        return Ranking(xy, colour, values[best, 0], values[best, 1])


def spread(xy: Ints, count: int, min_distance: int) -> Ints:
    """Indices of the first ``count`` of the positions ``xy`` (P, 2) that keep ``min_distance`` (Chebyshev) apart.

    Taken greedily in the given order; where no more fit, the distance gives way one by one down to 1. Fewer than
    ``count`` only if there are fewer positions.
    """
    chosen: list[int] = []
    gap = np.full(len(xy), np.iinfo(np.int64).max)  # distance to the nearest chosen one
    while len(chosen) < min(count, len(xy)):
        free = np.flatnonzero(gap >= min_distance)
        if len(free):
            chosen.append(int(free[0]))
            gap = np.minimum(gap, np.abs(xy - xy[free[0]]).max(axis=1))
        else:
            min_distance -= 1
    return np.array(chosen, dtype=np.int64)
