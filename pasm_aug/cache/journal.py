"""What one miner found so far: an append-only file that survives being killed.

Layout: a header (magic, length, CRC32, JSON), then records (magic, number of rows, CRC32, rows of
:func:`~pasm_aug.cache.record.row_dtype`). A batch is acknowledged when :meth:`Journal.append` returns: it is on the
disk then. A record cut short by a kill is dropped at the next opening; a damaged record that others follow is an error.
"""

from __future__ import annotations

import glob
import json
import os
import re
import struct
import warnings
import zlib
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import numpy as np

from pasm_aug.cache.format import CacheError, check_fingerprint
from pasm_aug.cache.record import row_dtype
from pasm_aug.core.files import write_atomic

_FILE, _RECORD = b"PASMJRN2", b"\xf1PASMrec"
_HEAD = struct.Struct("<8sII")  # magic; bytes of JSON or number of rows; CRC32

_fdatasync = getattr(os, "fdatasync", os.fsync)

Path = str | os.PathLike[str]


def journal_paths(path: Path) -> list[str]:
    """The journals ``<path>.journal-<rank>`` beside a cache, in the order of their ranks."""
    prefix = os.fspath(path) + ".journal-"
    found = [name for name in glob.glob(glob.escape(prefix) + "*") if re.fullmatch(r"\d+", name[len(prefix) :])]
    return sorted(found, key=lambda name: int(name[len(prefix) :]))


def read_journal(path: Path, fingerprint: Mapping[str, Any] | None = None) -> np.ndarray:
    """All acknowledged rows of a journal (:func:`~pasm_aug.cache.record.row_dtype`); the file is left as it is.

    Args:
        fingerprint: what the journal must have been made with; ``None`` takes any.

    Raises:
        CacheError: unreadable, foreign, of another fingerprint, or damaged in the middle.
    """
    return _scan(path, None if fingerprint is None else {"fingerprint": fingerprint})[0]


class Journal:
    """Append rows to a journal, going on where an interrupted one stopped. Use as a context manager.

    Args:
        path: ``<cache>.journal-<rank>``; one process writes it at a time.
        fingerprint: what the rows are made with (nested dict of JSON values).
        points: per row.
        channels: of the colours.

    Attributes:
        rows: those that the file already held.

    Raises:
        CacheError: the file there is foreign, of another fingerprint, or damaged in the middle.
    """

    def __init__(self, path: Path, fingerprint: Mapping[str, Any], points: int, channels: int) -> None:
        self.path = os.fspath(path)
        header = {"fingerprint": fingerprint, "points": points, "channels": channels}
        if not os.path.exists(self.path):
            text = json.dumps(header, sort_keys=True).encode()
            write_atomic(self.path, _HEAD.pack(_FILE, len(text), zlib.crc32(text)) + text)
        self.rows, self._end = _scan(self.path, header)
        if rest := os.path.getsize(self.path) - self._end:
            warnings.warn(
                f"{self.path} ends in {rest:,} bytes of a broken record: what it held is searched again",
                stacklevel=2,
            )
        self._handle = open(self.path, "r+b", buffering=0)  # noqa: SIM115  (closed by close)
        self._handle.truncate(self._end)

    def append(self, rows: np.ndarray) -> None:
        """Write rows of this journal's dtype; when this returns they are on the disk.

        Raises:
            TypeError: rows of another dtype.
            OSError: the disk is full or gone; nothing of this batch stays in the file.
        """
        if rows.dtype != self.rows.dtype:
            raise TypeError(f"rows must have dtype {self.rows.dtype}, got {rows.dtype}")
        if not len(rows):
            return
        payload = np.ascontiguousarray(rows).tobytes()
        record = memoryview(_HEAD.pack(_RECORD, len(rows), zlib.crc32(payload)) + payload)
        try:
            self._handle.seek(self._end)
            written = 0
            while written < len(record):
                written += self._handle.write(record[written:])
            _fdatasync(self._handle.fileno())
        except BaseException:
            self._handle.truncate(self._end)
            raise
        self._end += len(record)

    def close(self) -> None:
        self._handle.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _scan(path: Path, wanted: Mapping[str, Any] | None) -> tuple[np.ndarray, int]:
    """Rows of all good records, and where the last one ends."""
    try:
        with open(path, "rb") as handle:
            data = handle.read()
    except OSError as error:
        raise CacheError(f"{os.fspath(path)} cannot be read: {error.strerror}") from error
    header, position = _header(path, data)
    if wanted is not None:
        check_fingerprint({name: header[name] for name in wanted}, wanted, path)
    dtype = row_dtype(header["points"], header["channels"])
    parts = [np.empty(0, dtype)]
    while (end := _record_end(data, position, dtype.itemsize)) > 0:
        parts.append(np.frombuffer(data[position + _HEAD.size : end], dtype))
        position = end
    later = data.find(_RECORD, position + 1)
    while later >= 0:
        if _record_end(data, later, dtype.itemsize) > 0:
            raise CacheError(
                f"{os.fspath(path)} is damaged: the record at byte {position:,} is bad, a later one is good"
            )
        later = data.find(_RECORD, later + 1)
    return np.concatenate(parts), position


def _header(path: Path, data: bytes) -> tuple[dict[str, Any], int]:
    if len(data) < _HEAD.size or data[:8] != _FILE:
        raise CacheError(f"{os.fspath(path)} is truncated or no journal")
    _, length, crc = _HEAD.unpack_from(data)
    text = data[_HEAD.size : _HEAD.size + length]
    if len(text) != length or zlib.crc32(text) != crc:
        raise CacheError(f"{os.fspath(path)} is damaged: its header's checksum differs from its content")
    return json.loads(text), _HEAD.size + length


def _record_end(data: bytes, position: int, width: int) -> int:
    """End of the good record that starts at ``position``, or -1."""
    if position + _HEAD.size > len(data):
        return -1
    magic, count, crc = _HEAD.unpack_from(data, position)
    start, end = position + _HEAD.size, position + _HEAD.size + count * width
    good = magic == _RECORD and count > 0 and end <= len(data) and zlib.crc32(memoryview(data)[start:end]) == crc
    return end if good else -1
