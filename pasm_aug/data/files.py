"""Image files on disk: find them, read them, tell duplicates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xxhash
from PIL import Image

IMAGE_EXTENSIONS = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})


class ImageError(ValueError):
    """A file that should be an image cannot be read as one; the message names it."""


def list_images(folder: Path) -> list[Path]:
    """Image files anywhere below a folder, by extension, sorted; hidden files and folders are left out."""
    found = (path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_EXTENSIONS)
    visible = (path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))
    return sorted(path for path in visible if path.is_file())


def list_folders(folder: Path) -> list[Path]:
    """Sub-folders, sorted by name, without hidden ones."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def read_image(path: Path) -> Image.Image:
    """The image as it lies on disk: its own mode, EXIF orientation not applied.

    Raises:
        ImageError: the file is missing, damaged or no image.
    """
    try:
        with Image.open(path) as image:
            image.load()
            if image.mode in ("I", "F") or image.mode.startswith("I;"):
                raise ValueError(f"its mode {image.mode!r} has more than 8 bits a channel; bring it to 0…255 first")
            return image
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error and others
        raise ImageError(f"cannot read {path} as an image: {error}") from error


def content_groups(paths: list[Path]) -> np.ndarray:
    """(N,) uint64 hash of each file's bytes: equal for byte-identical duplicates."""
    return np.array([xxhash.xxh3_64_intdigest(path.read_bytes()) for path in paths], dtype=np.uint64)
