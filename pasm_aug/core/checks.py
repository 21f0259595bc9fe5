"""Checks of options that several rooms have: a probability, the size of a square."""

from __future__ import annotations

import numbers
from collections.abc import Sequence

from pasm_aug.core.errors import UserError


def check_probability(p: float) -> float:
    if not isinstance(p, numbers.Real):
        raise TypeError(f"p must be a number, got {p!r}")
    chance = float(p)
    if not 0 <= chance <= 1:
        raise UserError(f"p must be a probability in [0, 1], got {p!r}")
    return chance


def check_size(name: str, size: float) -> float:
    whole, share = (isinstance(size, kind) for kind in (numbers.Integral, numbers.Real))
    if not share or isinstance(size, bool):
        raise TypeError(f"{name} must be a float (share of the shorter side) or an int (pixels), got {size!r}")
    number = int(size) if whole else float(size)
    if not (number >= 1 if whole else 0 < number <= 1):
        raise UserError(f"{name} must be at least 1 pixel, or a share in (0, 1], got {size!r}")
    return number


def check_size_range(size_range: Sequence[float]) -> tuple[float, float]:
    if not isinstance(size_range, Sequence) or len(size_range) != 2:
        raise TypeError(f"size_range must be (low, high), got {size_range!r}")
    low, high = (check_size("size_range", size) for size in size_range)
    if type(low) is not type(high) or low > high:
        raise UserError(f"size_range must be two shares or two ints, low first, got {size_range!r}")
    return low, high
