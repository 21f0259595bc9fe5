"""Samples that hold a list of images beside as many labels: what a data set hands over that collates nothing.

Hugging Face's ``with_transform`` gives a dict of lists, a hand-written collate function a list of tensors with a tensor
of labels. Each image is a sample of its own there, unlike the images of one sample, which share a square.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import PIL.Image
from torch import Tensor

from pasm_aug.transforms.indexed_dataset import SampleIndex


def transform_each(sample: Any, transform: Callable[[Any], Any]) -> Any:
    """The sample with each of its images transformed together with its own label; ``None`` if it is no such sample."""
    for value in sample.values() if isinstance(sample, dict) else sample:
        if isinstance(value, list):
            break
    else:
        return None  # as of most samples: no closer look costs them anything
    items = _items(sample)
    count = _count(items)
    if count is None:
        return None
    names = [name for name, value in items if _is_image_list(value) and len(value) == count]
    each = [transform(_part(sample, items, index, count)) for index in range(count)]
    changed = {name: [part[name] for part in each] for name in names}
    if isinstance(sample, dict):
        return {name: changed.get(name, value) for name, value in items}
    return type(sample)([changed.get(name, value) for name, value in items])


def _items(sample: Any) -> list[tuple[Any, Any]]:
    if isinstance(sample, dict):
        return list(sample.items())
    return list(enumerate(sample)) if type(sample) in (tuple, list) else []


def _count(items: list[tuple[Any, Any]]) -> int | None:
    """How many images lie beside as many labels."""
    lengths = {len(value) for _, value in items if _is_image_list(value)}
    return next((n for n in lengths if any(_is_labels(value, n) for _, value in items)), None)


def _is_image_list(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_image, value))


def _is_image(value: Any) -> bool:
    return isinstance(value, PIL.Image.Image) or (isinstance(value, Tensor) and value.ndim == 3)


def _is_labels(value: Any, count: int) -> bool:
    if isinstance(value, Tensor | np.ndarray):
        return value.ndim in (1, 2) and len(value) == count
    if not isinstance(value, list | tuple) or len(value) != count:
        return False
    return all(isinstance(one, int | str | np.integer) or (isinstance(one, Tensor) and one.ndim < 2) for one in value)


def _part(sample: Any, items: list[tuple[Any, Any]], index: int, count: int) -> Any:
    """The sample of one image: of everything that has one entry for each, its entry."""
    own = [(name, _entry(value, index) if _one_for_each(value, count) else value) for name, value in items]
    return dict(own) if isinstance(sample, dict) else [value for _, value in own]


def _entry(value: Any, index: int) -> Any:
    return SampleIndex(value[index]) if isinstance(value, SampleIndex) else value[index]


def _one_for_each(value: Any, count: int) -> bool:
    sized = isinstance(value, list | tuple) or (isinstance(value, Tensor | np.ndarray) and value.ndim > 0)
    return sized and len(value) == count
