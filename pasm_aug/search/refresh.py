"""Mine again only where the teacher has changed its mind: the others keep the point of the round before.

That costs two forwards an image that is kept, in place of a search: one on the clean image, one at the old point.
"""

from __future__ import annotations

from dataclasses import fields

import numpy as np
from torch import Tensor

from pasm_aug.cache.position_cache import PositionCache
from pasm_aug.core.errors import UserError
from pasm_aug.search.point_search import PointSearch
from pasm_aug.search.result import PointResult
from pasm_aug.search.teacher import TeacherObjective


def refreshed(
    search: PointSearch,
    before: PositionCache,
    threshold: float,
    teacher: TeacherObjective,
    images: Tensor,
    labels: np.ndarray,
    keys: np.ndarray,
) -> PointResult:
    """As :meth:`PointSearch.run`, but an image whose true-class probability moved less than ``threshold`` is not
    searched: it keeps its points in ``before``, with the probabilities that this teacher gives.

    Args:
        teacher: as ``search.objective_of`` makes it, entered.
        images: (B, C, H, W) uint8. labels, keys: (B,) int64.
        before: mined by an earlier teacher with the same search.
    """
    if before.points != search.points:
        raise UserError(f"refresh must be a cache of {search.points} points an image, got one of {before.points}")
    old = before.lookup(keys=keys, labels=labels)
    result = PointResult.empty(len(images), search.points, images.shape[1])
    clean = teacher.clean(images, labels)
    calm = old.hit & (np.abs(clean.probabilities - old.p_clean) < threshold)
    calm &= (clean.prediction == labels) | (search.misclassified == "mine")
    kept = np.flatnonzero(calm)
    shape = len(kept), search.points
    scores, probabilities = teacher.evaluate(
        images,
        clean.target,
        np.repeat(kept, search.points),
        old.xy[kept].reshape(-1, 2),
        old.colour[kept].reshape(shape[0] * shape[1], images.shape[1]),
    )
    best = np.argsort(scores.reshape(shape), axis=1, kind="stable")  # best first, as this teacher sees it
    result.xy[kept] = np.take_along_axis(old.xy[kept], best[..., None], 1)
    result.colour[kept] = np.take_along_axis(old.colour[kept], best[..., None], 1)
    result.score_point[kept] = np.take_along_axis(scores.reshape(shape), best, 1)
    result.p_point[kept] = np.take_along_axis(probabilities.reshape(shape), best, 1)
    result.target[:], result.p_clean[:], result.score_clean[:] = clean.target, clean.probabilities, clean.scores
    teacher.seen, teacher.right = (
        teacher.seen + len(kept),
        teacher.right + int((clean.prediction == labels)[kept].sum()),
    )
    result.mined[kept], result.queries[kept] = True, search.points
    result.forwards[:] = 1 + calm * search.points
    others = np.flatnonzero(~calm)
    if len(others):
        found = search.run(teacher, images[others], labels[others], keys=keys[others])
        for field in fields(found):
            more = result.forwards[others] if field.name == "forwards" else 0
            getattr(result, field.name)[others] = getattr(found, field.name) + more
    return result
