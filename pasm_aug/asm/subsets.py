"""Clean, ambiguous or noise: the subsets that ASM sorts the training images into before every epoch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pasm_aug.asm.class_thresholds import check_probabilities
from pasm_aug.asm.options import COMBINE
from pasm_aug.core.errors import UserError

CLEAN, AMBIGUOUS, NOISE = 0, 1, 2
SUBSETS = ("clean", "ambiguous", "noise")


@dataclass(frozen=True)
class Partition:
    """Which subset each sample is in.

    As an array (``np.asarray(partition)``) it is the mask of the clean samples: where
    :class:`~pasm_aug.transforms.erase.PointAdversarialErase` may erase.

    Attributes:
        subset: (N,) uint8, :data:`CLEAN`, :data:`AMBIGUOUS` or :data:`NOISE`.
        p_label: (N,) float32, p(label) that decided, the mean of both networks.
        thresholds: (K, 2) float64, noise and clean; the mean of both networks'.
    """

    subset: np.ndarray
    p_label: np.ndarray
    thresholds: np.ndarray

    @property
    def clean(self) -> np.ndarray:
        """(N,) bool: the label is trusted."""
        return self.subset == CLEAN

    @property
    def noise(self) -> np.ndarray:
        """(N,) bool: the label is probably wrong."""
        return self.subset == NOISE

    def sizes(self, labels: np.ndarray, among: np.ndarray | None = None) -> np.ndarray:
        """(K, 3) int64: samples of each label in each subset; of those where ``among`` (N,) bool holds, if given."""
        counts = np.zeros((len(self.thresholds), len(SUBSETS)), dtype=np.int64)
        np.add.at(counts, (labels, self.subset), 1 if among is None else among)
        return counts

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.clean, dtype=dtype)

    def __len__(self) -> int:
        return len(self.subset)

    def __repr__(self) -> str:
        counts = np.bincount(self.subset, minlength=len(SUBSETS))
        return f"Partition({', '.join(f'{n:,} {name}' for name, n in zip(SUBSETS, counts, strict=True))})"


def partition(probs: np.ndarray, labels: np.ndarray, thresholds: np.ndarray, *, combine: str = "mean") -> Partition:
    """Sort samples by p(label): clean from the class's upper threshold on, noise up to the lower, ambiguous between.

    *Published* (ASM): the three subsets and their thresholds. *Our reading*: how two networks decide together.

    Args:
        probs: (N, K), or (2, N, K) of two networks.
        labels: (N,) integers in 0 … K-1.
        thresholds: of :func:`~pasm_aug.asm.class_thresholds.thresholds`: (K, 2), or (2, K, 2) for each network.
        combine: ``"mean"`` of both p(label), against the mean of their thresholds; ``"both"`` must call it clean, or
            noise, each by its own thresholds; ``"agree"``, the rule of MAN (Zhang et al. 2022): clean where both
            networks predict the label, noise where neither does, whatever the thresholds.

    Raises:
        ValueError: shapes that do not fit; one network where two are needed.
    """
    probs, labels = check_probabilities(probs, labels)
    if combine not in COMBINE:
        raise UserError(f"combine must be one of {', '.join(COMBINE)}, got {combine!r}")
    if probs.ndim == 2 and combine != "mean":
        raise UserError(f"combine={combine!r} needs the probabilities of two networks, (2, N, K), got {probs.shape}")
    bounds, classes = np.asarray(thresholds, dtype=np.float64), probs.shape[-1]
    if bounds.shape not in ((classes, 2), (len(probs), classes, 2)):
        raise UserError(f"thresholds must be ({classes}, 2) or (2, {classes}, 2), got {bounds.shape}")
    own = np.take_along_axis(probs, labels.reshape(*[1] * (probs.ndim - 2), -1, 1), -1)[..., 0]  # (N,) or (2, N)
    if combine == "mean":
        own = own if own.ndim == 1 else own.mean(0)
        bounds = bounds if bounds.ndim == 2 else bounds.mean(0)
    if combine == "agree":
        right = probs.argmax(-1) == labels
        clean, noise = right.all(0), ~right.any(0)
    else:
        limits = bounds[..., labels, :]
        clean, noise = own >= limits[..., 1], own <= limits[..., 0]
        if combine == "both":
            clean, noise = clean.all(0), noise.all(0)
    subset = np.where(clean, CLEAN, np.where(noise, NOISE, AMBIGUOUS)).astype(np.uint8)
    mean = own if own.ndim == 1 else own.mean(0)
    return Partition(subset, mean.astype(np.float32), bounds if bounds.ndim == 2 else bounds.mean(0))
