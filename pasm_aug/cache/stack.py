"""Points of several rounds in one cache: the student then sees more than one hard point of each image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pasm_aug.cache.derived import derived_cache
from pasm_aug.cache.position_cache import PositionCache
from pasm_aug.cache.record import KEPT, row_dtype
from pasm_aug.core.errors import UserError


def stacked_positions(caches: Sequence[PositionCache], path: Path) -> PositionCache:
    """Join caches of the same data set: an image's points are those of the first, then of the second, and so on.

    :class:`~pasm_aug.transforms.erase.PointAdversarialErase` draws one of them each time. An image that a cache lacks
    (skipped as misclassified) repeats there its points of the first cache that has it; one that none has stays without.

    Args:
        caches (Sequence[PositionCache]): of one data set, at least one.
        path (Path): of the cache to be made; nothing is done where it holds the same points already.

    Returns:
        PositionCache: with as many points per image as all caches together; ``p_clean`` is of the first that has it.

    Raises:
        ValueError: no cache, or caches of other data.
        CacheError: the file at ``path`` is damaged.
    """
    if not caches:
        raise UserError("caches must hold at least one cache, got none")
    digests = [cache.metadata["dataset"]["digest"] for cache in caches]
    if len(set(digests)) > 1:
        raise UserError(f"caches must be of one data set, got the digests {digests}")
    fingerprint = {"stacked": [cache.metadata["fingerprint"] for cache in caches]}
    return derived_cache(caches, path, fingerprint, lambda: _joined(caches))


def _joined(caches: Sequence[PositionCache]) -> np.ndarray:
    first = caches[0].to_rows()  # skipped ones too, so all images
    rows = np.zeros(len(first), row_dtype(sum(cache.points for cache in caches), caches[0].channels))
    for name in ("key", "label", "look", "queries", "forwards"):
        rows[name] = first[name]
    found = [cache.lookup(keys=first["key"], labels=first["label"]) for cache in caches]
    for points in reversed(found):
        rows["mined"] |= points.hit
        rows["p_clean"][points.hit] = points.p_clean[points.hit]
    start = 0
    for cache, points in zip(caches, found, strict=True):
        part = slice(start, start := start + cache.points)
        missing = np.ones(len(rows), bool)
        for source in (points, *found):
            taken = missing & source.hit
            repeated = np.arange(cache.points) % source.xy.shape[1]
            for name in (name for name, (_, shape) in KEPT.items() if shape.startswith("K")):
                rows[name][taken, part] = getattr(source, name)[taken][:, repeated]
            missing &= ~source.hit
    return rows
