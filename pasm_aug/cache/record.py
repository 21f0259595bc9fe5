"""What is kept of a mined image: one table, from which the journal's rows, the file's columns and look-ups follow.

A further value per image or per point is one more field of :class:`Points` (and another version of the file formats,
which hold just these), provided that the search's :class:`~pasm_aug.search.result.PointResult` has it by that name.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields

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
