"""The options of an erasing transform: the words they take, and checks as they come in."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Sequence
from typing import Any, Literal, SupportsIndex

import numpy as np
from torch import Tensor

from pasm_aug.core.errors import UserError
from pasm_aug.transforms.normalisation import Normalisation

FillWord = Literal["point", "mean", "random"]
Fill = FillWord | tuple[float, ...]
OnMiss = Literal["random", "skip", "raise"]
Index = SupportsIndex | Sequence[SupportsIndex] | Tensor | np.ndarray  # of one sample, or of each of a batch
IndexGetter = Literal["default"] | Callable[[Any], Index | None] | None


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


def check_value(value: FillWord | float | Sequence[float]) -> Fill:
    """A word as it is, numbers as a tuple."""
    if isinstance(value, str):
        if value not in ("point", "mean", "random"):
            raise UserError(f'value must be "point", "mean", "random" or numbers, got {value!r}')
        return value
    values: tuple[Any, ...] = tuple(value) if isinstance(value, Sequence) else (value,)
    if not values or not all(isinstance(v, numbers.Real) for v in values):
        raise TypeError(f'value must be "point", "mean", "random" or numbers, got {value!r}')
    return values


def check_normalisation(mean: Sequence[float] | None, std: Sequence[float] | None) -> Normalisation | None:
    """Both or neither."""
    if mean is None and std is None:
        return None
    if mean is None or std is None or len(mean) != len(std) or not all(s > 0 for s in std):
        raise UserError(f"mean and std must be given together, equally long, std positive, got {mean!r} and {std!r}")
    return Normalisation(tuple(float(m) for m in mean), tuple(float(s) for s in std))


def check_on_miss(on_miss: OnMiss) -> OnMiss:
    if on_miss not in ("random", "skip", "raise"):
        raise UserError(f'on_miss must be "random", "skip" or "raise", got {on_miss!r}')
    return on_miss


def check_index_getter(index_getter: IndexGetter) -> IndexGetter:
    if index_getter is not None and index_getter != "default" and not callable(index_getter):
        raise TypeError(f'index_getter must be "default", a callable or None, got {index_getter!r}')
    return index_getter
