"""The ways to search a batch of images: try everything, rank by what a gradient predicts, evolve.

Each proposes candidates to a :class:`Batch`, which scores them once, keeps the book and counts the cost.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pasm_aug.search.batch import Batch
from pasm_aug.search.candidate_scores import CandidateScores
from pasm_aug.search.candidates import constant_images, corner_colours, linear_scores, pick_candidates
from pasm_aug.search.surrogate import Chain, survey
from pasm_aug.search.teacher import Gradient

_BLOCK = 1 << 14  # candidates that an exhaustive search writes down at a time


def exhaust(batch: Batch) -> None:
    """Try every position with every corner of the colour cube: H · W · 2^C queries an image."""
    corners = corner_colours(batch.channels)
    pixels = batch.height * batch.width
    step = max(1, _BLOCK // (batch.count * len(corners)))
    for start in range(0, pixels, step):
        place = np.repeat(np.arange(start, min(start + step, pixels)), len(corners))
        xy = np.stack([place % batch.width, place // batch.width], axis=1)
        colour = np.tile(corners, (len(place) // len(corners), 1))
        shape = (batch.count, len(place))
        batch.evaluate(np.broadcast_to(xy, (*shape, 2)), np.broadcast_to(colour, (*shape, batch.channels)))


def seeds_per_image(batch: Batch, candidates: int) -> int:
    """``candidates``, or as many as every image of this size has: a pixel may lie in a corner already."""
    return min(candidates, batch.height * batch.width * (2**batch.channels - 1))


def by_gradient(
    batch: Batch, gradient: Gradient, candidates: int, points: int, min_distance: int
) -> NDArray[np.float64]:
    """Score exactly what the input gradient promises most of; returns as :func:`by_surrogate`."""
    corners, side = corner_colours(batch.channels), batch.objective.side(batch.images)
    inputs = batch.objective.to_input(constant_images(corners, batch.height, batch.width))
    promised = [
        linear_scores(batch.images[row].cpu().numpy(), gradient.inputs[row], gradient.values[row], inputs, side)
        for row in batch.rows
    ]
    count = seeds_per_image(batch, candidates)
    if side > 1:
        shape = batch.count, batch.height, batch.width, len(corners)
        return _query(batch, CandidateScores(np.reshape(promised, shape)), count, points, min_distance)
    picked = [pick_candidates(one, batch.width, len(corners), count, points, min_distance) for one in promised]
    chosen = np.sort(np.stack(picked), axis=1)
    return _seeds(batch, chosen, batch.evaluate(*batch.candidates(chosen)))


def by_surrogate(batch: Batch, chain: Chain, points: int, min_distance: int) -> NDArray[np.float64]:
    """Take all candidates through a chain of surrogates, and score exactly what then looks best.

    Returns:
        Their genes (n, candidates, 2 + C), best first: the pixel's centre and its colour.
    """
    ready = batch.objective.prepared(batch.images)
    assert ready is not None
    assert batch.maps is not None
    estimates = survey(chain, ready, batch.maps, batch.images.cpu().numpy(), batch.rows, points, min_distance)
    batch.forwards += chain.forwards
    batch.objective.forwards += chain.forwards * batch.count
    return _query(batch, estimates, chain.exact, points, min_distance)


def _query(batch: Batch, estimates: CandidateScores, count: int, points: int, min_distance: int) -> NDArray[np.float64]:
    queried, found = [], []
    for picked in estimates.rounds(count, points, min_distance):
        scores = batch.evaluate(*batch.candidates(picked))
        estimates.tell(picked, scores - batch.clean.scores[batch.rows, None])
        queried.append(picked)
        found.append(scores)
    return _seeds(batch, np.concatenate(queried, axis=1), np.concatenate(found, axis=1))


def _seeds(batch: Batch, picked: NDArray[np.int64], scores: NDArray[np.float64]) -> NDArray[np.float64]:
    xy, colour = batch.candidates(picked)
    genes = np.concatenate([xy + 0.5, colour], axis=-1)
    return np.take_along_axis(genes, scores.argsort(axis=1, kind="stable")[..., None], axis=1)


def evolve(
    batch: Batch,
    population_size: int,
    generations: int,
    *,
    strategy: str,
    mutation: float,
    seed: int,
    seeds: NDArray[np.float64] | None = None,
) -> None:
    """Differential evolution from Su et al.'s initial population, or one that holds ``seeds`` scored before."""
    from pasm_aug.search.evolution import DifferentialEvolution  # numba takes a second to load: only who evolves waits

    bounds = [(0, batch.width), (0, batch.height), *[(0, 255)] * batch.channels]
    evolution = DifferentialEvolution(
        bounds,
        batch.keys[batch.rows],
        population_size=population_size,
        mutation=mutation,
        strategy=strategy,
        init="one-pixel",
        seed=seed,
    )
    if seeds is not None:
        paid = seeds[:, :population_size]
        evolution.population[:, : paid.shape[1]] = paid
        batch.queries -= paid.shape[1]
    for _ in range(1 + generations):
        evolution.tell(batch.evaluate(*to_pixels(evolution.ask(), batch.height, batch.width)))


def to_pixels(genes: NDArray[np.float64], height: int, width: int) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Pixels xy (..., 2) and colours (..., C) of genes (..., 2 + C): floor, and the nearest level.

    A position on the upper bound, where clipping puts it, is the last pixel.
    """
    xy = np.minimum(np.floor(genes[..., :2]).astype(np.int64), [width - 1, height - 1])
    return xy, np.rint(genes[..., 2:]).astype(np.uint8)
