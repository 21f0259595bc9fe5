"""Which row of the cache is a sample's? By index where it has one, else by content."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from pasm_aug.cache.position_cache import PositionCache
from pasm_aug.core.errors import UserError
from pasm_aug.core.image_content import content_key
from pasm_aug.transforms.images import Image, as_mined
from pasm_aug.transforms.indexed_dataset import SampleIndex, check_digest
from pasm_aug.transforms.normalisation import Normalisation
from pasm_aug.transforms.sample_id import UNKNOWN, SampleId, sample_ids
from pasm_aug.transforms.validation import IndexGetter


class RowLookup:
    """Finds the rows of images, one by one or of a whole batch.

    Args:
        cache (PositionCache, optional): ``None`` knows no image. The caller refreshes it.
        index_getter (str, callable or None): see :func:`~pasm_aug.transforms.sample_id.sample_ids`.
        normalisation (Normalisation, optional): that the images went through.
    """

    def __init__(
        self,
        cache: PositionCache | None,
        index_getter: IndexGetter = "default",
        normalisation: Normalisation | None = None,
    ) -> None:
        self.cache, self.index_getter, self.normalisation = cache, index_getter, normalisation

    def sample_ids(self, sample: Any, leaves: Sequence[Any], count: int | None = None) -> list[SampleId]:
        """See :func:`~pasm_aug.transforms.sample_id.sample_ids`."""
        return sample_ids(sample, leaves, self.index_getter, count)

    def row(self, image: Image, sample_id: SampleId = UNKNOWN) -> int:
        """The row of one image, or -1.

        Raises:
            ValueError: an index of another data set, or of another image than this.
        """
        if self.cache is None:
            return -1
        if sample_id is UNKNOWN:
            return self.cache.find(content_key(as_mined(image, self.normalisation)))
        return find_row(self.cache, sample_id, lambda: content_key(as_mined(image, self.normalisation)))

    def row_of_changed(self, sample_id: SampleId) -> int:
        """The row of an image that random geometry has changed, by its index alone; -1 if it was not mined.

        Raises:
            ValueError: an index of another data set, or none; no cache.
        """
        if self.cache is None or sample_id.number is None:
            raise UserError(
                'an ErasePoint has no colour: value="point" needs the cache and a SampleIndex beside it '
                "(IndexedDataset gives both), or give another value"
            )
        return find_row(self.cache, sample_id._replace(trusted=True), int)

    def quick_row(self, index: SampleIndex) -> int | None:
        """The row of one image by its :class:`SampleIndex`, in a fraction of the time; ``None`` if all is not well."""
        if self.cache is None or self.index_getter != "default":
            return None
        with torch._C.DisableTorchFunctionSubclass():  # else each step asks the class what to return
            return self.cache.quick_row(index.tolist())

    def rows(self, indices: SampleIndex) -> np.ndarray | None:
        """The rows (B,) of a batch's :class:`SampleIndex` (B, 2); ``None`` if the images must be looked at.

        Raises:
            ValueError: an index of another data set.
        """
        cache = self.cache
        if cache is None or self.index_getter != "default":
            return None
        with torch._C.DisableTorchFunctionSubclass():
            pairs = indices.numpy(force=True)
        digests = set(pairs[:, 1].tolist())
        if not all(check_digest(cache, digest) for digest in digests):
            return None
        return cache.rows_of(pairs[:, 0])


def find_row(cache: PositionCache, sample_id: SampleId, key: Callable[[], int]) -> int:
    """The cache's row of an image, or -1: by index where it has one, else by content.

    Args:
        cache (PositionCache): where to look.
        sample_id (SampleId): what is known of the image.
        key (callable): computes the image's content key; called only where it is needed.

    Raises:
        ValueError: an index of another data set.
    """
    number, digest, trusted, label = sample_id
    if number is None:
        content = key()
        row = -1 if label is None else cache.find(content, label)
        return row if row >= 0 else cache.find(content)  # labels may have been renumbered since mining
    if digest is not None:
        trusted = check_digest(cache, digest)
    row = cache.find_index(number)
    if not trusted and row >= 0 and cache.key(row) != key():
        raise UserError(f"index {number} names another image in {cache.path}: another data set or split?")
    return row
