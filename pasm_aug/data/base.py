"""What every data set of facial expressions has in common: items, labels, names of the classes, seeded splits.

Labels keep each data set's own integers; data sets meet by the *names* of their classes.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Literal, Protocol

import numpy as np
from PIL import Image
from torch.utils.data import Dataset

from pasm_aug.core.errors import UserError

EXPRESSIONS = ("neutral", "anger", "disgust", "fear", "happiness", "sadness", "surprise", "contempt")
Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")

_SYNONYMS = {
    "angry": "anger",
    "disgusted": "disgust",
    "afraid": "fear",
    "fearful": "fear",
    "happy": "happiness",
    "joy": "happiness",
    "sad": "sadness",
    "surprised": "surprise",
    "normal": "neutral",
    "contemptuous": "contempt",
}

Transform = Callable[[Any], Any]


class Labelled(Protocol):
    """A map-style data set, items (image, label), whose labels and their names can be read without the images."""

    @property
    def classes(self) -> Sequence[str]: ...

    @property
    def labels(self) -> np.ndarray: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> tuple[Any, Any]: ...


def canonical_name(name: str) -> str:
    """The one spelling of an expression's name; a name that is no expression comes back as it is.

    Case and a leading number are overlooked (``"3_Happy"`` → ``"happiness"``).
    """
    word = re.sub(r"^\d+[ _.-]+", "", name.strip()).lower()
    word = _SYNONYMS.get(word, word)
    return word if word in EXPRESSIONS else name


class ExpressionDataset(Dataset[tuple[Any, Any]], ABC):
    """Data set with items ``(image, label)``; a subclass says how image ``i`` is had.

    Args:
        classes (sequence of str): names in the order of the data set's own integer labels.
        labels (ndarray): (N,) integers in ``0 .. len(classes) - 1``.
        transform (callable, optional): applied to the PIL image; without it, items hold the image
            as it is seen (:func:`~pasm_aug.data.files.as_seen`), in its own size.
        target_transform (callable, optional): applied to the label.

    Attributes:
        classes (list of str): names of the labels.
        class_to_idx (dict): name → label.
        labels (ndarray): (N,) int64, before ``target_transform``; reading them decodes no image.
    """

    def __init__(
        self,
        classes: Sequence[str],
        labels: np.ndarray,
        *,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
    ) -> None:
        self.classes = list(classes)
        self.labels = np.asarray(labels, dtype=np.int64)
        self.transform = transform
        self.target_transform = target_transform

    @property
    def class_to_idx(self) -> dict[str, int]:
        return {name: label for label, name in enumerate(self.classes)}

    @abstractmethod
    def image(self, index: int) -> Image.Image:
        """The untransformed image of an index in ``0 .. len(self) - 1``."""

    def limited(self, count: int, seed: int = 0) -> ExpressionDataset:
        """``count`` items spread over the classes (see :func:`stratified_sample`), in their old order."""
        if count >= len(self):
            return self
        return ExpressionSubset(self, stratified_sample(self.labels, count, seed=seed))

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"index must lie in {-len(self)} .. {len(self) - 1}, got {index}")
        index = int(index) % len(self)
        image: Any = self.image(index)
        label: Any = int(self.labels[index])
        if self.transform is not None:
            image = self.transform(image)
        if self.target_transform is not None:
            label = self.target_transform(label)
        return image, label

    def __repr__(self) -> str:
        counts = np.bincount(self.labels, minlength=len(self.classes)).tolist()
        named = ", ".join(f"{name} {count}" for name, count in zip(self.classes, counts, strict=True))
        return f"{type(self).__name__}({len(self)} images: {named})"


class ExpressionSubset(ExpressionDataset):
    """Some items of another data set, by index; transforms stay the other's."""

    def __init__(self, dataset: ExpressionDataset, indices: np.ndarray) -> None:
        super().__init__(
            dataset.classes,
            dataset.labels[indices],
            transform=dataset.transform,
            target_transform=dataset.target_transform,
        )
        self.dataset = dataset
        self.indices = np.asarray(indices, dtype=np.int64)

    def image(self, index: int) -> Image.Image:
        return self.dataset.image(int(self.indices[index]))


