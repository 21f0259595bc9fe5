"""What a sample says of its images beside their pixels: an index, with or without a digest, or a label."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pasm_aug.core.errors import UserError
from pasm_aug.transforms.indexed_dataset import SampleIndex
from pasm_aug.transforms.validation import IndexGetter


class SampleId(NamedTuple):
    """What is known of an image without looking at it.

    Attributes:
        number: index in the data set that was mined.
        digest: of the data set that the index was made from.
        trusted: whether the index needs no look at the image.
        label: tells images apart that occur with several.
    """

    number: int | None = None
    digest: int | None = None
    trusted: bool = False
    label: int | None = None


UNKNOWN = SampleId()  # only its content can tell


def sample_ids(sample: Any, leaves: Sequence[Any], index_getter: IndexGetter, count: int | None) -> list[SampleId]:
    """The ids of a sample's image, or of the ``count`` images of a batch.

    Args:
        sample (Any): (image, label, …), a dict, or the image alone.
        leaves (sequence): the flattened sample.
        index_getter (str, callable or None): ``"default"``: a :class:`SampleIndex` among the leaves, or a dict entry
            ``"index"``; or a callable from the sample to an index, or to one for each image of a batch; or ``None``.
        count (int or None): images of a batch; ``None`` for a single image.

    Raises:
        ValueError: an index that is none, or not one for each image.
    """
    given: Any = None
    trusted = True
    if index_getter == "default":
        for leaf in leaves:
            if isinstance(leaf, SampleIndex):
                given = leaf
        if given is None and isinstance(sample, dict) and "index" in sample:
            given, trusted = sample["index"], False
    elif callable(index_getter):
        given = index_getter(sample)
    if given is None:
        return [SampleId(label=label) for label in _each(_label(sample), count)]
    if isinstance(given, SampleIndex):
        with torch._C.DisableTorchFunctionSubclass():  # else each step asks the class what to return
            pairs = given.tolist() if given.ndim == 2 else [given.tolist()]
            matching = given.ndim == 1 if count is None else len(pairs) == count and given.ndim == 2
        if not matching:
            wanted = "one image needs a SampleIndex (2,)"
            if count is not None:
                wanted = f"a batch of {count} images needs a SampleIndex ({count}, 2)"
            raise UserError(f"{wanted}, got {tuple(given.shape)}")
        return [SampleId(number, digest) for number, digest in pairs]
    indices = _each(given, count)
    if None in indices:
        many = "an int or a SampleIndex" if count is None else f"{count} integers or a SampleIndex ({count}, 2)"
        raise UserError(f"the index of a sample must be {many}, got {given!r}")
    return [SampleId(number, None, trusted) for number in indices]


def _label(sample: Any) -> Any:
    if isinstance(sample, dict):
        return sample.get("label")
    return sample[1] if isinstance(sample, tuple | list) and len(sample) > 1 else None


def _each(value: Any, count: int | None) -> list[int | None]:
    """A value as the integer of one image, or of each of ``count``; ``None`` where it is none."""
    if count is None:
        return [_integer(value)]
    if isinstance(value, Tensor | np.ndarray):
        value = value.tolist() if value.ndim == 1 else None
    if not isinstance(value, list | tuple) or len(value) != count:
        return [None] * count
    return [_integer(one) for one in value]


def _integer(value: Any) -> int | None:
    if isinstance(value, int):
        return None if isinstance(value, bool) else value
    if isinstance(value, Tensor) and value.ndim == 0 and not value.is_floating_point():
        value = value.item()
    return int(value) if isinstance(value, numbers.Integral) and not isinstance(value, bool) else None
