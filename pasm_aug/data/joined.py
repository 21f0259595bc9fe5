"""All splits of a data set as one, for looking at every image that it has."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pasm_aug.core.errors import UserError
from pasm_aug.data.base import SPLITS, ExpressionDataset
from pasm_aug.data.listed import MissingImages
from pasm_aug.data.origin import item_paths, origin
from pasm_aug.data.registry import open_dataset


class JoinedSplits(ExpressionDataset):
    """The items of several splits of one data set, one split after the other.

    Args:
        splits (mapping): name → data set; they share their classes and their transforms.

    Attributes:
        parts (mapping): the splits.
        split_of (ndarray): (N,) name of the split that each item comes from.
        index_of (ndarray): (N,) int64, its place in the whole of that split, of which a ``limit`` may have left a part.
        paths (list of ``pathlib.Path``, optional): one an item; ``None`` where they are not known.
        persons (list of str, optional): one an item, "" where unknown; ``None`` where the data set knows none.

    Raises:
        ValueError: If there is no split, or their classes differ.
    """

    def __init__(self, splits: Mapping[str, ExpressionDataset]) -> None:
        if not splits:
            raise UserError("splits must hold at least one data set, got none")
        first = next(iter(splits.values()))
        for name, split in splits.items():
            if split.classes != first.classes:
                raise UserError(f"splits must share their classes {first.classes}, got {split.classes} in {name}")
        labels = np.concatenate([split.labels for split in splits.values()])
        super().__init__(first.classes, labels, transform=first.transform, target_transform=first.target_transform)
        self.parts = dict(splits)
        lengths = [len(split) for split in splits.values()]
        self.split_of = np.repeat(list(splits), lengths)
        self.index_of = np.concatenate([origin(split)[1] for split in splits.values()])
        self._place = np.concatenate([np.arange(length) for length in lengths])
        self.paths = _joined([item_paths(split) for split in splits.values()])
        self.persons = _joined([_persons(split) for split in splits.values()])

    def image(self, index: int) -> Image.Image:
        return self.parts[str(self.split_of[index])].image(int(self._place[index]))


def _persons(dataset: ExpressionDataset) -> list[str] | None:
    whole, places = origin(dataset)
    known = getattr(whole, "persons", None)
    return None if known is None else [str(known[place]) for place in places]


def _joined(lists: list[list[Any] | None]) -> list[Any] | None:
    return None if any(one is None for one in lists) else [item for one in lists for item in one or ()]


def open_splits(name: str, root: str | Path | None = None, split: str = "all", **options: Any) -> JoinedSplits:
    """One split of a data set, or with ``"all"`` every one of train, val and test that it has.

    Args:
        name, root, options: as in :func:`~pasm_aug.data.registry.open_dataset`.
    """
    splits: dict[str, ExpressionDataset] = {}
    for own in SPLITS if split == "all" else (split,):
        try:
            splits[own] = open_dataset(name, root, own, **options)  # type: ignore[arg-type]
        except FileNotFoundError as error:
            if own in ("train", split) or isinstance(error, MissingImages):
                raise
    return JoinedSplits(splits)
