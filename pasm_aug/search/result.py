"""What a search returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pasm_aug.cache.record import row_dtype


@dataclass(frozen=True)
class PointResult:
    """Found points of B images, K each, best first; numpy arrays.

    Attributes:
        xy: (B, K, 2) int64, (x, y). colour: (B, K, C) uint8.
        p_clean, p_point: (B,) and (B, K) float64, probability of the attacked class without and with the change, as
            :class:`~pasm_aug.cache.record.Points` has them.
        score_clean, score_point: the same shapes, the objective minimised; log-odds for the probability objectives, so
            that gains on saturated images (p = 1) can still be told apart.
        target: (B,) int64, the attacked class.
        queries: (B,) int64, candidates queried. forwards: (B,) float64, forward-equivalents spent, the clean image
            included (a backward counts 2, a repeated candidate nothing).
        mined: (B,) bool, False where ``misclassified="skip"`` left the image out; its xy are -1, its p_point NaN.
    """

    xy: NDArray[np.int64]
    colour: NDArray[np.uint8]
    p_clean: NDArray[np.float64]
    p_point: NDArray[np.float64]
    score_clean: NDArray[np.float64]
    score_point: NDArray[np.float64]
    target: NDArray[np.int64]
    queries: NDArray[np.int64]
    forwards: NDArray[np.float64]
    mined: NDArray[np.bool_]

    def __repr__(self) -> str:
        count, points, _ = self.xy.shape
        fall = ""
        if self.mined.any():
            clean, point = self.p_clean[self.mined].mean(), self.p_point[self.mined, 0].mean()
            fall = f", mean p(label) {clean:.3f} → {point:.3f}, {int(self.queries.sum()):,} queries"
        return f"PointResult({count:,} images, {int(self.mined.sum()):,} mined, {points} each{fall})"

    @classmethod
    def empty(cls, count: int, points: int, channels: int) -> Self:
        """Of images none of which has been mined yet."""
        return cls(
            xy=np.full((count, points, 2), -1, dtype=np.int64),
            colour=np.zeros((count, points, channels), dtype=np.uint8),
            p_clean=np.full(count, np.nan),
            p_point=np.full((count, points), np.nan),
            score_clean=np.full(count, np.nan),
            score_point=np.full((count, points), np.nan),
            target=np.full(count, -1, dtype=np.int64),
            queries=np.zeros(count, dtype=np.int64),
            forwards=np.zeros(count),
            mined=np.zeros(count, dtype=bool),
        )

    def rows(self, part: slice) -> Self:
        """The results of some of the images; writing to them writes here."""
        return type(self)(*(column[part] for column in vars(self).values()))

    def to_rows(self, keys: ArrayLike, labels: ArrayLike, looks: ArrayLike) -> np.ndarray:
        """As rows of a journal (:func:`~pasm_aug.cache.record.row_dtype`), with what names the images, each (B,)."""
        rows = np.zeros(len(self.mined), row_dtype(*self.colour.shape[1:]))
        names = {"key": keys, "label": labels, "look": looks}
        for name in rows.dtype.names or ():
            rows[name] = names[name] if name in names else getattr(self, name)
        return rows
