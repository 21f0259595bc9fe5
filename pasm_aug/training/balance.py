"""Skewed data sets: weights that let rare classes count as much as common ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Subset


def labels_of(dataset: Any) -> np.ndarray:
    """(N,) int64 labels of a data set: its ``labels`` or ``targets`` where it has them, else read item by item."""
    if isinstance(dataset, Subset):
        return labels_of(dataset.dataset)[np.asarray(dataset.indices, dtype=np.int64)]
    for name in ("labels", "targets"):
        known = getattr(dataset, name, None)
        if known is not None and len(known) == len(dataset) and getattr(dataset, "target_transform", None) is None:
            return np.asarray(known, dtype=np.int64)
    return np.array([int(dataset[index][1]) for index in range(len(dataset))], dtype=np.int64)


def class_weights(labels: np.ndarray, classes: int) -> Tensor:
    """(classes,) float32: N / (K · count) for the K classes that have samples, 0 for the others.

    The mean over the samples is 1, so that the loss keeps its scale ("balanced" in scikit-learn).
    """
    counts = np.bincount(labels, minlength=classes)
    weights = np.zeros(len(counts))
    present = counts > 0
    weights[present] = len(labels) / (present.sum() * counts[present])
    return torch.from_numpy(weights).float()


def sample_weights(labels: np.ndarray) -> Tensor:
    """(N,) float64: chances under which every class is drawn equally often."""
    _, number, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return torch.from_numpy(1.0 / counts[number])
