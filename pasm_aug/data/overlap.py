"""Images that stand in two splits, or twice in one, found by content: all that compares splits is here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np

from pasm_aug.core.image_content import AnyImage, content_key
from pasm_aug.data.base import ExpressionDataset, ExpressionSubset


@dataclass(frozen=True)
class Overlaps:
    """Which images of some splits have the same pixels.

    Attributes:
        keys (mapping): split → (N,) int64, equal for images with equal pixels.
        labels (mapping): split → (N,) names of classes.
    """

    keys: Mapping[str, np.ndarray]
    labels: Mapping[str, np.ndarray]

    def shared(self, one: str, other: str) -> int:
        """How many different images stand in both splits."""
        return len(np.intersect1d(self.keys[one], self.keys[other]))

    def also_in(self, split: str, other: str = "train") -> np.ndarray:
        """Sorted int64 indices of the images of ``split`` that also stand in ``other``."""
        return standing_in(self.keys[split], self.keys[other])

    def repeated(self, split: str) -> np.ndarray:
        """Sorted int64 indices of the images that stand in the same split before."""
        first = np.unique(self.keys[split], return_index=True)[1]
        return np.setdiff1d(np.arange(len(self.keys[split])), first)

    @cached_property
    def in_train(self) -> dict[str, np.ndarray]:
        """Every other split → indices of its images that also stand in "train"."""
        return {split: self.also_in(split) for split in self.keys if split != "train" and "train" in self.keys}

    def conflicting(self, split: str | None = None) -> list[list[tuple[str, int]]]:
        """Groups of equal images with different labels, each as (split, index); of one split or of all together."""
        groups: dict[int, list[tuple[str, int]]] = {}
        for name in self.keys if split is None else [split]:
            for index, key in enumerate(self.keys[name].tolist()):
                groups.setdefault(key, []).append((name, index))
        return [group for group in groups.values() if len({self.labels[name][index] for name, index in group}) > 1]

    def summary(self) -> str:
        """A few lines: duplicates and conflicting labels in each split, and what two splits share."""
        lines = []
        for split, keys in self.keys.items():
            groups = self.conflicting(split)
            lines.append(
                f"{split}: {len(keys):,} images, {len(self.repeated(split)):,} of them repeat another, "
                f"{len(groups):,} groups ({sum(map(len, groups)):,} images) with conflicting labels"
            )
        for one, other in combinations(self.keys, 2):
            lines.append(
                f"{one} and {other}: {self.shared(one, other):,} different images in both "
                f"({len(self.also_in(one, other)):,} of {one}, {len(self.also_in(other, one)):,} of {other})"
            )
        return "\n".join(lines)


def overlaps(splits: Mapping[str, ExpressionDataset]) -> Overlaps:
    """Compare the untransformed images of data sets by content (:func:`~pasm_aug.core.image_content.content_key`).

    Every image is read once. Labels are compared by the names of their classes, so the data sets may be different
    ones.

    Args:
        splits (mapping): name → data set.

    Returns:
        Overlaps: what they share.

    Raises:
        TypeError: If a data set is no :class:`~pasm_aug.data.base.ExpressionDataset`.
        ImageError: If a file is no image.
    """
    for name, dataset in splits.items():
        if not isinstance(dataset, ExpressionDataset):
            raise TypeError(f"splits[{name!r}] must be an ExpressionDataset, got {type(dataset).__name__}")
    return Overlaps(
        keys={
            name: content_keys(dataset.image(index) for index in range(len(dataset)))
            for name, dataset in splits.items()
        },
        labels={name: np.array(dataset.classes)[dataset.labels] for name, dataset in splits.items()},
    )


def without(dataset: ExpressionDataset, indices: np.ndarray | Sequence[int]) -> ExpressionSubset:
    """The data set less the items at ``indices``.

    Args:
        dataset (ExpressionDataset): is not changed.
        indices (ndarray or sequence of int): of the items that go, in any order.

    Raises:
        IndexError: If an index is out of ``0 .. len(dataset) - 1``.
    """
    dropped = np.asarray(indices, dtype=np.int64)
    wrong = dropped[(dropped < 0) | (dropped >= len(dataset))]
    if len(wrong):
        raise IndexError(f"indices must lie in 0 .. {len(dataset) - 1}, got {wrong[0]}")
    return ExpressionSubset(dataset, np.setdiff1d(np.arange(len(dataset)), dropped))


def shared_images(dataset: Any, other: Any) -> np.ndarray:
    """Sorted int64 indices of the items of ``dataset`` whose image, as it comes, stands in ``other`` too.

    Args:
        dataset, other (Dataset): map-style, items (image, …).
    """
    own, others = (content_keys(data[index][0] for index in range(len(data))) for data in (dataset, other))
    return standing_in(own, others)


def content_keys(images: Iterable[AnyImage]) -> np.ndarray:
    """(N,) int64, equal for images with equal pixels."""
    return np.fromiter(map(content_key, images), dtype=np.int64)


def standing_in(keys: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Sorted int64 indices of those of ``keys`` that are among ``others``."""
    return np.flatnonzero(np.isin(keys, others))
