"""Caches made of other caches of the same data set: written once, with the same samples."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pasm_aug.cache.merge import write_cache
from pasm_aug.cache.position_cache import PositionCache


def derived_cache(
    sources: Sequence[PositionCache],
    path: str | os.PathLike[str],
    fingerprint: Mapping[str, Any],
    make_rows: Callable[[], np.ndarray],
) -> PositionCache:
    """Write other rows for the samples of ``sources``, unless ``path`` holds what is wanted already.

    Args:
        sources (Sequence[PositionCache]): caches of one data set, at least one.
        path (str or PathLike): of the cache to be made.
        fingerprint (Mapping): what it is made of; a file there with just this one is left as it is.
        make_rows (Callable): returns the rows, of :func:`~pasm_aug.cache.record.row_dtype`; called only if needed.

    Returns:
        PositionCache: the one at ``path``.

    Raises:
        CacheError: the file at ``path`` is damaged.
    """
    if (made := existing_cache(path, fingerprint)) is not None:
        return made
    about = {"fingerprint": fingerprint, "dataset": sources[0].metadata["dataset"]}
    write_cache(path, make_rows(), *_samples(sources), about)
    return PositionCache.open(path)


def existing_cache(path: str | os.PathLike[str], fingerprint: Mapping[str, Any]) -> PositionCache | None:
    """The cache at ``path`` if there is one with just this fingerprint."""
    if not os.path.exists(path):
        return None
    cache = PositionCache.open(path)
    return cache if cache.metadata["fingerprint"] == fingerprint else None


def _samples(sources: Sequence[PositionCache]) -> tuple[np.ndarray, np.ndarray]:
    """Content key and label (N,) of every sample that one of the caches holds; 0 and -1 of the others."""
    keys, labels = np.zeros(len(sources[0]), np.int64), np.full(len(sources[0]), -1, np.int64)
    for cache in sources:
        columns = cache.to_numpy()
        known = columns["index"] >= 0
        rows = columns["index"][known]
        keys[known], labels[known] = columns["key"][rows], columns["label"][rows]
    return keys, labels
