"""A data set dealt into folds: duplicates and other groups unbroken, every class in at least two of them."""

from __future__ import annotations

import hashlib
import warnings

import numpy as np

from pasm_aug.core.errors import UserError
from pasm_aug.data.grouped_split import Groups, numbered, split_groups


def deal_folds(labels: np.ndarray, groups: Groups, folds: int, *, seed: int = 0) -> list[np.ndarray]:
    """``folds`` sorted int64 index arrays: disjoint, together all items, groups unbroken, about alike in classes.

    Args:
        labels: (N,) integers. groups: (N,) names.

    Raises:
        ValueError: fewer than 2 folds or classes; fewer groups than folds; a class that stands in one part alone, so
            that the network that judges it would not know it.
    """
    if folds < 2:
        raise UserError(f"folds must be at least 2, got {folds}")
    classes = np.unique(labels)
    if len(classes) < 2:
        raise UserError(f"labels must be of at least 2 classes, got {len(classes)}")
    with warnings.catch_warnings():  # a part without a class does no harm here: the others have it
        warnings.filterwarnings("ignore", r"part \d+ of \d+ has no ")
        parts = split_groups(labels, groups, [1 / folds] * folds, seed=seed)
    for part in parts:
        for label in np.setdiff1d(classes, np.delete(labels, part)):
            different = len(np.unique(numbered(groups)[labels == label]))
            raise UserError(
                f"class {label} must have different images in at least 2 of the folds, else no network that judges it "
                f"has seen it, got {different} different images, all in one: add some, or leave the class out"
            )
    return parts


def data_digest(keys: np.ndarray, labels: np.ndarray) -> str:
    """16 hexadecimal digits that name images, by their content keys (N,) int64, with their labels (N,) int64."""
    return hashlib.sha256(np.stack([keys, labels]).astype("<i8").tobytes()).hexdigest()[:16]
