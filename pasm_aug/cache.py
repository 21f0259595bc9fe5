"""The mined points of a data set: looked up by content, label or index while training, merged from journals once.

A row is one distinct (content key, label) with K points; an index column maps the samples of the data set to rows. So
the same file serves pipelines that hand over nothing but the picture and those that say which sample it is.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pasm_aug.cache_file import CacheError, Stamp, check_fingerprint, decode, stamp_of
from pasm_aug.content import unlikeness
from pasm_aug.lock import CacheLock
from pasm_aug.merge import as_rows, match, serving_rows, write_cache

__all__ = ["CacheError", "CacheLock", "Points", "PositionCache", "check_fingerprint", "write_cache"]

ALIKE = 3  # bits of 64 in which the same picture may look different, resized by another library

Path = str | os.PathLike[str]


@dataclass(frozen=True)
class Points:
    """What :meth:`PositionCache.lookup` found for N samples; where ``hit`` is false the rest means nothing.

    Attributes:
        hit: (N,) bool.
        xy: (N, K, 2) uint16, (column, row) in pixels, strongest point first.
        colour: (N, K, C) uint8.
        p_clean: (N,) float32 probability of the attacked class on the clean picture.
        p_point: (N, K) float32, the same with each point set.
    """

    hit: np.ndarray
    xy: np.ndarray
    colour: np.ndarray
    p_clean: np.ndarray
    p_point: np.ndarray


class PositionCache:
    """Reader of a cache file; :meth:`open` makes one. ``len()`` is the number of samples it was mined on.

    It maps the file read-only, pickles as its path, and reopens when first used; :meth:`refresh` notices a new file
    under the same name.
    """

    def __init__(self, path: Path, *, verify: bool = True) -> None:
        self.path = os.path.abspath(path)
        self._verify = verify
        self._stamp: Stamp | None = None

    @classmethod
    def open(cls, path: Path, *, verify: bool = True) -> PositionCache:
        """Open ``path`` now.

        Args:
            verify: compare the checksum over columns and metadata; sizes and offsets are checked in any case.

        Raises:
            CacheError: missing, truncated, damaged, or no position cache.
        """
        cache = cls(path, verify=verify)
        cache.refresh()
        return cache

    def refresh(self) -> bool:
        """Reopen if the file was replaced or not opened yet; says whether it did. Costs a ``stat`` otherwise.

        Raises:
            CacheError: the new file is damaged, or gone.
        """
        try:
            stamp = stamp_of(os.stat(self.path))
        except OSError as error:
            raise CacheError(f"{self.path} cannot be read: {error.strerror}") from error
        if stamp == self._stamp:
            return False
        self._columns, self._metadata, self._stamp = decode(self.path, verify=self._verify)
        self._key, self._label, self._index = (self._columns[name] for name in ("key", "label", "index"))
        # Single numbers are read through these, in a tenth of an array's time.
        names = ("key", "index", "xy", "colour")
        self._cells = {name: memoryview(self._columns[name].reshape(-1).data) for name in names}
        self._digest = self._metadata.get("dataset", {}).get("digest")
        self._shape = self._columns["colour"].shape[1:]
        self._unmined = int((self._index < 0).sum())
        self._serving = serving_rows(self._key, self._index)
        return True

    def _opened(self) -> dict[str, np.ndarray]:
        if self._stamp is None:
            self.refresh()
        return self._columns

    def __len__(self) -> int:
        return len(self._opened()["index"])

    @property
    def metadata(self) -> dict[str, Any]:
        """``fingerprint``, ``dataset``, the totals ``queries`` and ``forwards``, ``created_by``."""
        self._opened()
        return self._metadata

    @property
    def digest(self) -> int | None:
        """Of the data set that was mined (:func:`~pasm_aug.identity.dataset_digest`), where it is known."""
        self._opened()
        return self._digest

    @property
    def points(self) -> int:
        """K, the points per row."""
        self._opened()
        return self._shape[0]

    @property
    def channels(self) -> int:
        """C, the channels of the colours."""
        self._opened()
        return self._shape[1]

    @property
    def conflicts(self) -> int:
        """Number of pictures that occur with several labels."""
        self._opened()
        return len(self._serving)

    @property
    def unmined(self) -> int:
        """Number of samples without a point, such as those that the search skipped."""
        self._opened()
        return self._unmined

    def find(self, key: int, label: int | None = None) -> int:
        """Row of a content key, or -1; the fast way for a single picture.

        Without ``label`` a picture with several labels gets the row of its lowest sample index; with one, only the row
        of just that label counts.
        """
        columns = self._opened()["key"]
        cells = self._cells["key"]
        row = int(columns.searchsorted(np.int64(key)))
        if row == len(columns) or cells[row] != key:
            return -1
        if label is None:
            return self._serving.get(row, row)
        while row < len(columns) and cells[row] == key:
            if self._label[row] == label:
                return row
            row += 1
        return -1

    def find_index(self, index: int) -> int:
        """Row of a sample of the data set, or -1 if it was not mined.

        Raises:
            ValueError: ``index`` lies outside the data set that was mined.
        """
        if not 0 <= index < len(self):
            raise ValueError(
                f"index {index} is outside the {len(self)} samples of {self.path}: another data set or split?"
            )
        return self._cells["index"][index]

    def rows_of(self, indices: np.ndarray) -> np.ndarray:
        """:meth:`find_index` for (N,) samples at once."""
        if len(indices) and not 0 <= indices.min() <= indices.max() < len(self):
            self.find_index(int(indices[(indices < 0) | (indices >= len(self))][0]))
        return self._index[indices]

    def points_at(self, rows: np.ndarray, ranks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """xy (N, 2) and colour (N, C) of one point of each of N rows."""
        columns = self._opened()
        return columns["xy"][rows, ranks], columns["colour"][rows, ranks]

    def key(self, row: int) -> int:
        """Content key of a row."""
        return int(self._opened()["key"][row])

    def point(self, row: int, rank: int = 0) -> tuple[int, int, tuple[int, ...]]:
        """(x, y, colour) of one point of a row."""
        self._opened()
        points, channels = self._shape
        xy, colour = self._cells["xy"], self._cells["colour"]
        at = row * points + rank
        return xy[2 * at], xy[2 * at + 1], tuple(colour[channels * at : channels * (at + 1)])

    def points_of(self, row: int) -> np.ndarray:
        """(x, y) of all points of a row, (K, 2) float32; NaN for row -1."""
        columns = self._opened()["xy"]
        return columns[row].astype(np.float32) if row >= 0 else np.full(columns.shape[1:], np.nan, np.float32)

    def strengths(self, row: int) -> np.ndarray:
        """``p_point`` of all points of a row, (K,) float32."""
        return self._opened()["p_point"][row].copy()

    def resembling(self, looks: Iterable[int]) -> float:
        """Share of ``looks`` (:func:`~pasm_aug.content.look`) that a mined picture has too; a quarter of the looks of
        those is kept."""
        known = self._opened()["look"]
        found = [bool((unlikeness(known, look) <= ALIKE).any()) for look in looks]
        return sum(found) / max(len(found), 1)

    def lookup(
        self, *, keys: ArrayLike | None = None, indices: ArrayLike | None = None, labels: ArrayLike | None = None
    ) -> Points:
        """The points of N samples; every criterion that is given must hold for a hit.

        Args:
            keys: (N,) int64 content keys.
            indices: (N,) positions in the data set that was mined.
            labels: (N,) labels; tell pictures apart that occur with several.

        Raises:
            ValueError: neither keys nor indices, unequal lengths, or an index outside the data set.
        """
        if keys is None and indices is None:
            raise ValueError("lookup needs keys or indices, got neither")
        columns = self._opened()
        given = {"keys": keys, "indices": indices, "labels": labels}
        arrays = {name: np.atleast_1d(np.asarray(v)).astype(np.int64) for name, v in given.items() if v is not None}
        if len({array.shape for array in arrays.values()}) > 1 or next(iter(arrays.values())).ndim != 1:
            raise ValueError(f"keys, indices, labels must be (N,), got {[a.shape for a in arrays.values()]}")
        if "indices" in arrays:
            rows = self.rows_of(arrays["indices"]).astype(np.int64)
        else:
            rows = self._rows_of_keys(arrays["keys"], arrays.get("labels"))
        hit = rows >= 0
        for name, column in (("keys", self._key), ("labels", self._label)):
            if name in arrays:
                hit[hit] = column[rows[hit]] == arrays[name][hit]
        chosen = np.where(hit, rows, 0)
        names = ("xy", "colour", "p_clean", "p_point")
        if len(self._key):
            return Points(hit, *(columns[name][chosen] for name in names))
        return Points(hit, *(np.zeros((len(rows), *columns[name].shape[1:]), columns[name].dtype) for name in names))

    def _rows_of_keys(self, keys: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
        rows = match(self._key, self._label, keys, labels)
        if labels is None and self._serving:
            rows = np.array([self._serving.get(row, row) for row in rows.tolist()], dtype=np.int64)
        return rows

    def to_numpy(self) -> dict[str, np.ndarray]:
        """Copies of the columns: key (R,) int64, label (R,) int16, xy (R, K, 2) uint16, colour (R, K, C) uint8,
        p_clean (R,) and p_point (R, K) float32, index (N,) int32 from sample to row (-1: not mined), the pairs
        skipped_key (S,) int64 and skipped_label (S,) int16 that the search left out on purpose, and look (L,) int64,
        the looks of some of the pictures."""
        return {name: column.copy() for name, column in self._opened().items()}

    def to_rows(self) -> np.ndarray:
        """The rows as :func:`~pasm_aug.journal.row_dtype`, to be merged again with further ones.

        The file keeps the cost as totals; they are spread evenly over the rows here, so that their sum stays.
        """
        return as_rows(self._opened(), self._metadata)

    def summary(self) -> str:
        """A few lines for a person."""
        columns, about = self._opened(), self.metadata
        clean, point = columns["p_clean"], columns["p_point"][:, :1]
        lines = [
            f"{self.path}: {len(self):,} samples, {len(self._key):,} rows of {self.points} point(s), "
            f"{self.channels} channel(s)",
            f"not mined: {self.unmined:,} samples; pictures with several labels: {self.conflicts:,}",
            f"cost: {about['queries']:,} queries, {about['forwards']:,.0f} forwards",
        ]
        if len(clean):
            lines.append(f"mean probability of the attacked class: {clean.mean():.3f} → {point.mean():.3f}")
        return "\n".join(lines)

    def __reduce__(self) -> tuple[Any, ...]:
        return _unopened, (type(self), self.path, self._verify)

    def __repr__(self) -> str:
        return f"PositionCache({self.path!r})"


def _unopened(cls: type[PositionCache], path: str, verify: bool) -> PositionCache:
    return cls(path, verify=verify)
