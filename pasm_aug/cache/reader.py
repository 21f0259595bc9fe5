"""One image's row of a position cache, found in microseconds: what a transform looks up."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, Self

import numpy as np

from pasm_aug.cache.format import CacheError, Stamp, decode, stamp_of
from pasm_aug.cache.merge import serving_rows
from pasm_aug.core.errors import UserError
from pasm_aug.core.image_content import unlikeness

ALIKE = 3  # bits of 64 in which the same image may look different, resized by another library

Path = str | os.PathLike[str]


class CacheReader:
    """The file, mapped read-only, and single rows; see :class:`~pasm_aug.cache.position_cache.PositionCache`."""

    def __init__(self, path: Path, *, verify: bool = True) -> None:
        self.path = os.path.abspath(path)
        self._verify = verify
        self._stamp: Stamp | None = None

    @classmethod
    def open(cls, path: Path, *, verify: bool = True) -> Self:
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
        self._columns, self._metadata, opened = decode(self.path, verify=self._verify)
        self._key, self._label, self._index = (self._columns[name] for name in ("key", "label", "index"))
        # Single numbers are read through these, in a tenth of an array's time.
        names = ("key", "index", "xy", "colour")
        self._cells = {name: memoryview(self._columns[name].reshape(-1).data) for name in names}
        self._digest = self._metadata.get("dataset", {}).get("digest")
        self._shape = self._columns["colour"].shape[1:]
        self._unmined = int((self._index < 0).sum())
        self._serving = serving_rows(self._key, self._index)
        self._stamp = opened  # last: another thread may have been waiting for no more than this
        return True

    def _opened(self) -> dict[str, np.ndarray]:
        if self._stamp is None:
            self.refresh()
        return self._columns

    @property
    def stamp(self) -> Stamp | None:
        """What tells the file that is open from another under its name."""
        return self._stamp

    def __len__(self) -> int:
        return len(self._opened()["index"])

    @property
    def metadata(self) -> dict[str, Any]:
        """``fingerprint``, ``dataset``, the totals ``queries`` and ``forwards``, ``created_by``."""
        self._opened()
        return self._metadata

    @property
    def digest(self) -> int | None:
        """Of the data set that was mined (:func:`~pasm_aug.core.image_content.dataset_digest`), where it is known."""
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
        """Number of images that occur with several labels."""
        self._opened()
        return len(self._serving)

    @property
    def mined(self) -> int:
        """Number of rows, among them those of images that were mined before and are none of the samples."""
        return len(self._opened()["key"])

    @property
    def unmined(self) -> int:
        """Number of samples without a point, such as those that the search skipped."""
        self._opened()
        return self._unmined

    def find(self, key: int, label: int | None = None) -> int:
        """Row of a content key, or -1; the fast way for a single image.

        Without ``label`` an image with several labels gets the row of its lowest sample index; with one, only the row
        of just that label counts.
        """
        if self._stamp is None:
            self.refresh()
        columns, cells = self._key, self._cells["key"]
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
            raise UserError(
                f"index {index} is outside the {len(self)} samples of {self.path}: another data set or split?"
            )
        return self._cells["index"][index]

    def quick_row(self, name: list[Any]) -> int | None:
        """:meth:`find_index` of an opened cache for a ``SampleIndex``'s two numbers; ``None`` if all is not well."""
        cells = self._cells["index"]
        if len(name) == 2 and name[1] == self._digest and 0 <= name[0] < len(cells):
            return cells[name[0]]
        return None

    def rows_of(self, indices: np.ndarray) -> np.ndarray:
        """:meth:`find_index` for (N,) int64 samples at once."""
        if len(indices) and indices.view(np.uint64).max() >= len(self):  # negative ones are the largest
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
        if self._stamp is None:
            self.refresh()
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
        """Share of ``looks`` (:func:`~pasm_aug.core.image_content.look`) that a mined image has too; the file keeps a
        quarter of the looks."""
        known = self._opened()["look"]
        found = [bool((unlikeness(known, look) <= ALIKE).any()) for look in looks]
        return sum(found) / max(len(found), 1)

    def __reduce__(self) -> tuple[Any, ...]:
        return _unopened, (type(self), self.path, self._verify)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.path!r})"


def _unopened(cls: type[CacheReader], path: str, verify: bool) -> CacheReader:
    return cls(path, verify=verify)
