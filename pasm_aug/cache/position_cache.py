"""The mined points of a data set: looked up by content, label or index while training, merged from journals once.

A row is one distinct (content key, label) with K points; an index column maps the samples of the data set to rows. So
the same file serves pipelines that hand over nothing but the image and those that say which sample it is.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from pasm_aug.cache.findings import Findings, findings_of, outputs_of
from pasm_aug.cache.merge import as_rows, match
from pasm_aug.cache.reader import CacheReader
from pasm_aug.cache.record import KEPT, MinedPoint, Points
from pasm_aug.cache.table import as_table
from pasm_aug.core.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

_AT_ONCE = 4096  # samples whose points are turned into Python's numbers together


class PositionCache(CacheReader):
    """Reader of a cache file; :meth:`open` makes one. ``len()`` is the number of samples it was mined on.

    ``cache[i]`` is the :class:`~pasm_aug.cache.record.MinedPoint` of sample i, and iterating yields that of each; of
    several points an image these are the first, :meth:`lookup` has all.

    It maps the file read-only, pickles as its path, and reopens when first used; :meth:`refresh` notices a new file
    under the same name.
    """

    def lookup(
        self, *, keys: ArrayLike | None = None, indices: ArrayLike | None = None, labels: ArrayLike | None = None
    ) -> Points:
        """The points of N samples; every criterion that is given must hold for a hit.

        Args:
            keys: (N,) int64 content keys.
            indices: (N,) positions in the data set that was mined.
            labels: (N,) labels; tell images apart that occur with several.

        Raises:
            ValueError: neither keys nor indices, unequal lengths, or an index outside the data set.
        """
        if keys is None and indices is None:
            raise UserError("lookup needs keys or indices, got neither")
        columns = self._opened()
        given = {"keys": keys, "indices": indices, "labels": labels}
        arrays = {name: np.atleast_1d(np.asarray(v)).astype(np.int64) for name, v in given.items() if v is not None}
        if len({array.shape for array in arrays.values()}) > 1 or next(iter(arrays.values())).ndim != 1:
            raise UserError(f"keys, indices, labels must be (N,), got {[a.shape for a in arrays.values()]}")
        if "indices" in arrays:
            rows = self.rows_of(arrays["indices"]).astype(np.int64)
        else:
            rows = self._rows_of_keys(arrays["keys"], arrays.get("labels"))
        hit = rows >= 0
        for name, column in (("keys", self._key), ("labels", self._label)):
            if name in arrays:
                hit[hit] = column[rows[hit]] == arrays[name][hit]
        chosen = np.where(hit, rows, 0)
        kept = {name: columns[name] for name in KEPT}
        if not len(self._key):  # nothing to choose from: as many rows of zeros
            kept = {name: np.zeros((1, *column.shape[1:]), column.dtype) for name, column in kept.items()}
        return Points(hit, **{name: column[chosen] for name, column in kept.items()})

    def _rows_of_keys(self, keys: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
        rows = match(self._key, self._label, keys, labels)
        if labels is None and self._serving:
            rows = np.array([self._serving.get(row, row) for row in rows.tolist()], dtype=np.int64)
        return rows

    def __getitem__(self, index: int) -> MinedPoint:
        """The point of a sample; a negative index counts from the end.

        Raises:
            IndexError: outside the samples. TypeError: no integer.
        """
        whole, count = operator.index(index), len(self)
        if not -count <= whole < count:
            raise IndexError(f"index must lie in {-count} .. {count - 1}, got {index}")
        return next(self.lookup(indices=[whole % count]).singly(whole % count))

    def __iter__(self) -> Iterator[MinedPoint]:
        for start in range(0, len(self), _AT_ONCE):
            yield from self.lookup(indices=np.arange(start, min(start + _AT_ONCE, len(self)))).singly(start)

    def to_pandas(self) -> pd.DataFrame:
        """A table with one row for each sample and point: index, rank (0: the strongest), label, x, y, grey or red,
        green and blue, p_clean, p_point; all from the label on are missing values where a sample was not mined.

        Raises:
            ValueError: the package pandas is not installed.
        """
        rows, labels = self._opened()["index"], np.zeros(len(self), np.int64)
        labels[rows >= 0] = self._label[rows[rows >= 0]]
        return as_table(self.lookup(indices=np.arange(len(self))), labels)

    def to_numpy(self) -> dict[str, np.ndarray]:
        """Copies of the columns: key (R,) int64, label (R,) int16, xy (R, K, 2) uint16, colour (R, K, C) uint8,
        p_clean (R,) and p_point (R, K) float32, index (N,) int32 from sample to row (-1: not mined), the pairs
        skipped_key (S,) int64 and skipped_label (S,) int16 that the search left out on purpose, and look (L,) int64,
        the looks of some of the images."""
        return {name: column.copy() for name, column in self._opened().items()}

    def to_rows(self) -> np.ndarray:
        """The rows as :func:`~pasm_aug.cache.record.row_dtype`, to be merged again with further ones.

        The file keeps the cost as totals; they are spread evenly over the rows here, so that their sum stays.
        """
        return as_rows(self._opened(), self._metadata)

    def findings(self) -> Findings:
        """How far the probabilities fell, and how many answers changed, over the distinct images."""
        columns = self._opened()
        return findings_of(columns["p_clean"], columns["p_point"][:, 0], outputs_of(self.metadata))

    def summary(self) -> str:
        """A few lines for a person."""
        about, found = self.metadata, self.findings()
        lines = [
            f"{self.path}: {len(self):,} samples, {len(self._key):,} rows of {self.points} point(s), "
            f"{self.channels} channel(s)",
            f"not mined: {self.unmined:,} samples; images with several labels: {self.conflicts:,}",
            f"cost: {about['queries']:,} queries, {about['forwards']:,.0f} forwards",
        ]
        if found.images:
            lines.append(f"mean probability of the attacked class: {found.clean:.3f} → {found.point:.3f}")
        if found.changed is not None:
            lines.append(f"the answer changes for {found.told}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        if self.stamp is None:
            return super().__repr__()
        found = self.findings()
        missing = f", {self.unmined:,} not mined" if self.unmined else ""
        several = f", {self.points} points each" if self.points > 1 else ""
        fall = f", mean p(label) {found.clean:.3f} → {found.point:.3f}" if found.images else ""
        return f"{type(self).__name__}({self.path!r}: {len(self):,} samples{missing}{several}{fall})"
