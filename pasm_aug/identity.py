"""Which sample is this? An index that travels through v2 transforms with a digest of its data set.

A bare int in a sample is its label. An index is a :class:`SampleIndex`, so neither can be taken for the other, and one
made from a ``Subset`` or another split is noticed instead of finding the wrong row.
"""

from __future__ import annotations

import numbers
import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import xxhash
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms.v2 import functional as F

from pasm_aug.cache import PositionCache
from pasm_aug.content import content_key
from pasm_aug.erase_point import Collatable, ErasePoint

_PROBES = 16
RESEMBLING = (
    0.1  # of the pictures missed; a quarter is expected where the cause is other pixels, next to none elsewhere
)


class SampleIndex(Collatable):
    """int64 (2,): [index, data set digest]; passes through every v2 transform unchanged; collated it is (B, 2).

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
        transforms: called as ``transforms(image, label, index)``, like a v2 ``Compose``; with ``cache`` as
            ``transforms(image, label, point, index)``.
        cache: adds the mined points as an :class:`ErasePoint`, for transforms that erase after random geometry.
        digest: of ``base``; computed by :func:`dataset_digest` by default.

    Raises:
        CacheError: ``cache`` is damaged or gone.
        ValueError: ``cache`` was mined on another data set.
    """

    def __init__(
        self,
        base: Any,
        transforms: Callable[..., Any] | None = None,
        *,
        cache: str | os.PathLike[str] | PositionCache | None = None,
        digest: int | None = None,
    ) -> None:
        self.base, self.transforms = base, transforms
        self.digest = dataset_digest(base) if digest is None else digest
        self.cache = cache if cache is None or isinstance(cache, PositionCache) else PositionCache.open(cache)
        if self.cache is not None:
            _check_digest(self.cache, self.digest)

    def __len__(self) -> int:
        return len(self.base)

    def __getitem__(self, index: int) -> Any:
        index = range(len(self))[index]
        image, label = self.base[index][:2]
        sample: tuple[Any, ...] = image, label, SampleIndex([index, self.digest])
        if self.cache is not None:
            self.cache.refresh()
            xy = self.cache.points_of(self.cache.find_index(index))
            sample = *sample[:2], ErasePoint.at_pixels(xy, tuple(F.get_size(image))), sample[2]
        return sample if self.transforms is None else self.transforms(*sample)


class Name(NamedTuple):
    """What is known of a picture without looking at it.

    Attributes:
        number: index in the data set that was mined.
        digest: of the data set that the index was made from.
        trusted: whether the index needs no look at the picture.
        label: tells pictures apart that occur with several.
    """

    number: int | None = None
    digest: int | None = None
    trusted: bool = False
    label: int | None = None


NAMELESS = Name()


def names_of(
    sample: Any, leaves: Sequence[Any], index_getter: str | Callable[[Any], Any] | None, count: int | None
) -> list[Name]:
    """The names of a sample's picture, or of the ``count`` pictures of a batch.

    Args:
        sample: (image, label, …), a dict, or the picture alone.
        leaves: the flattened sample.
        index_getter: ``"default"``: a :class:`SampleIndex` among the leaves, or a dict entry ``"index"``; or a callable
            from the sample to an index, or to one for each picture of a batch; or ``None``.

    Raises:
        ValueError: an index that is none, or not one for each picture.
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
            wanted = "one picture needs a SampleIndex (2,)"
            if count is not None:
                wanted = f"a batch of {count} pictures needs a SampleIndex ({count}, 2)"
            raise ValueError(f"{wanted}, got {tuple(given.shape)}")
        return [Name(number, digest) for number, digest in pairs]
    indices = _each(given, count)
    if None in indices:
        many = "an int or a SampleIndex" if count is None else f"{count} integers or a SampleIndex ({count}, 2)"
        raise ValueError(f"the index of a sample must be {many}, got {given!r}")
    return [Name(number, None, trusted) for number in indices]


def find_row(cache: PositionCache, name: Name, key: Callable[[], int]) -> int:
    """The cache's row of a picture, or -1: by index where it has one, else by content.

    Args:
        key: computes the picture's content key; called only where it is needed.

    Raises:
        ValueError: an index of another data set.
    """
    number, digest, trusted, label = name
    if number is None:
        content = key()
        row = -1 if label is None else cache.find(content, label)
        return row if row >= 0 else cache.find(content)  # labels may have been renumbered since mining
    if digest is not None:
        trusted = _check_digest(cache, digest)
    row = cache.find_index(number)
    if not trusted and row >= 0 and cache.key(row) != key():
        raise ValueError(f"index {number} names another picture in {cache.path}: another data set or split?")
    return row


def rows_by_index(cache: PositionCache, given: SampleIndex) -> np.ndarray | None:
    """The rows (B,) of a batch's :class:`SampleIndex` (B, 2) at once, or ``None`` if the pictures must be looked at.

    Raises:
        ValueError: an index of another data set.
    """
    with torch._C.DisableTorchFunctionSubclass():
        pairs = given.numpy(force=True)
    digests = set(pairs[:, 1].tolist())
    if not all(_check_digest(cache, digest) for digest in digests):
        return None
    return cache.rows_of(pairs[:, 0])


def why_missed(cache: PositionCache, looks: Sequence[tuple[int, int]]) -> str:
    """What is likely the matter with pictures that are not in the cache though they should be.

    Args:
        looks: for each, its :func:`~pasm_aug.content.look` and that of its mirror image.
    """
    if cache.resembling(plain for plain, _ in looks) >= RESEMBLING:
        return (
            "pictures that look like those missed were mined with other pixels: likely another resize backend (PIL and "
            "tensor resizing differ), size, decoder or colour"
        )
    if cache.resembling(mirrored for _, mirrored in looks) >= RESEMBLING:
        return "the mirror images of those missed were mined: a random flip stands before this transform"
    return (
        "likely causes: another split of the data, a random transform before this one, another resize backend than in "
        "mining (PIL and tensor resizing differ)"
    )


def _check_digest(cache: PositionCache, digest: int) -> bool:
    """Whether the cache knows its data set's digest; it must be this one then."""
    known = cache.digest
    if known is not None and digest != known:
        raise ValueError(
            f"digest {digest} is of another data set or a Subset: {cache.path} was mined on digest {known}"
        )
    return known is not None


def _label(sample: Any) -> Any:
    if isinstance(sample, dict):
        return sample.get("label")
    return sample[1] if isinstance(sample, tuple | list) and len(sample) > 1 else None


def _each(value: Any, count: int | None) -> list[int | None]:
    """A value as the integer of one picture, or of each of ``count``; ``None`` where it is none."""
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
