"""Points of several rounds in one cache: the student then sees more than one hard place of each image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pasm_aug.cache.journal import row_dtype
from pasm_aug.cache.merge import write_cache
from pasm_aug.cache.position_cache import PositionCache


def stacked_positions(caches: Sequence[PositionCache], path: Path) -> PositionCache:
    """Join caches of the same data set: an image's points are those of the first, then of the second, and so on.

    :class:`~pasm_aug.transforms.erase.PointAdversarialErase` draws one of them each time. ``p_clean`` and ``p_point`` are of
    the teacher that mined the point; an image that a later cache lacks repeats its points of the first. Does nothing
    where ``path`` holds the same points already.

    Raises:
        ValueError: no cache, or caches of other data.
    """
    if not caches:
        raise ValueError("caches must hold at least one cache, got none")
    first = caches[0]
    digests = [cache.metadata["dataset"]["digest"] for cache in caches]
    if len(set(digests)) > 1:
        raise ValueError(f"caches must be of one data set, got the digests {digests}")
    fingerprint = {"stacked": [cache.metadata["fingerprint"] for cache in caches]}
    if path.exists() and PositionCache.open(path).metadata["fingerprint"] == fingerprint:
        return PositionCache.open(path)
    rows = first.to_rows()
    joined = np.zeros(len(rows), row_dtype(sum(cache.points for cache in caches), first.channels))
    for name in ("key", "label", "mined", "look", "p_clean", "queries", "forwards"):
        joined[name] = rows[name]
    at = 0
    for cache in caches:
        found = cache.lookup(keys=rows["key"], labels=rows["label"])
        repeated = np.arange(cache.points) % first.points
        for name in ("xy", "colour", "p_point"):
            own = getattr(found, name)
            hit = found.hit.reshape(-1, *[1] * (own.ndim - 1))
            joined[name][:, at : at + cache.points] = np.where(hit, own, rows[name][:, repeated])
        at += cache.points
    columns = first.to_numpy()
    known = columns["index"] >= 0
    keys, labels = np.zeros(len(known), np.int64), np.full(len(known), -1, np.int64)
    keys[known], labels[known] = (columns[name][columns["index"][known]] for name in ("key", "label"))
    write_cache(path, joined, keys, labels, {"fingerprint": fingerprint, "dataset": first.metadata["dataset"]})
    return PositionCache.open(path)
