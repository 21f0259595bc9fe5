"""How far a measured share may lie from the true one."""

from __future__ import annotations

import math

Z95 = 1.96  # standard errors to either side of an estimate: its 95 % interval


def wilson(right: int, count: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927), in [0, 1]; sound for few images and for shares near 0 and 1."""
    z2, share = Z95**2, right / count
    middle = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = math.sqrt(z2 * share * (1 - share) / count + (z2 / (2 * count)) ** 2) / (1 + z2 / count)
    return max(0.0, middle - half), min(1.0, middle + half)
