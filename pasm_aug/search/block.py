"""One search of a few images: what guides it, which way it goes, and what it found."""

from __future__ import annotations

import math
import warnings

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pasm_aug.search.batch import Batch
from pasm_aug.search.candidates import acts_per_pixel
from pasm_aug.search.options import SearchOptions
from pasm_aug.search.result import PointResult
from pasm_aug.search.strategies import by_gradient, by_surrogate, evolve, exhaust, seeds_per_image
from pasm_aug.search.surrogate import Chain, plan
from pasm_aug.search.teacher import Gradient, TeacherObjective


def search_block(
    options: SearchOptions,
    objective: TeacherObjective,
    pixels: Tensor,
    truth: NDArray[np.int64],
    names: NDArray[np.int64],
    result: PointResult,
) -> None:
    """Search images that fit into memory together.

    Args:
        pixels: (B, C, H, W) uint8. truth: (B,) labels. names: (B,) int64, of the images' random streams.
        result: of these images, to be filled.
    """
    ready, spent = objective.prepared(pixels), objective.forwards
    seeded, chain, maps, gradient = options.mode == "seeded", None, None, None
    if ready is not None and (seeded or ready.split_layer is not None):
        chain = plan(ready, pixels.shape[1:], options.budget, options.candidates, options.points) if seeded else None
        clean, maps = objective.maps(pixels, truth, chain.links if chain else ())
        usable = _usable(*(x for link in maps.gradients.values() for x in link.values())) if maps.gradients else None
    elif seeded:
        clean, gradient = objective.gradient(pixels, truth)
        usable = _usable(gradient.values) if gradient is not None else None
    else:
        clean, usable = objective.clean(pixels, truth), None
    result.target[:], result.p_clean[:], result.score_clean[:] = clean.target, clean.probabilities, clean.scores
    result.queries[:], result.forwards[:] = 0, (objective.forwards - spent) / len(pixels)
    right = clean.prediction == truth
    objective.seen, objective.right = objective.seen + len(right), objective.right + int(right.sum())
    result.mined[:] = right | (options.misclassified != "skip")
    for rows, guided in _parts(options, objective, pixels, result.mined, usable, by_pixel=gradient is not None):
        if guided and gradient is not None and objective.not_followed:
            warnings.warn(
                f"seeded search: the teacher has to run whole: {objective.not_followed}; its input gradient alone "
                "ranks the candidates, which finds weaker points (nine tenths of the drop, of some images half)",
                RuntimeWarning,
                stacklevel=3,
            )
        batch = Batch(objective, pixels, clean, names, rows, maps)
        _search(options, batch, chain if guided else None, gradient if guided else None)
        _collect(options, batch, rows, result)


def _collect(options: SearchOptions, batch: Batch, rows: NDArray[np.int64], result: PointResult) -> None:
    for image, row in enumerate(rows):
        best = batch.places(image, options.points, options.min_distance)
        result.xy[row], result.colour[row] = best.xy, best.colour
        result.score_point[row], result.p_point[row] = best.scores, best.probabilities
    result.queries[rows] += batch.queries
    result.forwards[rows] += batch.forwards


def _search(options: SearchOptions, batch: Batch, chain: Chain | None, gradient: Gradient | None) -> None:
    size, generations, strategy = options.evolution
    seeds = None
    if options.mode == "exhaustive":
        exhaust(batch)
        return
    if chain is not None:
        seeds = by_surrogate(batch, chain, options.points, options.min_distance)
    elif gradient is not None:
        seeds = by_gradient(batch, gradient, options.exact, options.points, options.min_distance)
    elif options.mode == "seeded":
        size, generations = _plain(options, batch)
        strategy = "rand1"
    if seeds is not None and generations == 0:
        return
    evolve(batch, size, generations, strategy=strategy, mutation=options.mutation, seed=options.seed, seeds=seeds)


def _plain(options: SearchOptions, batch: Batch) -> tuple[int, int]:
    """Population and generations of a plain evolution of as many queries as the seeded search would."""
    size, generations, _ = options.evolution
    queries = seeds_per_image(batch, options.exact)
    queries = max(queries + (generations * size + max(0, size - queries) if generations else 0), 4)
    population = next(n for n in range(max(4, math.isqrt(queries)), queries + 1) if queries % n == 0)
    return population, queries // population - 1


def _parts(
    options: SearchOptions,
    objective: TeacherObjective,
    pixels: Tensor,
    mined: NDArray[np.bool_],
    usable: NDArray[np.bool_] | None,
    *,
    by_pixel: bool,
) -> list[tuple[NDArray[np.int64], bool]]:
    """Rows to search together, and whether a gradient guides them; ``usable`` tells whose does."""
    if options.mode == "exhaustive":  # image by image: one alone fills the batches, and its ledger is long
        return [(np.array([row]), False) for row in np.flatnonzero(mined)]
    guided = np.zeros(len(mined), dtype=bool)
    if options.mode == "seeded":
        if usable is None:
            reason = "the teacher gives no gradient"
        elif by_pixel and not acts_per_pixel(objective.to_input, *pixels.shape[1:]):
            reason = "preprocess does not treat pixels one by one"
        else:
            reason, guided = "the gradient is zero or not finite on some images", usable
        if (mined & ~guided).any():
            message = f"seeded search: {reason}; plain differential evolution with as many queries takes its place"
            warnings.warn(message, RuntimeWarning, stacklevel=4)
    parts = [(np.flatnonzero(mined & guided), True), (np.flatnonzero(mined & ~guided), False)]
    return [part for part in parts if len(part[0])]


def _usable(*gradients: Tensor) -> NDArray[np.bool_]:
    """For which images the gradients are finite and not zero throughout."""
    flat = [part.flatten(1) for part in gradients]
    good = [(part.isfinite().all(dim=1) & (part != 0).any(dim=1)).cpu() for part in flat]
    return torch.stack(good).all(dim=0).numpy()
