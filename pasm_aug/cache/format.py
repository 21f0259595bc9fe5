"""The bytes of a position cache: one safetensors file with a checksum over everything in it.

The reader maps the file into memory instead of loading it, so that all workers share one copy, and checks every offset
before it does: a truncated, changed or foreign file is refused, never half read.
"""

from __future__ import annotations

import hashlib
import json
import math
import mmap
import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from safetensors.numpy import save

from pasm_aug.cache.record import KEPT
from pasm_aug.core.errors import UserError

FORMAT = "pasm_aug positions"
VERSION = 2
_ENTRY = "pasm_aug"  # the one key of safetensors' own metadata; with one key its order cannot vary
_UNSIGNED = "0" * 64
_DTYPES = {"I64": "<i8", "I32": "<i4", "I16": "<i2", "U16": "<u2", "U8": "|u1", "F32": "<f4"}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_COLUMNS = {
    "key": ("I64", "R"),
    "label": ("I16", "R"),
    "look": ("I64", "L"),  # of some of the images, to tell why others are not found
    **{name: (_NAMES[dtype], f"R{shape}") for name, (dtype, shape) in KEPT.items()},
    "index": ("I32", "N"),
    "skipped_key": ("I64", "S"),  # images that the search left out on purpose: done, but without a point
    "skipped_label": ("I16", "S"),
}

Stamp = tuple[int, int, int]


class CacheError(UserError):
    """A cache or journal that is stale, truncated, damaged, foreign or in use; the message names file and reason."""


def encode(columns: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> bytes:
    """The file's bytes: the same for the same columns and metadata, sha256 included."""
    about = {"format": FORMAT, "version": VERSION, "file_sha256": _UNSIGNED, "metadata": metadata}
    entry = json.dumps(about, sort_keys=True)
    ordered = {name: np.ascontiguousarray(columns[name], _DTYPES[_COLUMNS[name][0]]) for name in sorted(columns)}
    unsigned = save(ordered, metadata={_ENTRY: entry})
    digest = hashlib.sha256(unsigned).hexdigest()
    return unsigned.replace(_mark(_UNSIGNED), _mark(digest), 1)


def decode(path: str, *, verify: bool) -> tuple[dict[str, np.ndarray], dict[str, Any], Stamp]:
    """Map a cache file: read-only columns, metadata, and the stamp by which a replacement is noticed.

    Args:
        verify: compare the sha256 too (30 ms for a million rows); the structure is always checked.

    Raises:
        CacheError: missing, truncated, damaged or not a cache.
    """
    try:
        with open(path, "rb") as handle:
            stamp = stamp_of(os.fstat(handle.fileno()))
            if stamp[2] < 8:
                raise CacheError(f"{path} is truncated or no position cache: {stamp[2]} bytes")
            data = memoryview(mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ))
    except OSError as error:
        raise CacheError(f"{path} cannot be read: {error.strerror}") from error
    start = 8 + int.from_bytes(data[:8], "little")
    if start > len(data):
        raise CacheError(f"{path} is truncated or no position cache: its header should end at byte {start:,}")
    try:
        header = json.loads(bytes(data[8:start]))
        about = json.loads(header.pop("__metadata__")[_ENTRY])
        version, digest, metadata = about["version"], about["file_sha256"], dict(about["metadata"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CacheError(f"{path} is damaged or no position cache: its header cannot be read") from error
    if about.get("format") != FORMAT or version != VERSION:
        raise CacheError(f"{path} is not of format {FORMAT!r} {VERSION}: {about.get('format')!r} {version!r}")
    columns = _columns(path, data, start, header)
    if verify and _sha256(data, start, str(digest)) != digest:
        raise CacheError(f"{path} is damaged: its checksum differs from its content")
    return columns, metadata, stamp


def stamp_of(status: os.stat_result) -> Stamp:
    return status.st_ino, status.st_mtime_ns, status.st_size


def _mark(digest: str) -> bytes:
    return f'\\"file_sha256\\": \\"{digest}\\"'.encode()  # JSON within JSON: its quotes are escaped


def _sha256(data: memoryview, start: int, digest: str) -> str:
    """Checksum of the file as it was before its checksum was filled in."""
    signed = bytes(data[:start])
    content = hashlib.sha256(signed.replace(_mark(digest), _mark(_UNSIGNED), 1))
    content.update(data[start:])
    return content.hexdigest()


def _columns(path: str, data: memoryview, start: int, header: dict[str, Any]) -> dict[str, np.ndarray]:
    columns, sizes, end = {}, {"2": 2}, start
    try:
        for name, (dtype, letters) in _COLUMNS.items():
            entry = header.pop(name)
            shape, (first, last) = [int(n) for n in entry["shape"]], entry["data_offsets"]
            agree = len(shape) == len(letters) and all(
                n >= 0 and sizes.setdefault(letter, n) == n for letter, n in zip(letters, shape, strict=True)
            )
            width = np.dtype(_DTYPES[dtype]).itemsize
            if entry["dtype"] != dtype or not agree or first < 0 or last - first != math.prod(shape) * width:
                raise CacheError(f"{path} is damaged: column {name!r} is {entry}")
            if start + last > len(data):
                raise CacheError(f"{path} is truncated: {len(data):,} bytes, {name!r} ends at {start + last:,}")
            count = math.prod(shape)
            columns[name] = np.frombuffer(data, _DTYPES[dtype], count, start + first if count else 0).reshape(shape)
            end = max(end, start + last)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, CacheError):
            raise
        raise CacheError(f"{path} is damaged: column {name!r} cannot be read") from error
    if header or end != len(data):
        raise CacheError(
            f"{path} is damaged: {len(data):,} bytes where {end:,} belong, other columns: {sorted(header)}"
        )
    rows = sizes["R"]
    if columns["index"].size and not -1 <= columns["index"].min() <= columns["index"].max() < rows:
        raise CacheError(f"{path} is damaged: its index points outside its {rows} rows")
    return columns


_LATER = (".ranked_by",)  # what earlier versions did not write down; whatever they did is taken as what is wanted


def check_fingerprint(found: Mapping[str, Any], wanted: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Compare what a file was made with to what is wanted now.

    Numbers under the name ``probe_logits`` may differ by 1e-3 of their size or 1e-4 (other hardware, other batch
    sizes); everything else must be equal.

    Raises:
        CacheError: naming every field that differs, old and new value.
    """
    old, new = (dict(_flatten(json.loads(json.dumps(tree)))) for tree in (found, wanted))
    for name in [name for name in new if name not in old and name.endswith(_LATER)]:
        del new[name]
    differing = [
        f"{name}: {_short(old.get(name, 'absent'))} in the file, {_short(new.get(name, 'absent'))} wanted"
        for name in [*old, *(name for name in new if name not in old)]
        if name not in old or name not in new or not _equal(name, old[name], new[name])
    ]
    if differing:
        raise CacheError(f"{os.fspath(path)} was made otherwise; " + "; ".join(differing))


def _flatten(tree: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(tree, dict) and (tree or not name):
        for key, value in tree.items():
            yield from _flatten(value, f"{name}.{key}" if name else key)
    else:
        yield name, tree


def _equal(name: str, old: Any, new: Any) -> bool:
    if name.rpartition(".")[2] != "probe_logits":
        return bool(old == new)
    try:
        first, second = np.asarray(old, np.float64), np.asarray(new, np.float64)
    except (TypeError, ValueError):
        return bool(old == new)
    return first.shape == second.shape and np.allclose(first, second, rtol=1e-3, atol=1e-4)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:60]}… ({len(text)} characters)"
