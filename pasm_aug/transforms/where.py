"""Which of the mined images may be erased: a mask over the samples, asked by the cache's rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pasm_aug.cache.position_cache import PositionCache
from pasm_aug.core.errors import UserError


class Where:
    """Tells for rows of a cache whether they may be erased.

    Args:
        mask: (N,) bool, in the order of the data set that was mined; what ``np.asarray`` makes one of, such as a
            :class:`~pasm_aug.asm.subsets.Partition`. Samples that share a row, being the same image under the same
            label, share the strictest answer.

    Raises:
        TypeError: no mask. ValueError: no cache to ask, or one of another number of samples.
    """

    _rows: np.ndarray
    _stamp: Any

    def __init__(self, mask: ArrayLike, cache: PositionCache | None) -> None:
        self.mask = np.asarray(mask)
        if self.mask.dtype != bool or self.mask.ndim != 1:
            raise TypeError(
                f"where must be a mask (N,) of bool over the samples, got {self.mask.dtype} of shape {self.mask.shape}"
            )
        if cache is None:
            raise UserError("where needs a cache, which knows the samples; got cache=None")
        self._cache, self._stamp = cache, None
        self.rows()

    def allows(self, row: int) -> bool:
        """Whether the image of a row may be erased; of those without a row, -1, any may."""
        return row < 0 or bool(self.rows()[row])

    def rows(self) -> np.ndarray:
        """(R,) bool over the rows of the cache as it is now."""
        cache = self._cache
        samples = len(cache)
        if cache.stamp != self._stamp:
            if len(self.mask) != samples:
                raise UserError(
                    f"where must have a value for each of the cache's {samples} samples, got {len(self.mask)}"
                )
            rows = cache.rows_of(np.arange(samples))
            mined = rows >= 0
            allowed = np.ones(cache.mined, dtype=bool)  # of parts that were mined before, any may be erased
            np.logical_and.at(allowed, rows[mined], self.mask[mined])
            self._rows, self._stamp = allowed, cache.stamp
        return self._rows

    def __getstate__(self) -> dict[str, Any]:
        return {"mask": self.mask, "_cache": self._cache, "_stamp": None}  # the rows are found anew
