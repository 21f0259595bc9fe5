"""Caches for the baselines: mined points moved elsewhere, with their colours, so that arms differ in the place alone.

Every function writes a :class:`~pasm_aug.cache.position_cache.PositionCache` that the same transform reads, and does
nothing where the file is there already. Probabilities stay those of the mined points.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pasm_aug.cache.derived import derived_cache
from pasm_aug.cache.position_cache import PositionCache
from pasm_aug.core.errors import UserError


def shuffled_positions(mined: PositionCache, path: Path, *, seed: int = 0, within_class: bool = False) -> PositionCache:
    """Every image gets the place of another one, of the same label if ``within_class``; colours stay its own.

    A label with a single image keeps its place. The images should be of one size.
    """
    columns = mined.to_numpy()
    random = np.random.default_rng(seed)
    order = random.permutation(len(columns["key"]))
    if within_class:
        order = order[np.argsort(columns["label"][order], kind="stable")]
    labels = columns["label"][order] if within_class else np.zeros(len(order))
    ends = np.flatnonzero(np.diff(labels)) + 1
    given = np.concatenate([np.roll(group, 1) for group in np.split(order, ends)])  # so nobody draws its own
    xy = np.empty_like(columns["xy"])
    xy[order] = columns["xy"][given]
    return _move(mined, xy, path, {"shuffled": "within class" if within_class else "globally", "seed": seed})


def cam_peak_positions(mined: PositionCache, cams: PositionCache, path: Path) -> PositionCache:
    """Every image gets the peak of its class activation map as its place; colours stay.

    Interpolated bilinearly, a map is highest in the middle of one of its cells.
    """
    columns = mined.to_numpy()
    found = cams.lookup(keys=columns["key"], labels=columns["label"])
    if not found.hit.all():
        raise UserError(f"{cams.path} lacks {int((~found.hit).sum()):,} of the images of {mined.path}")
    peak = found.p_point.argmax(1)
    xy = np.repeat(found.xy[np.arange(len(peak)), peak][:, None], mined.points, axis=1)
    return _move(mined, xy, path, {"cam": cams.metadata["fingerprint"], "maps": len(cams)})


def _move(mined: PositionCache, xy: np.ndarray, path: Path, how: dict[str, Any]) -> PositionCache:
    """``mined`` with other positions (R, K, 2)."""

    def moved() -> np.ndarray:
        rows = mined.to_rows()
        rows["xy"][: len(xy)] = xy
        return rows

    return derived_cache([mined], path, {"mined": mined.metadata["fingerprint"], "moved": how}, moved)
