"""Which sample is this? An index that travels through v2 transforms with a digest of its data set.

A bare int in a sample is its label. An index is a :class:`SampleIndex`, so neither can be taken for the other, and one
made from a ``Subset`` or another split is noticed instead of finding the wrong row.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms.v2 import functional as F

from pasm_aug.cache.position_cache import PositionCache
from pasm_aug.core.errors import UserError
from pasm_aug.core.image_content import dataset_digest
from pasm_aug.core.items import check_map_style, unpacked
from pasm_aug.transforms.erase_point import Collatable, ErasePoint


class SampleIndex(Collatable):
    """int64 (2,): [index, data set digest]; passes through every v2 transform unchanged; collated it is (B, 2).

    Args:
        data (Tensor or sequence of ints): the two integers.

    Raises:
        ValueError: not two integers.
    """

    def __new__(cls, data: Tensor | Sequence[int]) -> SampleIndex:
        tensor = torch.as_tensor(data)
        if tensor.shape != (2,) or tensor.is_floating_point():
            raise UserError(f"SampleIndex needs two integers, [index, digest], got {data!r}")
        return tensor.to(torch.int64).as_subclass(cls)

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return f"SampleIndex({self.tolist()})"


class IndexedDataset(Dataset):
    """Items (image, label, :class:`SampleIndex`) of ``base``, passed through ``transforms``.

    Args:
        base (Dataset): the data set that was mined, map-style: items (image, label), no random transforms.
        transforms (callable, optional): called as ``transforms(image, label, index)``, like a v2 ``Compose``; with
            ``cache`` as ``transforms(image, label, point, index)``.
        cache (str, path or PositionCache, optional): adds the mined points as an :class:`ErasePoint`, for transforms
            that erase after random geometry.
        digest (int, optional): of ``base``; by default computed by :func:`dataset_digest`.

    Raises:
        TypeError: ``base`` has no length or no items by index.
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
        check_map_style(base, "base")
        self.base, self.transforms = base, transforms
        self.digest = dataset_digest(base) if digest is None else digest
        self.cache = cache if cache is None or isinstance(cache, PositionCache) else PositionCache.open(cache)
        if self.cache is not None:
            check_digest(self.cache, self.digest)

    def __len__(self) -> int:
        return len(self.base)

    def __getitem__(self, index: int) -> Any:
        index = range(len(self))[index]
        image, label = unpacked(self.base[index])[:2]
        sample: tuple[Any, ...] = image, label, SampleIndex([index, self.digest])
        if self.cache is not None:
            self.cache.refresh()
            xy = self.cache.points_of(self.cache.find_index(index))
            sample = *sample[:2], ErasePoint.at_pixels(xy, tuple(F.get_size(image))), sample[2]
        return sample if self.transforms is None else self.transforms(*sample)


def check_digest(cache: PositionCache, digest: int) -> bool:
    """Whether the cache knows its data set's digest; it must be this one then."""
    known = cache.digest
    if known is not None and digest != known:
        raise UserError(f"digest {digest} is of another data set or a Subset: {cache.path} was mined on digest {known}")
    return known is not None
