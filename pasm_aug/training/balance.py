"""Skewed data sets: weights that let rare classes count as much as common ones."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


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
