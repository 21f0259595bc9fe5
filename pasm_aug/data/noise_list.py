"""Files that list noisy labels: our own CSV, and the lists that were published for RAF-DB.

RAF-DB's (``train_00001.jpg 5``, or ``train_00001_aligned.jpg 5``; labels 1 … 7 in RAF-DB's numbering) come with EAC
(Zhang et al. 2022, arXiv 2207.10299: ``EmoLabel/noise01.txt`` … ``noise03.txt``) and ReSup (Zhang et al. 2023, arXiv
2305.17895: ``RAFlabel/0.1noise_train1.txt`` …, the test images among them).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pasm_aug.core.errors import UserError
from pasm_aug.core.files import write_csv
from pasm_aug.data import rafdb
from pasm_aug.data.rafdb_subsets import stem
from pasm_aug.data.tables import read_lines, read_table

_RAFDB = re.compile(r"((?:train|test)_\d+(?:_aligned)?\.\w+)\s+(\S+)")


def write_list(
    path: str | Path, truth: np.ndarray, labels: np.ndarray, classes: Sequence[str], names: Sequence[str]
) -> None:
    """Write every item's ``index, name, true, label, true_class, label_class`` as CSV, atomically.

    All items, not the changed ones alone: so the list tells which data set it belongs to.

    Args:
        truth, labels: (N,) integers.
        classes: their names; empty where they have none.
        names: (N,) of the images, empty where they have none.
    """
    named = [_name(classes, label) for label in range(1 + max(truth.max(), labels.max()))]
    rows = [
        {
            "index": index,
            "name": _cell(name),
            "true": true,
            "label": label,
            "true_class": named[true],
            "label_class": named[label],
        }
        for index, (name, true, label) in enumerate(zip(names, truth.tolist(), labels.tolist(), strict=True))
    ]
    write_csv(Path(path), rows)


def read_list(
    path: str | Path, truth: np.ndarray, classes: Sequence[str], names: Sequence[str], count: int
) -> np.ndarray:
    """(N,) int64 labels of a list for a data set with the true labels ``truth`` (N,), ``count`` classes.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a malformed line, or a list for another data set; file and line are named.
    """
    path = Path(path)
    first = next((text for _, text in read_lines(path)), "")
    if _RAFDB.fullmatch(first):
        return _read_rafdb(path, classes, names)
    return _read_own(path, truth, classes, names, count)


def _read_own(path: Path, truth: np.ndarray, classes: Sequence[str], names: Sequence[str], count: int) -> np.ndarray:
    labels: list[int] = []
    for place, row in read_table(path, ("index", "true", "label")):
        number = len(labels)
        if number == len(truth):
            raise place.error(f"the list goes on, but the data set has {number:,} images: it belongs to another one")
        if place.integer(row["index"], "index", 0, len(truth) - 1) != number:
            raise place.error(f"index must be {number}, got {row['index']}")
        label = place.integer(row["label"], "label", 0, count - 1)
        here = {"true": int(truth[number]), "name": names[number]}
        here |= {"true_class": _name(classes, int(truth[number])), "label_class": _name(classes, label)}
        for column, known in here.items():
            wanted, got = _cell(str(known)), _cell(row.get(column, ""))
            if (got or column == "true") and wanted and got != wanted:
                raise place.error(
                    f"{column} must be {known!r} as in the data set, got {got!r}: the list belongs to another one"
                )
        labels.append(label)
    if len(labels) < len(truth):
        raise UserError(
            f"{path} lists {len(labels):,} images, but the data set has {len(truth):,}: it belongs to another one"
        )
    return np.array(labels, dtype=np.int64)


def _read_rafdb(path: Path, classes: Sequence[str], names: Sequence[str]) -> np.ndarray:
    """Labels by file name; images that the data set does not have are passed over (it may be a part of the split)."""
    unknown = [name for name in rafdb.CLASSES if name not in classes]
    if unknown:
        raise UserError(
            f"{path} holds RAF-DB's labels, but {', '.join(unknown)} is none of the classes of the data set: "
            f"{', '.join(classes) or 'they have no names'}"
        )
    listed: dict[str, int] = {}
    lines: dict[str, int] = {}
    for place, text in read_lines(path):
        words = _RAFDB.fullmatch(text)
        if not words:
            raise place.error(f"expected 'train_00001.jpg 5' (file, label), got {text!r}")
        name = stem(words[1])
        if lines.setdefault(name, place.line) != place.line:
            raise place.error(f"the image {name!r} stands already in line {lines[name]}")
        label = place.integer(words[2], "label", 1, len(rafdb.CLASSES)) - 1
        listed[name] = list(classes).index(rafdb.CLASSES[label])
    if not all(names):
        raise UserError(f"{path} lists images by their names, which the data set does not know")
    stems = [stem(name.rpartition("/")[2]) for name in names]
    missing = [name for name in stems if name not in listed]
    if missing:
        raise UserError(
            f"{path} does not list {len(missing):,} of the {len(names):,} images, the first {missing[0]!r}: it belongs "
            "to another data set"
        )
    return np.array([listed[name] for name in stems], dtype=np.int64)


def _name(classes: Sequence[str], label: int) -> str:
    return _cell(classes[label]) if label < len(classes) else ""


def _cell(text: str) -> str:
    """Text in one line, whatever a file or a class is called."""
    return " ".join(text.split())
