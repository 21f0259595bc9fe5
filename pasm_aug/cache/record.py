"""What is kept of a mined image: one table, from which the journal's rows, the file's columns and look-ups follow.

A further value per image or per point is one more field of :class:`Points` (and another version of the file formats,
which hold just these), provided that the search's :class:`~pasm_aug.search.result.PointResult` has it by that name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import NamedTuple

import numpy as np


def _kept(dtype: str, shape: str) -> dict[str, str]:
    """Marks a stored field; ``shape`` has a letter for each axis behind the images': K points, C channels, 2."""
    return {"dtype": dtype, "shape": shape}


@dataclass(frozen=True)
class Points:
    """What :meth:`PositionCache.lookup` found for N samples; where ``hit`` is false the rest means nothing.

    The *attacked class* is the sample's label; only where ``misclassified="predicted"`` was searched and the teacher
    was wrong, it is the class predicted instead. A point's teacher is the one that found it, or that kept it when a
    cache was refreshed.

    Attributes:
        hit (np.ndarray): (N,) bool.
        xy (np.ndarray): (N, K, 2) uint16, (column, row) in pixels, strongest point first.
        colour (np.ndarray): (N, K, C) uint8.
        p_clean (np.ndarray): (N,) float32, probability of the attacked class on the clean image, by the teacher of the
            first point; so ``p_clean - p_point[:, 0]`` is always of one class and one teacher. NaN where no teacher was
            queried for it (class activation maps).
        p_point (np.ndarray): (N, K) float32, the same with each point set, by that point's teacher. Points that were
            moved to another position keep the probabilities of where they were mined; of class activation maps it is
            the activation.
    """

    hit: np.ndarray
    xy: np.ndarray = field(metadata=_kept("<u2", "K2"))
    colour: np.ndarray = field(metadata=_kept("|u1", "KC"))
    p_clean: np.ndarray = field(metadata=_kept("<f4", ""))
    p_point: np.ndarray = field(metadata=_kept("<f4", "K"))

    def __repr__(self) -> str:
        return f"Points({len(self.hit):,} samples, {int(self.hit.sum()):,} hits, {self.xy.shape[1]} each)"

    def singly(self, start: int = 0) -> Iterator[MinedPoint]:
        """The first point of each sample; ``start``: index of the first sample."""
        columns = self.xy[:, 0], self.colour[:, 0], self.p_clean, self.p_point[:, 0]
        for index, (hit, xy, colour, *p) in enumerate(
            zip(self.hit.tolist(), *(column.tolist() for column in columns), strict=True), start
        ):
            yield MinedPoint(index, (xy[0], xy[1]), tuple(colour), *p) if hit else MinedPoint(index)


class MinedPoint(NamedTuple):
    """The point of one sample, of several the first; all but ``index`` are ``None`` where it was not mined.

    Attributes:
        index (int): of the sample.
        xy (tuple of two ints): (column, row) in pixels.
        colour (tuple of ints): uint8, one a channel.
        p_clean (float): as in :class:`Points`.
        p_point (float): as in :class:`Points`.
    """

    index: int  # type: ignore[assignment]  # the tuple's own method of that name is not missed
    xy: tuple[int, int] | None = None
    colour: tuple[int, ...] | None = None
    p_clean: float | None = None
    p_point: float | None = None


KEPT: dict[str, tuple[str, str]] = {
    f.name: (f.metadata["dtype"], f.metadata["shape"]) for f in fields(Points) if f.metadata
}  # name → dtype and shape, of what is kept of every mined image


def row_dtype(points: int, channels: int) -> np.dtype:
    """One image that was searched, as a packed, little-endian row.

    ``key`` and ``label`` name it, ``look`` is its :func:`~pasm_aug.core.image_content.look`; ``mined`` is false where
    the search skipped it on purpose (then the point means nothing); then the fields of :class:`Points`; ``queries`` and
    ``forwards`` what it cost.

    Args:
        points (int): K, the points per image.
        channels (int): C, the channels of the colours.
    """
    sizes = {"K": points, "C": channels, "2": 2}
    kept = [(name, dtype, tuple(sizes[letter] for letter in shape)) for name, (dtype, shape) in KEPT.items()]
    names = [("key", "<i8"), ("label", "<i4"), ("mined", "|b1"), ("look", "<i8")]
    return np.dtype([*names, *kept, ("queries", "<u4"), ("forwards", "<f4")])
