"""Do the mined points lie in the features that carry the expression? For data sets that know where those are."""

from __future__ import annotations

from typing import Any

import numpy as np

from pasm_aug.cache.position_cache import PositionCache


def region_shares(dataset: Any, cache: PositionCache) -> tuple[float, float] | None:
    """(share of mined points inside the expression's regions, the regions' share of the face), or ``None``.

    Only for data sets that tell ``regions(index)`` and ``face_box(index)``: the synthetic faces do.
    """
    faces = getattr(dataset, "source", dataset)
    if not hasattr(faces, "regions"):
        return None
    found = cache.lookup(indices=np.arange(len(dataset)))
    inside, area = [], []
    for index in np.flatnonzero(found.hit):
        x, y = found.xy[index, 0]
        left, top, right, bottom = faces.face_box(int(index))
        grid_y, grid_x = np.mgrid[int(top) : int(np.ceil(bottom)), int(left) : int(np.ceil(right))]
        covered = np.zeros(grid_x.shape, bool)
        hit = False
        for l, t, r, b in faces.regions(int(index)):  # noqa: E741
            covered |= (grid_x >= l) & (grid_x < r) & (grid_y >= t) & (grid_y < b)
            hit |= l <= x < r and t <= y < b
        inside.append(hit)
        area.append(covered.mean())
    return float(np.mean(inside)), float(np.mean(area))


def region_sentence(number: int, shares: tuple[float, float]) -> str:
    """What :func:`region_shares` found, for people."""
    return (
        f"Round {number}: {shares[0]:.0%} of the mined points lie in the features that carry the expression, which are "
        f"{shares[1]:.0%} of the face's area ({shares[0] / max(shares[1], 1e-9):.1f} times chance)."
    )
