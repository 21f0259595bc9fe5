"""Two thresholds for each class: below the lower one a label is noise, above the upper one it is clean.

Zhang et al. (arXiv 2310.05618, ASM) give T_noise = 0.2 and T_clean = 0.8 and adapt them to each class by its mean
probability; the formula of the adaptation was not to be had (see :func:`thresholds`).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pasm_aug.asm.suspects import class_confidence
from pasm_aug.core.errors import UserError

Confidence = Callable[[np.ndarray, np.ndarray], np.ndarray]


def label_mean(probs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(K,) mean p(label) of the images of each label, as confident learning has it (Northcutt et al., JAIR 2021).

    A class without images gets 1.
    """
    return np.nan_to_num(class_confidence(probs, labels), nan=1.0)


def label_mean_max(probs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(K,) :func:`label_mean`, divided by the largest of them: the surest class keeps T as it is."""
    return _by_largest(label_mean(probs, labels), np.unique(labels))


def marginal_max(probs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(K,) mean probability of each class over all images ÷ the largest (FreeMatch, Wang et al., ICLR 2023, Eq. 8).

    It follows how frequent the classes are: a rare one gets low thresholds.
    """
    return _by_largest(probs.mean(0, dtype=np.float64), np.arange(probs.shape[1]))


def fixed(probs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(K,) ones: T is the same for all classes."""
    return np.ones(probs.shape[1])


def _by_largest(confidence: np.ndarray, among: np.ndarray) -> np.ndarray:
    return confidence / confidence[among].max()


RULES: dict[str, Confidence] = {
    "label-mean": label_mean,
    "label-mean-max": label_mean_max,
    "marginal-max": marginal_max,
    "fixed": fixed,
}


def thresholds(
    probs: np.ndarray,
    labels: np.ndarray,
    *,
    low: float = 0.2,
    high: float = 0.8,
    rule: str | Confidence = "label-mean",
) -> np.ndarray:
    """The thresholds of each class, ``low · c_k`` and ``high · c_k`` with the class's confidence c_k.

    *Published* (ASM's supplement): low = 0.2, high = 0.8, adapted per class and epoch by a mean class probability. *Our
    reading*: which mean that is. By default the mean p(label) of the images of that label; the other :data:`RULES` are
    its neighbours in the literature, and ``"fixed"`` is what the paper compares with.

    Args:
        probs: (N, K) floating, each row sums to 1; or (2, N, K) of two networks, for thresholds of each.
        labels: (N,) integers in 0 … K-1, as given.
        low, high: 0 ≤ low ≤ high ≤ 1.
        rule: one of :data:`RULES`, or ``rule(probs (N, K), labels (N,)) → (K,)``.

    Returns:
        np.ndarray: (K, 2) float64, noise first; (2, K, 2) for two networks.

    Raises:
        ValueError: shapes that do not fit, labels out of range, thresholds out of order, an unknown rule.
    """
    probs, labels = check_probabilities(probs, labels)
    if not 0 <= low <= high <= 1:
        raise UserError(f"low and high must be 0 ≤ low ≤ high ≤ 1, got {low} and {high}")
    if not callable(rule) and rule not in RULES:
        raise UserError(f"rule must be one of {', '.join(RULES)} or a function, got {rule!r}")
    of = rule if callable(rule) else RULES[rule]
    if probs.ndim == 3:
        return np.stack([thresholds(each, labels, low=low, high=high, rule=rule) for each in probs])
    confidence = np.asarray(of(probs, labels), dtype=np.float64)
    if confidence.shape != probs.shape[1:]:
        raise UserError(f"rule must give a number for each of {probs.shape[1]} classes, got shape {confidence.shape}")
    return confidence[:, None] * np.array([low, high])


def check_probabilities(probs: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both as arrays.

    Raises:
        ValueError: see :func:`thresholds`.
    """
    probs, labels = np.asarray(probs), np.asarray(labels)
    if probs.ndim not in (2, 3) or labels.shape != probs.shape[-2:-1] or not len(labels):
        raise UserError(f"probs must be (N, K) or (2, N, K) and labels (N,), got {probs.shape} and {labels.shape}")
    if labels.min() < 0 or labels.max() >= probs.shape[-1]:
        raise UserError(f"labels must lie in 0…{probs.shape[-1] - 1}, got {labels.min()}…{labels.max()}")
    return probs, labels.astype(np.int64)
