"""Occlusion- and Pose-RAF-DB: the parts of RAF-DB's test split that Wang et al. 2020 (RAN, arXiv 1905.04075) list."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from pasm_aug.core.errors import UserError
from pasm_aug.data.tables import Place, read_lines

Subset = Literal["occlusion", "pose30", "pose45"]
LIST_NAMES: dict[Subset, tuple[str, ...]] = {
    "occlusion": ("rafdb_occlusion_list.txt", "occlusion_list.txt"),
    "pose30": ("val_raf_db_list.txt", "val_raf_db_list_30.txt", "val_raf_db_list_pose_30.txt"),
    "pose45": ("val_raf_db_list_45.txt", "val_raf_db_list_pose_45.txt"),
}
PUBLISHED = {"occlusion": 734, "pose30": 1247, "pose45": 558}  # different images


def stem(name: str) -> str:
    """``test_0003`` of ``test_0003_aligned.jpg``: what an image is called in every list."""
    return re.sub(r"(_aligned)?(\.\w+)?$", "", name)


def find_list(subset: Subset, folders: Sequence[Path]) -> Path:
    """The list of a subset, in the first of ``folders`` that has it."""
    if subset not in LIST_NAMES:
        raise UserError(f"subset must be one of {', '.join(LIST_NAMES)}, got {subset!r}")
    for folder in folders:
        for name in LIST_NAMES[subset]:
            if (folder / name).is_file():
                return folder / name
    raise FileNotFoundError(
        f"no list of the subset {subset!r}: looked for {' or '.join(LIST_NAMES[subset])} in "
        f"{', '.join(map(str, folders))}; subset_list= takes any path"
    )


def choose(path: Path, subset: str, stems: Sequence[str], labels: np.ndarray) -> np.ndarray:
    """Indices of the listed images among ``stems`` with their ``labels`` (0-based), in the order of the list.

    An image that is listed twice counts once; a warning names it.

    Raises:
        ValueError: a malformed line, an image that is not in the test split, a label that is not the official one;
            file and line are named.
    """
    index_of = {name: index for index, name in enumerate(stems)}
    chosen: dict[int, int] = {}
    doubled: list[str] = []
    for place, text in read_lines(path):
        if not chosen and re.fullmatch(r"\d+ +\d+", text):
            continue  # the header that some copies of the pose lists have: numbers of images and classes
        name, label = _parse(place, text, subset)
        if name not in index_of:
            raise place.error(f"{name!r} is no image of the test split")
        index = index_of[name]
        if label != labels[index]:
            raise place.error(f"label − 1 of {name!r} must be {labels[index]} as in the official list, got {label}")
        if chosen.setdefault(index, place.line) != place.line:
            doubled.append(f"{name} (lines {chosen[index]} and {place.line})")
    if doubled:
        warnings.warn(f"{path} lists {', '.join(doubled)} twice; it counts once", stacklevel=3)
    return np.array(list(chosen), dtype=np.int64)


def _parse(place: Place, text: str, subset: str) -> tuple[str, int]:
    """Stem and 0-based label of a line."""
    if subset == "occlusion":
        words = text.split()
        if len(words) != 3:
            raise place.error(f"expected 'test_0003_aligned 3 4' (name, label − 1, kind of occlusion), got {text!r}")
        place.integer(words[2], "kind of occlusion", 1, 4)
        name, label = words[0], words[1]
    else:
        label, slash, name = text.partition("/")
        if not slash or not name:
            raise place.error(f"expected '0/test_0004_aligned.jpg' (label − 1, name), got {text!r}")
    return stem(name), place.integer(label, "label − 1", 0, 6)