def check_split(split: str, allowed: Sequence[str] = SPLITS) -> None:
    if split not in allowed:
        raise UserError(f"split must be one of {', '.join(allowed)}, got {split!r}")


def stratified_sample(labels: np.ndarray, count: int, *, seed: int = 0) -> np.ndarray:
    """Draw ``count`` items without replacement, each class in proportion.

    Every class is there if ``count`` is at least the number of classes; a smaller sample of the same seed is part of a
    larger one.

    Args:
        labels (ndarray): (N,) integers.
        count (int): at least 1.
        seed (int): of the draw. Default: ``0``.

    Returns:
        ndarray: sorted int64 indices.
    """
    labels = np.asarray(labels)
    if count < 1:
        raise UserError(f"count must be at least 1, got {count}")
    rng = np.random.default_rng(seed)
    order = np.empty(len(labels))
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        order[members] = rng.permutation(len(members)) / len(members)
    return np.sort(np.lexsort((rng.random(len(labels)), order))[:count])


def stratified_split(
    labels: np.ndarray,
    fractions: Sequence[float],
    *,
    seed: int = 0,
    groups: Sequence[Hashable] | np.ndarray | None = None,
    classes: Sequence[str] | None = None,
) -> list[np.ndarray]:
    """Split items into parts that hold each class in the same proportion.

    Args:
        labels (ndarray): (N,) integers.
        fractions (sequence of float): share of each part; positive, sum 1.
        seed (int): of the draw. Default: ``0``.
        groups (sequence, optional): (N,) names; items of one group (duplicates) stay together, counted to the class of
            the first of them.
        classes (sequence of str, optional): names for messages, and the classes that must be there.

    Returns:
        list of ndarray: one sorted int64 index array a part: disjoint, together all items. Every part holds every
        class.

    Raises:
        ValueError: If the fractions are no shares of one, or a class has no item, or fewer groups than parts.
    """
    labels = np.asarray(labels)
    shares = np.asarray(fractions, dtype=np.float64)
    if len(shares) == 0 or (shares <= 0).any() or abs(shares.sum() - 1) > 1e-6:
        raise UserError(f"fractions must be positive and sum to 1, got {tuple(fractions)}")
    members: dict[Hashable, list[int]] = {}
    for index, name in enumerate(range(len(labels)) if groups is None else groups):
        members.setdefault(name, []).append(index)
    if groups is not None and len(groups) != len(labels):
        raise UserError(f"groups must name every item: got {len(groups)} names for {len(labels)} items")
    strata: dict[int, list[list[int]]] = {label: [] for label in range(len(classes or ()))}
    for group in members.values():
        strata.setdefault(int(labels[group[0]]), []).append(group)
    rng = np.random.default_rng(seed)
    parts: list[list[int]] = [[] for _ in shares]
    for label, stratum in sorted(strata.items()):
        if len(stratum) < len(shares):
            name = classes[label] if classes is not None and label < len(classes) else label
            own = np.count_nonzero(labels == label)
            together = f" among its {own}: copies of an image, and a person's, stay together, in the class of the first"
            raise UserError(
                f"class {name!r} must have at least {len(shares)} different images for as many parts, "
                f"got {len(stratum)}{together if own > len(stratum) else ''}"
            )
        missing = shares * sum(map(len, stratum))
        for turn, position in enumerate(rng.permutation(len(stratum))):
            part = turn if turn < len(shares) else int(missing.argmax())
            parts[part] += stratum[position]
            missing[part] -= len(stratum[position])
    return [np.sort(np.array(part, dtype=np.int64)) for part in parts]
