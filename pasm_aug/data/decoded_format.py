"""The bytes of a file of decoded images: safetensors, ``labels`` int64 (N,) and ``pixels`` uint8 (N, C, H, W).

Its header is compared byte by byte with the one that would be written, and a checksum (xxh3, 128 bits: against damage,
not malice) stands over everything: a truncated, changed or foreign file is refused, never half read.
"""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
from collections.abc import Iterable, Sequence
from typing import BinaryIO, NamedTuple

import numpy as np
import xxhash

FORMAT = "pasm_aug decoded images"
VERSION = "1"
_UNSIGNED = "0" * 32
_CHUNK = 1 << 22  # bytes read at once to compute the checksum
_LONGEST = 1 << 24  # bytes of a header that is worth reading


class DecodedError(ValueError):
    """A decoded file that is truncated, damaged, foreign or of other images; the message names file and reason."""


class Content(NamedTuple):
    """What a file holds; ``labels`` (N,) int64 and ``pixels`` (N, C, H, W) uint8, mapped and read-only."""

    fingerprint: str
    classes: list[str]
    labels: np.ndarray
    pixels: np.ndarray


def write_content(
    handle: BinaryIO,
    fingerprint: str,
    classes: Sequence[str],
    shape: tuple[int, ...],
    items: Iterable[tuple[np.ndarray, int]],
) -> bool:
    """Write a whole file, image by image.

    Args:
        handle: open for writing; what it holds is thrown away.
        shape: (N, C, H, W) of the pixels.
        items: N times uint8 (C, H, W) and label; a grey image among colour ones gets three equal channels.

    Returns:
        ``False`` if a colour image turned up where one channel was planned: the file is not whole then.

    Raises:
        ValueError: an image of another size, by index.
        OSError: the space left on the disk is too little, which is looked at first.
    """
    header = _header(fingerprint, classes, shape)
    free, needed = shutil.disk_usage(os.path.dirname(handle.name)).free, _length(header, shape)
    if free < needed:
        raise OSError(errno.ENOSPC, f"{needed:,} bytes are needed for decoded images, {free:,} are free", handle.name)
    labels, checksum = np.zeros(shape[0], "<i8"), xxhash.xxh3_128()
    handle.truncate(0)
    handle.seek(len(header) + labels.nbytes)
    for index, (pixels, label) in enumerate(items):
        if pixels.shape[1:] != shape[2:]:
            raise ValueError(
                f"dataset must have images of one size, resized by its transform: image {index} is "
                f"{pixels.shape[1]} high and {pixels.shape[2]} wide, the first one {shape[2]} and {shape[3]}"
            )
        if len(pixels) > shape[1]:
            return False
        data = np.ascontiguousarray(np.broadcast_to(pixels, shape[1:])).data
        checksum.update(data)
        handle.write(data)
        labels[index] = label
    checksum.update(labels.data)
    checksum.update(header)
    handle.seek(0)
    handle.write(_header(fingerprint, classes, shape, checksum.hexdigest()))
    handle.write(labels.data)
    return True


def open_content(path: str, *, verify: bool) -> Content:
    """Map a file.

    Args:
        verify: compare the checksum, which reads all of it; the structure is always checked.

    Raises:
        DecodedError: missing, truncated, damaged or foreign.
    """
    try:
        with open(path, "rb") as handle:
            start = handle.read(8)
            header = start + handle.read(min(int.from_bytes(start, "little"), _LONGEST))
            fingerprint, classes, shape, checksum = _parse(header, path)
            size, wanted = os.fstat(handle.fileno()).st_size, _length(header, shape)
            if size != wanted:
                raise DecodedError(f"{path} is truncated or damaged: {size:,} bytes where {wanted:,} belong")
            labels = np.frombuffer(handle.read(8 * shape[0]), "<i8").astype(np.int64)
            if verify and checksum != _checksum(handle, labels, _header(fingerprint, classes, shape)):
                raise DecodedError(f"{path} is damaged: its checksum differs from its content")
            # Not copy-on-write: the system refuses such a map of more than its memory.
            pixels = np.asarray(np.memmap(handle, np.uint8, "r", len(header) + labels.nbytes, shape))
    except OSError as error:
        raise DecodedError(f"{path} cannot be read: {error.strerror}") from error
    return Content(fingerprint, classes, labels, pixels)


def _header(fingerprint: str, classes: Sequence[str], shape: tuple[int, ...], checksum: str = _UNSIGNED) -> bytes:
    """The beginning of the file, as long for every checksum."""
    labels, pixels = 8 * shape[0], math.prod(shape)
    about = {"format": FORMAT, "version": VERSION, "fingerprint": fingerprint, "checksum": checksum}
    entries = {
        "__metadata__": about | {"classes": json.dumps(list(classes))},
        "labels": {"dtype": "I64", "shape": [shape[0]], "data_offsets": [0, labels]},
        "pixels": {"dtype": "U8", "shape": list(shape), "data_offsets": [labels, labels + pixels]},
    }
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _length(header: bytes, shape: tuple[int, ...]) -> int:
    """Bytes of the whole file."""
    return len(header) + 8 * shape[0] + math.prod(shape)


def _parse(header: bytes, path: str) -> tuple[str, list[str], tuple[int, ...], str]:
    """Fingerprint, classes, shape of the pixels and checksum that a header names."""
    try:
        entries = json.loads(header[8:])
        about, shape = entries["__metadata__"], tuple(entries["pixels"]["shape"])
        made_by = about["format"], about["version"]
        fingerprint, classes, checksum = about["fingerprint"], json.loads(about["classes"]), about["checksum"]
        good = all(type(number) is int and number > 0 for number in shape) and len(shape) == 4
        good = good and isinstance(classes, list) and all(isinstance(name, str) for name in (*classes, fingerprint))
        good = good and _header(fingerprint, classes, shape, checksum) == header
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DecodedError(f"{path} is truncated or no file of decoded images: its header cannot be read") from error
    if made_by != (FORMAT, VERSION):
        raise DecodedError(f"{path} is not of format {FORMAT!r} {VERSION!r}: {made_by[0]!r} {made_by[1]!r}")
    if not good:
        raise DecodedError(f"{path} is damaged: its header is not as it was written")
    return fingerprint, classes, shape, checksum


def _checksum(handle: BinaryIO, labels: np.ndarray, header: bytes) -> str:
    """Of the pixels, where ``handle`` stands, the labels, and the header without its checksum."""
    digest, buffer = xxhash.xxh3_128(), memoryview(bytearray(_CHUNK))
    while count := handle.readinto(buffer):  # type: ignore[attr-defined]
        digest.update(buffer[:count])
    digest.update(np.ascontiguousarray(labels, "<i8").data)
    digest.update(header)
    return digest.hexdigest()
