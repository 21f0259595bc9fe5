"""Any data set that a table lists: one row an image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pasm_aug.core.errors import UserError
from pasm_aug.data.base import EXPRESSIONS, SPLITS, Split, Transform, canonical_name, check_split
from pasm_aug.data.grouped_split import joined, numbered, split_groups
from pasm_aug.data.listed import ListedImages, check_files, look_alikes
from pasm_aug.data.tables import Place, read_table

FILE_NAMES = ("manifest.csv", "manifest.tsv", "labels.csv", "labels.tsv")

_SPLIT_OF = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "publictest"), "val"),
    **dict.fromkeys(("test", "testing", "privatetest"), "test"),
}

_Row = tuple[Place, dict[str, str]]


class Manifest(ListedImages):
    """Images listed in a table with the columns ``path``, ``label`` and, if wanted, ``split`` and ``person``.

    Cells are separated by ``,`` ``;`` or tab; other columns are overlooked. Paths are relative to the file.

    Labels are names (expressions get the canonical spelling; ``classes`` are expressions in canonical order, then the
    others by name) or integers: then these are the names of the classes, in their order, unless the option ``classes``
    gives names to 0, 1, ….

    The column ``split`` is followed (train, val, test, or one of their synonyms in every row). Without it, or where it
    has no val, splits are a seeded, stratified draw: persons (an empty cell is a person of its own) and byte-identical
    files stay on one side.

    Args:
        root (str or ``pathlib.Path``): the file, or a folder with ``manifest.csv``, ``manifest.tsv``, ``labels.csv``
            or ``labels.tsv``.
        split (str): ``"train"`` (default), ``"val"`` or ``"test"``.
        classes (sequence of str, optional): names of the classes in the order of their integers; any other label
            raises.
        val_fraction (float), test_fraction (float): share of the drawn parts. Default: ``0.1`` each.
        transform (callable, optional): applied to the PIL image.
        target_transform (callable, optional): applied to the label.
        seed (int): of the draw. Default: ``0``.

    Attributes:
        persons (ndarray): (N,) names, "" where unknown.

    Raises:
        FileNotFoundError: If there is no such file, images are missing, or none is in the split.
        ValueError: If a row is malformed, an image listed twice, a label or split unknown; file and line are named.
        ImageError: (When an item is read) if a file is no image.
    """

    def __init__(
        self,
        root: str | Path,
        split: Split = "train",
        *,
        classes: Sequence[str] | None = None,
        val_fraction: float = 0.1,
        test_fraction: float = 0.1,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        seed: int = 0,
    ) -> None:
        check_split(split)
        path = _find(Path(root).expanduser())
        rows = list(read_table(path, ("path", "label")))
        if not rows:
            raise UserError(f"{path} lists no image")
        paths = _paths(path, rows)
        names, labels = _labels(rows, classes)
        persons = np.array([row.get("person", "") for _, row in rows])
        chosen = np.arange(len(rows))
        drawn = {"val": val_fraction, "test": test_fraction}
        if "split" in rows[0][1]:
            splits = np.array([_split(place, row["split"]) for place, row in rows])
            drawn = {} if (splits == "val").any() else {"val": val_fraction}
            own = "train" if split == "val" and drawn else split
            chosen = np.flatnonzero(splits == own)
            if not len(chosen):
                raise FileNotFoundError(f"{path} has no row whose split is {own}")
        check_files([paths[index] for index in chosen], path)
        if split == "train" or split in drawn:
            chosen = chosen[_draw(chosen, paths, labels, persons, split, drawn, seed, names)]
        super().__init__(
            [paths[index] for index in chosen],
            names,
            labels[chosen],
            transform=transform,
            target_transform=target_transform,
        )
        self.split = split
        self.persons = persons[chosen]


def _find(root: Path) -> Path:
    if root.is_file():
        return root
    for name in FILE_NAMES:
        if (root / name).is_file():
            return root / name
    raise FileNotFoundError(f"root must be a table or a folder with {' or '.join(FILE_NAMES)}, got {root}")


def _paths(path: Path, rows: list[_Row]) -> list[Path]:
    seen: dict[Path, int] = {}
    for place, row in rows:
        if not row["path"]:
            raise place.error("path must not be empty")
        if seen.setdefault(path.parent / row["path"], place.line) != place.line:
            raise place.error(f"{row['path']!r} stands already in line {seen[path.parent / row['path']]}")
    return list(seen)


def _labels(rows: list[_Row], classes: Sequence[str] | None) -> tuple[list[str], np.ndarray]:
    """Names of the classes and (N,) labels."""
    cells = [row["label"] for _, row in rows]
    numbers = cells[0].isdecimal()
    for (place, _), cell in zip(rows, cells, strict=True):
        if not cell or cell.isdecimal() != numbers:
            raise place.error(
                f"label must be {'an integer' if numbers else 'a name'} as in the first row, got {cell!r}"
            )
    keys = [str(int(cell)) if numbers else canonical_name(cell) for cell in cells]
    found = set(keys)
    if classes is not None:
        names = [canonical_name(name) for name in classes]
    elif numbers:
        names = sorted(found, key=int)
    else:
        names = [name for name in EXPRESSIONS if name in found] + sorted(found - set(EXPRESSIONS))
    known = [str(label) for label in range(len(names))] if numbers and classes is not None else names
    label_of = {key: label for label, key in enumerate(known)}
    for (place, row), key in zip(rows, keys, strict=True):
        if key not in label_of:
            raise place.error(f"label must be one of {', '.join(known)}, got {row['label']!r}")
    return names, np.array([label_of[key] for key in keys], dtype=np.int64)


def _split(place: Place, cell: str) -> str:
    if cell.lower() not in _SPLIT_OF:
        raise place.error(f"split must be one of {', '.join(SPLITS)}, got {cell!r}")
    return _SPLIT_OF[cell.lower()]


def _draw(
    chosen: np.ndarray,
    paths: list[Path],
    labels: np.ndarray,
    persons: np.ndarray,
    split: str,
    drawn: dict[str, float],
    seed: int,
    classes: list[str],
) -> np.ndarray:
    """Positions in ``chosen`` of one of the splits ``drawn``, or of what they leave for "train"."""
    if not drawn:
        return np.arange(len(chosen))
    for name, fraction in drawn.items():
        if not 0 < fraction < 1:
            raise UserError(f"{name}_fraction must lie in (0, 1), got {fraction}")
    rest = 1 - sum(drawn.values())
    if rest <= 0:
        raise UserError(f"val_fraction + test_fraction must be less than 1, got {1 - rest:g}")
    people = [persons[index] or int(index) for index in chosen]
    groups = joined(numbered(people), look_alikes([paths[index] for index in chosen]))
    parts = split_groups(labels[chosen], groups, [rest, *drawn.values()], seed=seed, classes=classes)
    return dict(zip(["train", *drawn], parts, strict=True))[split]
