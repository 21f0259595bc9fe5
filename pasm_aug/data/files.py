"""Image files on disk: find them, read them, tell duplicates."""

from __future__ import annotations

import functools
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import xxhash
from PIL import Image, ImageOps

from pasm_aug.core.errors import UserError

# Formats that Pillow registers but cannot decode by itself, or that hold other things than an image.
_NO_IMAGES = frozenset({"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "PDF", "WMF"})


# Endings of what lies beside images, which nobody misses among them.
_BESIDE = frozenset(
    ("", ".csv", ".db", ".html", ".ini", ".json", ".log", ".mat", ".md", ".npy", ".pdf", ".txt", ".xml")
)


class ImageError(UserError):
    """A file that should be an image cannot be read as one; the message names it."""


@functools.cache
def image_extensions() -> frozenset[str]:
    """The endings (lower case, with the dot) of the files that Pillow reads as images here."""
    known = Image.registered_extensions()  # loads all of Pillow's plug-ins
    return frozenset(ending for ending, format in known.items() if format in Image.OPEN.keys() - _NO_IMAGES)


def is_hidden(path: Path) -> bool:
    """Whether a file or folder is none of the user's: ``.…``, and what macOS puts into archives beside each file."""
    return path.name.startswith(".") or path.name == "__MACOSX"


@dataclass
class Found:
    """What lies below a folder: the images, sorted, and of the files of other kinds how many have which ending."""

    images: list[Path] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)

    @property
    def left_out(self) -> dict[str, int]:
        """Reason → number of files that are no images."""
        counts = sorted(self.others.items())
        return {f"files ending in {ending}, which Pillow does not read here": count for ending, count in counts}


def find_images(folder: Path) -> Found:
    """Images anywhere below a folder, by ending; hidden files and folders are left out, links followed."""
    found = Found()
    _walk(folder, tuple(map(_identity, folder.resolve().parents)), found)
    found.images.sort()
    return found


def _walk(folder: Path, above: tuple[tuple[int, int], ...], found: Found) -> None:
    here = _identity(folder)
    if here in above:  # a link to a folder that it lies in
        return
    for entry in os.scandir(folder):
        path = Path(entry.path)
        if is_hidden(path):
            continue
        if entry.is_dir():
            _walk(path, (*above, here), found)
        elif path.suffix.lower() not in image_extensions():
            found.others.update([path.suffix.lower()] if path.suffix.lower() not in _BESIDE else ())
        elif entry.is_file():
            found.images.append(path)


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def list_images(folder: Path) -> list[Path]:
    """The images of :func:`find_images`."""
    return find_images(folder).images


def list_folders(folder: Path) -> list[Path]:
    """Sub-folders, sorted by name, without hidden ones; links to folders among them."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not is_hidden(path))


def visible(paths: Iterable[Path]) -> list[Path]:
    """Those that are not hidden, sorted."""
    return sorted(path for path in paths if not is_hidden(path))


def as_seen(image: Image.Image) -> Image.Image:
    """An image of any mode as people see it, grey ("L") or RGB: turned as EXIF says, transparent parts white, 16 bits
    as 8, palettes and CMYK as the colours they stand for. ``info["mode"]`` is the mode that it had.

    Raises:
        TypeError: no PIL image.
        ValueError: floating-point pixels, whose range is anyone's guess.
    """
    if not isinstance(image, Image.Image):
        raise TypeError(f"wanted a PIL image, got {type(image).__name__}")
    mode = image.mode
    image = ImageOps.exif_transpose(image)
    if mode == "F":
        raise UserError("its pixels are floating-point numbers of unknown range; bring it to 0…255 first")
    if mode == "I" or mode.startswith("I;16"):  # some versions of Pillow read 16-bit files as "I"
        levels = np.asarray(image).astype(np.int64).clip(0, 65535)
        image = Image.fromarray(((levels + 128) // 257).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    grey = mode in ("1", "L", "I") or mode.startswith("I;16")
    image = image.convert("L" if grey else "RGB")
    image.info["mode"] = mode
    return image


def read_image(path: Path) -> Image.Image:
    """The image in a file :func:`as_seen`; the first frame of an animated one.

    Raises:
        ImageError: the file is missing, damaged or no image, by name.
    """
    try:
        with Image.open(path) as image:
            return as_seen(image)
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error and others
        raise ImageError(f"cannot read {path} as an image: {error}") from error


def content_groups(paths: list[Path]) -> np.ndarray:
    """(N,) uint64 hash of each file's bytes: equal for byte-identical duplicates."""
    return np.array([xxhash.xxh3_64_intdigest(path.read_bytes()) for path in paths], dtype=np.uint64)
