"""Look at a data set before anything is trained on it: counts, sizes, unreadable files, duplicates, a contact sheet."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from pasm_aug.core.image_content import content_key
from pasm_aug.core.progress import progress_bar
from pasm_aug.data.base import SPLITS, ExpressionDataset
from pasm_aug.data.files import ImageError
from pasm_aug.data.listed import MissingImages
from pasm_aug.data.overlap import Overlaps
from pasm_aug.data.registry import open_dataset, resize_square

_SIDE, _COLUMNS, _LABEL = 72, 12, 110  # of the contact sheet, in pixels
_LISTED = 5  # unreadable files and sizes that are named one by one


@dataclass
class SplitCheck:
    """What one split holds.

    ``counts``: class → images; ``sizes`` and ``modes`` of them; ``left_out``: reason → images that the loader
    passes over; ``unreadable``: what is wrong with which file; ``remarks``: what the loader warned of.
    """

    counts: dict[str, int]
    sizes: Counter[str] = field(default_factory=Counter)
    modes: Counter[str] = field(default_factory=Counter)
    left_out: dict[str, int] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


@dataclass
class Check:
    """What :func:`check_data` found: a :class:`SplitCheck` for each split that can be opened; of the others, why the
    data set has none (``missing``), or what is wrong with it (``broken``)."""

    splits: dict[str, SplitCheck]
    missing: dict[str, str]
    broken: dict[str, str]
    overlaps: Overlaps | None

    @property
    def sound(self) -> bool:
        """Whether every split that is there can be opened and every image in it read."""
        return not self.broken and not any(split.unreadable for split in self.splits.values())

    def asdict(self) -> dict[str, Any]:
        """As JSON holds it."""
        splits = {name: dict(vars(split)) for name, split in self.splits.items()}
        found = self.overlaps.summary().splitlines() if self.overlaps else []
        return {"splits": splits, "missing": self.missing, "broken": self.broken, "overlaps": found}

    def text(self) -> str:
        """The findings as a table with remarks below."""
        names = list(self.splits)
        classes = list(dict.fromkeys(name for split in self.splits.values() for name in split.counts))
        rows = [("", *names)]
        rows += [(name, *(f"{self.splits[s].counts.get(name, 0):,}" for s in names)) for name in classes]
        rows += [("all", *(f"{sum(self.splits[s].counts.values()):,}" for s in names))]
        widths = [max(len(row[i]) for row in rows) for i in range(len(names) + 1)]
        lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
        lines[-1:] = ["─" * len(lines[0]), lines[-1]]
        for name, split in self.splits.items():
            lines += [f"{name}: {text}" for text in _remarks(split)]
        lines += [f"{name}: none ({why})" for name, why in self.missing.items()]
        lines += [f"{name}: cannot be opened ({why})" for name, why in self.broken.items()]
        return "\n".join([*lines, *([self.overlaps.summary()] if self.overlaps else [])])


def check_data(
    name: str, root: str | Path | None = None, *, read: bool = True, progress: bool = True, **options: Any
) -> tuple[Check, dict[str, ExpressionDataset]]:
    """Open every split of a data set and, if ``read``, every image in it.

    Args:
        name (str), root (str or ``pathlib.Path``, optional), **options: as in
            :func:`~pasm_aug.data.registry.open_dataset`.
        read (bool): ``False`` counts only. Default: ``True``.
        progress (bool): show a bar. Default: ``True``.

    Returns:
        tuple: the findings (:class:`Check`), and the splits that could be opened, by name.

    Raises:
        FileNotFoundError, ValueError: What the loader of the training split raises; file and line are named.
    """
    opened: dict[str, ExpressionDataset] = {}
    splits: dict[str, SplitCheck] = {}
    missing: dict[str, str] = {}
    broken: dict[str, str] = {}
    for split in SPLITS:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                opened[split] = open_dataset(name, root, split, **options)
            except (FileNotFoundError, ValueError) as error:
                if split == "train":
                    raise
                absent = isinstance(error, FileNotFoundError) and not isinstance(error, MissingImages)
                (missing if absent else broken)[split] = str(error)
                continue
        counts = np.bincount(opened[split].labels, minlength=len(opened[split].classes)).tolist()
        splits[split] = SplitCheck(
            dict(zip(opened[split].classes, counts, strict=True)),
            left_out=dict(getattr(opened[split], "left_out", {})),
            remarks=[str(warning.message) for warning in caught],
        )
    keys: dict[str, np.ndarray] = {}
    labels: dict[str, np.ndarray] = {}
    if read:
        for part, dataset in opened.items():
            bar = progress_bar(range(len(dataset)), name=f"reading {part}", shown=progress)
            known = _read(dataset, bar, splits[part])
            keys[part] = np.array(list(known.values()), dtype=np.int64)
            labels[part] = np.array(dataset.classes)[dataset.labels[list(known)]]
    return Check(splits, missing, broken, Overlaps(keys, labels) if read else None), opened


def _read(dataset: ExpressionDataset, indices: Iterable[int], found: SplitCheck) -> dict[int, int]:
    """Index → content key of the images that can be read; the rest is noted in ``found``."""
    keys = {}
    for index in indices:
        try:
            image = dataset.image(index)
        except ImageError as error:
            found.unreadable.append(str(error))
            continue
        found.sizes[f"{image.width}×{image.height}"] += 1
        found.modes[image.info.get("mode", image.mode)] += 1
        keys[index] = content_key(image)
    return keys


def _remarks(split: SplitCheck) -> list[str]:
    lines = []
    if split.sizes:
        common = [f"{size} ({count:,})" for size, count in split.sizes.most_common(_LISTED)]
        others = f" and {len(split.sizes) - _LISTED:,} other sizes" if len(split.sizes) > _LISTED else ""
        modes = ", ".join(f"{mode} ({count:,})" for mode, count in split.modes.most_common())
        lines.append(f"images of {', '.join(common)}{others} pixels; modes {modes}")
    lines += [f"left out, {reason}: {count:,}" for reason, count in split.left_out.items()]
    lines += split.unreadable[:_LISTED]
    if len(split.unreadable) > _LISTED:
        lines.append(f"and {len(split.unreadable) - _LISTED:,} other unreadable files")
    return lines + split.remarks


def contact_sheet(splits: Mapping[str, ExpressionDataset], seed: int = 0) -> Image.Image:
    """A dozen images of every class of every split, drawn by ``seed``, one class a row."""
    rows = [(split, label) for split, dataset in splits.items() for label in range(len(dataset.classes))]
    sheet = Image.new("RGB", (_LABEL + _COLUMNS * _SIDE, max(len(rows), 1) * _SIDE), "white")
    draw = ImageDraw.Draw(sheet)
    random = np.random.default_rng(seed)
    for row, (split, label) in enumerate(rows):
        dataset = splits[split]
        draw.text((4, row * _SIDE + _SIDE // 2 - 12), f"{split}\n{dataset.classes[label]}"[:40], fill="black")
        members = np.flatnonzero(dataset.labels == label)
        for column, index in enumerate(random.permutation(members)[:_COLUMNS]):
            try:
                image = resize_square(dataset.image(int(index)), _SIDE - 2).convert("RGB")
            except ImageError:
                continue
            sheet.paste(image, (_LABEL + column * _SIDE, row * _SIDE))
    return sheet
