"""The mean of a few trainings and how far it may lie from that of very many."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# Student's t, 97.5 %, for 1, 2, … degrees of freedom; beyond them the normal distribution's quantile with two terms of
# its expansion (Fisher and Cornish 1960).
_T: tuple[float, ...] = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
_T += (2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086)
_T += (2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042)


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean of n ≥ 1 values, and half the width of its 95 % interval (Student 1908); infinite for a single value."""
    if len(values) < 2:
        return float(np.mean(values)), float("inf")
    freedom = len(values) - 1
    t = _T[freedom - 1] if freedom <= len(_T) else _expanded(freedom)
    return float(np.mean(values)), t * float(np.std(values, ddof=1)) / len(values) ** 0.5


def _expanded(freedom: int, z: float = 1.959964) -> float:
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
