"""What the data sets whose images are files have in common: paths, what was left out, and looking before training."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import xxhash
from PIL import Image

from pasm_aug.core.errors import UserError
from pasm_aug.data.base import ExpressionDataset, Transform, canonical_name
from pasm_aug.data.files import content_groups, list_folders, list_images, read_image

_SAMPLE = 4096  # bytes


class ListedImages(ExpressionDataset):
    """Images that are files.

    Attributes:
        paths (list of ``pathlib.Path``): one file an item.
        left_out (dict): reason → how many images the data set has, but this one leaves out.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        classes: Sequence[str],
        labels: np.ndarray,
        *,
        left_out: Mapping[str, int] | None = None,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
    ) -> None:
        super().__init__(classes, labels, transform=transform, target_transform=target_transform)
        self.paths = list(paths)
        self.left_out = {reason: count for reason, count in (left_out or {}).items() if count}

    def image(self, index: int) -> Image.Image:
        return read_image(self.paths[index])


class MissingImages(FileNotFoundError):
    """A data set names images that are not there."""


def check_files(paths: Sequence[Path], source: object) -> None:
    """Raises MissingImages, naming the first and their number, if files that ``source`` names are missing."""
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise MissingImages(
            f"{source} names {len(paths):,} images, {len(missing):,} of them missing, the first: {missing[0]}"
        )


def check_classes(labels: np.ndarray, classes: Sequence[str], name: str) -> None:
    """Raises ValueError if a class has no image to train on."""
    missing = [classes[label] for label in sorted(set(range(len(classes))) - set(np.unique(labels).tolist()))]
    if missing:
        raise UserError(f"{name} has {len(classes)} classes, but there is no training image of {', '.join(missing)}")


def warn_of_count(name: str, what: str, count: int, *published: int) -> None:
    """A warning if ``count`` is none of the published numbers."""
    if count not in published:
        warnings.warn(f"{name}: {what}: {count:,} found, published {published[0]:,}", stacklevel=3)


def look_alikes(paths: Sequence[Path]) -> np.ndarray:
    """(N,) uint64, equal for byte-identical files; quick for hundreds of thousands of large ones.

    Files of the same size whose 4 KB in the middle agree count as duplicates: what this groups beyond true duplicates
    stays on one side of a split, which does no harm.
    """
    sizes = [path.stat().st_size for path in paths]
    seen, shared = set[int](), set[int]()
    for size in sizes:
        (shared if size in seen else seen).add(size)
    keys = np.arange(len(sizes), dtype=np.uint64)  # a size of its own needs no look inside
    for index in range(len(sizes)):
        if sizes[index] in shared:
            with paths[index].open("rb") as file:
                file.seek(max(0, (sizes[index] - _SAMPLE) // 2))
                keys[index] = xxhash.xxh3_64_intdigest(file.read(_SAMPLE), seed=sizes[index]) | 1 << 63
    return keys


def numbered_folders(folder: Path, classes: Sequence[str], first: int = 0) -> tuple[list[Path], np.ndarray]:
    """Files and (N,) labels of class folders named by number (``first`` is that of the first class), name or both.

    Raises:
        ValueError: a folder that is no class, two for one class, an empty one, an image that stands in two of them.
    """
    by_label: dict[int, Path] = {}
    for path in list_folders(folder):
        number, name = re.match(r"\d*", path.name), canonical_name(path.name)
        label = int(number[0]) - first if number and number[0] else -1
        if not path.name.isdecimal() and name in classes and label in (-1, classes.index(name)):
            label = classes.index(name)
        elif not path.name.isdecimal() or not 0 <= label < len(classes):
            named = ", ".join(f"{first + label} {name}" for label, name in enumerate(classes))
            raise UserError(f"folder {path} is none of the classes: {named}")
        if label in by_label:
            raise UserError(f"{folder} has two folders for class {classes[label]!r}: {by_label[label]} and {path}")
        by_label[label] = path
    paths: list[Path] = []
    labels: list[int] = []
    for label, path in sorted(by_label.items()):
        images = list_images(path)
        if not images:
            raise UserError(f"class {classes[label]!r} is empty: {path} has no image")
        paths += images
        labels += [label] * len(images)
    _check_twins(paths)
    return paths, np.array(labels, dtype=np.int64)


def _check_twins(paths: Sequence[Path]) -> None:
    """Raises ValueError if one image stands there twice under one name; the name alone may be a coincidence."""
    by_stem: dict[str, list[Path]] = {}
    for path in paths:
        by_stem.setdefault(path.stem, []).append(path)
    for same_name in by_stem.values():
        if len(same_name) > 1:
            by_content: dict[int, list[Path]] = {}
            for path, key in zip(same_name, content_groups(same_name).tolist(), strict=True):
                by_content.setdefault(key, []).append(path)
            for twins in by_content.values():
                check_stems(twins)


def check_stems(paths: Sequence[Path]) -> None:
    """Raises ValueError if two files have the same name without extension, as no two images of a set may."""
    seen: dict[str, Path] = {}
    for path in paths:
        if path.stem in seen:
            raise UserError(f"the image {path.stem!r} stands there twice: {seen[path.stem]} and {path}")
        seen[path.stem] = path
