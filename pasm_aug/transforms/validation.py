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
