"""The two files of decoded images: ``NAME.npy``, uint8 (N, C, H, W), and ``NAME.json``, which says what they are.

The JSON file is written last: where it lies, the pixels are whole. A checksum (xxh3, 128 bits: against damage, not
malice) stands over both: truncated, changed or foreign files are refused, never half read.
"""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xxhash
from numpy.lib.format import open_memmap

from pasm_aug.core.errors import UserError
from pasm_aug.core.files import read_json

FORMAT = "pasm_aug decoded images"
VERSION = 2
_CHUNK = 1 << 22  # bytes read at once to compute the checksum


class DecodedError(UserError):
    """Decoded files that are truncated, damaged, foreign or of other images; the message names file and reason."""


class Content(NamedTuple):
    """What the files hold; ``labels`` (N,) int64 and ``pixels`` (N, C, H, W) uint8, mapped and read-only."""

    fingerprint: str
    classes: list[str]
    labels: np.ndarray
    pixels: np.ndarray


def sidecar(path: str | Path) -> Path:
    """The JSON file that belongs to a file of pixels."""
    return Path(path).with_suffix(".json")


def write_content(
    path: Path,
    fingerprint: str,
    classes: Sequence[str],
    shape: tuple[int, ...],
    items: Iterable[tuple[np.ndarray, int]],
) -> bool:
    """Write both files, image by image.

    Args:
        path (Path): of the pixels, ending in ``.npy``; what lies there is thrown away.
        fingerprint (str): that names the images.
        classes (sequence of str): names of the labels.
        shape (tuple of int): (N, C, H, W) of the pixels.
        items (iterable): N times uint8 (C, H, W) and label; a grey image among colour ones gets three equal channels.

    Returns:
        bool: ``False`` if a colour image turned up where one channel was planned: nothing is whole then.

    Raises:
        ValueError: If an image has another size; the message names its index.
        OSError: If too little space is left on the disk, which is looked at first.
    """
    free, needed = shutil.disk_usage(path.parent).free, math.prod(shape)
    if free < needed:
        raise OSError(errno.ENOSPC, f"{needed:,} bytes are needed for decoded images, {free:,} are free", str(path))
    pixels, checksum = open_memmap(path, "w+", np.uint8, shape), xxhash.xxh3_128()
    labels: list[int] = []
    with open(path, "r+b") as file:
        if hasattr(os, "posix_fallocate"):  # on a disk that is full after all, a write into the map would be fatal
            os.posix_fallocate(file.fileno(), 0, pixels.offset + pixels.nbytes)
        checksum.update(file.read(pixels.offset))
    for index, (image, label) in enumerate(items):
        if image.shape[1:] != shape[2:]:
            raise UserError(
                f"dataset must have images of one size, resized by its transform: image {index} is "
                f"{image.shape[1]} high and {image.shape[2]} wide, the first one {shape[2]} and {shape[3]}"
            )
        if len(image) > shape[1]:
            return False
        pixels[index] = image
        checksum.update(pixels[index].data)
        labels.append(int(label))
    pixels.flush()
    about = {
        "format": FORMAT,
        "version": VERSION,
        "fingerprint": fingerprint,
        "classes": list(classes),
        "labels": labels,
    }
    checksum.update(_canonical(about))
    with open(sidecar(path), "w") as handle:
        json.dump(about | {"checksum": checksum.hexdigest()}, handle)
        handle.flush()
        os.fsync(handle.fileno())
    return True


def open_content(path: str | Path, *, verify: bool) -> Content:
    """Map the pixels and read what they are.

    Args:
        path (str or Path): of the pixels.
        verify (bool): compare the checksum, which reads everything; the structure is always checked.

    Raises:
        DecodedError: If a file is missing, truncated, damaged or foreign.
    """
    try:
        about = read_json(sidecar(path))
    except ValueError as error:
        raise DecodedError(str(error)) from error
    made_by = about.get("format"), about.get("version")
    if made_by != (FORMAT, VERSION):
        raise DecodedError(f"{sidecar(path)} is not of format {FORMAT!r} {VERSION}: {made_by[0]!r} {made_by[1]!r}")
    parts: list[Any] = [about.get(name) for name in ("fingerprint", "classes", "labels")]
    fingerprint, classes, labels = parts
    if not (isinstance(fingerprint, str) and _are(classes, str) and _are(labels, int)):
        raise DecodedError(f"{sidecar(path)} is damaged: it lacks a fingerprint, names of classes or whole labels")
    try:
        # Not copy-on-write: the system refuses such a map of more than its memory.
        pixels = open_memmap(path, "r")
    except OSError as error:
        raise DecodedError(f"{path} cannot be read: {error.strerror}") from error
    except Exception as error:  # numpy's reader raises ValueError, SyntaxError, TokenError and others
        raise DecodedError(f"{path} is truncated, or no file of decoded images: {error}") from error
    size, wanted = os.path.getsize(path), pixels.offset + pixels.nbytes
    if size != wanted:
        raise DecodedError(f"{path} is truncated or damaged: {size:,} bytes where {wanted:,} belong")
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or not pixels.flags.c_contiguous or len(pixels) != len(labels):
        raise DecodedError(f"{path} holds {pixels.dtype} {pixels.shape}, uint8 ({len(labels)}, C, H, W) wanted")
    if verify and about.get("checksum") != _checksum(path, about):
        raise DecodedError(f"{path} or {sidecar(path).name} is damaged: their checksum differs from their content")
    return Content(fingerprint, classes, np.array(labels, dtype=np.int64), np.asarray(pixels))


def _are(values: Any, kind: type) -> bool:
    return isinstance(values, list) and all(type(value) is kind for value in values)


def _canonical(about: dict[str, Any]) -> bytes:
    return json.dumps({key: about[key] for key in about if key != "checksum"}, sort_keys=True).encode()


def _checksum(path: str | Path, about: dict[str, Any]) -> str:
    """Of the whole file of pixels, and of what is said about it."""
    digest, buffer = xxhash.xxh3_128(), memoryview(bytearray(_CHUNK))
    with open(path, "rb") as handle:
        while count := handle.readinto(buffer):
            digest.update(buffer[:count])
    digest.update(_canonical(about))
    return digest.hexdigest()
