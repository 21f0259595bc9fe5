"""Which row is a sample's? By index where it has one, else by content; and why an image may have none."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pasm_aug.cache.position_cache import PositionCache
from pasm_aug.core.image_content import dataset_digest
from pasm_aug.transforms.indexed_dataset import IndexedDataset, SampleIndex, check_digest

__all__ = [
    "NAMELESS",
    "IndexedDataset",
    "Name",
    "SampleIndex",
    "dataset_digest",
    "find_row",
    "names_of",
    "rows_by_index",
    "why_missed",
]

RESEMBLING = 0.1  # of the images missed: a quarter is expected if the cause is other pixels, hardly any if not


class Name(NamedTuple):
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


NAMELESS = Name()


def names_of(
    sample: Any, leaves: Sequence[Any], index_getter: str | Callable[[Any], Any] | None, count: int | None
) -> list[Name]:
    """The names of a sample's image, or of the ``count`` images of a batch.

    Args:
        sample: (image, label, …), a dict, or the image alone.
        leaves: the flattened sample.
        index_getter: ``"default"``: a :class:`SampleIndex` among the leaves, or a dict entry ``"index"``; or a callable
            from the sample to an index, or to one for each image of a batch; or ``None``.

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
        return [Name(label=label) for label in _each(_label(sample), count)]
    if isinstance(given, SampleIndex):
        with torch._C.DisableTorchFunctionSubclass():  # else each step asks the class what to return
            pairs = given.tolist() if given.ndim == 2 else [given.tolist()]
            matching = given.ndim == 1 if count is None else len(pairs) == count and given.ndim == 2
        if not matching:
            wanted = "one image needs a SampleIndex (2,)"
            if count is not None:
                wanted = f"a batch of {count} images needs a SampleIndex ({count}, 2)"
            raise ValueError(f"{wanted}, got {tuple(given.shape)}")
        return [Name(number, digest) for number, digest in pairs]
    indices = _each(given, count)
    if None in indices:
        many = "an int or a SampleIndex" if count is None else f"{count} integers or a SampleIndex ({count}, 2)"
        raise ValueError(f"the index of a sample must be {many}, got {given!r}")
    return [Name(number, None, trusted) for number in indices]


def find_row(cache: PositionCache, name: Name, key: Callable[[], int]) -> int:
    """The cache's row of an image, or -1: by index where it has one, else by content.

    Args:
        key: computes the image's content key; called only where it is needed.

    Raises:
        ValueError: an index of another data set.
    """
    number, digest, trusted, label = name
    if number is None:
        content = key()
        row = -1 if label is None else cache.find(content, label)
        return row if row >= 0 else cache.find(content)  # labels may have been renumbered since mining
    if digest is not None:
        trusted = check_digest(cache, digest)
    row = cache.find_index(number)
    if not trusted and row >= 0 and cache.key(row) != key():
        raise ValueError(f"index {number} names another image in {cache.path}: another data set or split?")
    return row


def rows_by_index(cache: PositionCache, given: SampleIndex) -> np.ndarray | None:
    """The rows (B,) of a batch's :class:`SampleIndex` (B, 2) at once, or ``None`` if the images must be looked at.

    Raises:
        ValueError: an index of another data set.
    """
    with torch._C.DisableTorchFunctionSubclass():
        pairs = given.numpy(force=True)
    digests = set(pairs[:, 1].tolist())
    if not all(check_digest(cache, digest) for digest in digests):
        return None
    return cache.rows_of(pairs[:, 0])


def why_missed(cache: PositionCache, looks: Sequence[tuple[int, int]]) -> str:
    """What is likely the matter with images that are not in the cache though they should be.

    Args:
        looks: for each, its :func:`~pasm_aug.core.image_content.look` and that of its mirror image.
    """
    if cache.resembling(plain for plain, _ in looks) >= RESEMBLING:
        return (
            "images that look like those missed were mined with other pixels: likely another resize backend (PIL and "
            "tensor resizing differ), size, decoder or colour"
        )
    if cache.resembling(mirrored for _, mirrored in looks) >= RESEMBLING:
        return "the mirror images of those missed were mined: a random flip stands before this transform"
    return (
        "likely causes: another split of the data, a random transform before this one, another resize backend than in "
        "mining (PIL and tensor resizing differ)"
    )


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
