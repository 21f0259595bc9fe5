"""Which sample is this? An index that travels through v2 transforms with a digest of its data set.

A bare int in a sample is its label. An index is a :class:`SampleIndex`, so neither can be taken for the other, and one
made from a ``Subset`` or another split is noticed instead of finding the wrong row.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import xxhash
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.tv_tensors import TVTensor

from pasm_aug.cache import PositionCache
from pasm_aug.functional import content_key

_PROBES = 16


class SampleIndex(TVTensor):
    """int64 (2,): [index, data set digest]; passes through every v2 transform unchanged.

    Args:
        data: the two integers, or a tensor of them.

    Raises:
        ValueError: not two integers.
    """

    def __new__(cls, data: Any) -> SampleIndex:
        tensor = torch.as_tensor(data)
        if tensor.shape != (2,) or tensor.is_floating_point():
            raise ValueError(f"SampleIndex needs two integers, [index, digest], got {data!r}")
        return tensor.to(torch.int64).as_subclass(cls)

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return f"SampleIndex({self.tolist()})"


def dataset_digest(dataset: Any) -> int:
    """63-bit name of a data set: its length, and the content keys and labels of 16 evenly spaced items.

    Args:
        dataset: map-style, items (image, label, …) without random transforms.
    """
    length = len(dataset)
    numbers = [length]
    for index in sorted({length * i // _PROBES for i in range(_PROBES)} if length else ()):
        image, label = dataset[index][:2]
        numbers += [content_key(image), int(label)]
    return xxhash.xxh3_64_intdigest(np.array(numbers, dtype="<i8").tobytes()) & (2**63 - 1)


class IndexedDataset(Dataset):
    """Items (image, label, :class:`SampleIndex`) of ``base``, passed through ``transforms``.

    Args:
        base: the data set that was mined: items (image, label), no random transforms.
        transforms: called as ``transforms(image, label, index)``, like a v2 ``Compose``.
        digest: of ``base``; computed by :func:`dataset_digest` by default.
    """

    def __init__(self, base: Any, transforms: Callable[..., Any] | None = None, digest: int | None = None) -> None:
        self.base, self.transforms = base, transforms
        self.digest = dataset_digest(base) if digest is None else digest

    def __len__(self) -> int:
        return len(self.base)

    def __getitem__(self, index: int) -> Any:
        index = range(len(self))[index]
        image, label = self.base[index][:2]
        sample = image, label, SampleIndex([index, self.digest])
        return sample if self.transforms is None else self.transforms(*sample)


def find_row(
    cache: PositionCache,
    key: Callable[[], int],
    sample: Any,
    leaves: Sequence[Any],
    index_getter: str | Callable[[Any], Any] | None = "default",
) -> int:
    """The cache's row of a sample, or -1: by index where it has one, else by content.

    Args:
        key: computes the picture's content key; called only where it is needed.
        sample: (image, label), a dict, or the picture alone; the label only tells conflicting duplicates apart.
        leaves: the flattened sample.
        index_getter: ``"default"``: a :class:`SampleIndex` among the leaves, or a dict entry ``"index"`` whose row must
            then have the picture's content; or a callable from the sample to an index; or ``None``.

    Raises:
        ValueError: an index of another data set.
    """
    index: Any = None
    if callable(index_getter):
        index = index_getter(sample)
    elif index_getter is not None:
        index = next((leaf for leaf in leaves if isinstance(leaf, SampleIndex)), None)
        if index is None and isinstance(sample, dict) and "index" in sample:
            return _agreeing(cache, _integer(sample["index"]), key)
    if isinstance(index, SampleIndex):
        number, digest = index.tolist()
        known = cache.metadata.get("dataset", {}).get("digest")
        if known is None:
            return _agreeing(cache, number, key)
        if digest != known:
            raise ValueError(
                f"{index!r} was made from another data set or a Subset: {cache.path} was mined on digest {known}"
            )
        return cache.find_index(number)
    if index is not None:
        return cache.find_index(int(index))
    label, content = _integer(_label(sample)), key()
    row = -1 if label is None else cache.find(content, label)
    return row if row >= 0 else cache.find(content)  # labels may have been renumbered since mining


def _agreeing(cache: PositionCache, index: int | None, key: Callable[[], int]) -> int:
    if index is None:
        raise ValueError('"index" of a sample must be an int or a SampleIndex')
    row = cache.find_index(index)
    if row >= 0 and cache.key(row) != key():
        raise ValueError(f"index {index} names another picture in {cache.path}: another data set or split?")
    return row


def _label(sample: Any) -> Any:
    if isinstance(sample, dict):
        return sample.get("label")
    return sample[1] if isinstance(sample, tuple | list) and len(sample) > 1 else None


def _integer(value: Any) -> int | None:
    if isinstance(value, Tensor) and value.ndim == 0 and not value.is_floating_point():
        value = value.item()
    return int(value) if isinstance(value, numbers.Integral) and not isinstance(value, bool) else None
