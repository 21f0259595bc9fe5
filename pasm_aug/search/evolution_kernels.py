"""Compiled inner loops of differential evolution: arrays in, arrays out, all problems of a batch in lockstep."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from pasm_aug.core.compiled import compiled
from pasm_aug.core.rng import CANDIDATE_BITS, philox4x32

_philox = njit(philox4x32)


_SHIFT = CANDIDATE_BITS


@compiled()
def random_words(
    seed0: int, seed1: int, key: int, generation: int, candidate: int, block: int
) -> tuple[int, int, int, int]:
    """The four 32-bit words of one block of a candidate's stream."""
    return _philox(key & 0xFFFFFFFF, (key >> 32) & 0xFFFFFFFF, generation, candidate | (block << _SHIFT), seed0, seed1)


@compiled()
def _unit(high: int, low: int) -> float:
    """53 bits of two words as a float in [0, 1)."""
    return ((high >> 5) * 67108864.0 + (low >> 6)) / 9007199254740992.0


@compiled()
def draw_uniform(seed0: int, seed1: int, keys: np.ndarray, bounds: np.ndarray, population: np.ndarray) -> None:
    """Fill ``population``: every gene uniform in its bounds."""
    for b in range(population.shape[0]):
        for i in range(population.shape[1]):
            for d in range(population.shape[2]):
                w0, w1, _, _ = random_words(seed0, seed1, keys[b], 0, i, d)
                population[b, i, d] = bounds[d, 0] + _unit(w0, w1) * (bounds[d, 1] - bounds[d, 0])


@compiled()
def draw_one_pixel(seed0: int, seed1: int, keys: np.ndarray, bounds: np.ndarray, population: np.ndarray) -> None:
    """Fill ``population`` as Su et al. 2019: genes 0 and 1 uniform, all others N(128, 127) clipped to their bounds."""
    for b in range(population.shape[0]):
        for i in range(population.shape[1]):
            for d in range(population.shape[2]):
                w0, w1, w2, w3 = random_words(seed0, seed1, keys[b], 0, i, d)
                u = _unit(w0, w1)
                if d < 2:
                    population[b, i, d] = bounds[d, 0] + u * (bounds[d, 1] - bounds[d, 0])
                else:  # Box–Muller; 1 − u lies in (0, 1], where the logarithm is finite
                    normal = math.sqrt(-2.0 * math.log(1.0 - u)) * math.cos(2.0 * math.pi * _unit(w2, w3))
                    population[b, i, d] = min(max(128.0 + 127.0 * normal, bounds[d, 0]), bounds[d, 1])


@compiled()
def _other(word: int, size: int, a: int, b: int, c: int, taken: int) -> int:
    """An index below ``size`` that is none of the first ``taken`` of a < b < c, uniform but for 2⁻³² · size."""
    index = (word * (size - taken)) >> 32
    if index >= a:
        index += 1
    if taken > 1 and index >= b:
        index += 1
    if taken > 2 and index >= c:
        index += 1
    return index


@compiled()
def pick_three(word1: int, word2: int, word3: int, size: int, own: int) -> tuple[int, int, int]:
    """Three different indices below ``size``, none of them ``own``."""
    r1 = _other(word1, size, own, 0, 0, 1)
    low, high = min(own, r1), max(own, r1)
    r2 = _other(word2, size, low, high, 0, 2)
    if r2 < low:
        a, b, c = r2, low, high
    elif r2 < high:
        a, b, c = low, r2, high
    else:
        a, b, c = low, high, r2
    return r1, r2, _other(word3, size, a, b, c, 3)


@compiled()
def mutate(
    seed0: int,
    seed1: int,
    keys: np.ndarray,
    generation: int,
    population: np.ndarray,
    scores: np.ndarray,
    factor: float,
    from_best: bool,
    bounds: np.ndarray,
    trial: np.ndarray,
) -> None:
    """Fill ``trial`` with one child per parent, clipped to the bounds: x_r1 + F (x_r2 − x_r3), all different.

    ``from_best`` puts the problem's best candidate (the first among equals) in the place of x_r1: DE/best/1.
    """
    size = population.shape[1]
    for b in range(population.shape[0]):
        best = int(np.argmin(scores[b]))
        for i in range(size):
            w0, w1, w2, _ = random_words(seed0, seed1, keys[b], generation, i, 0)
            base, r2, r3 = pick_three(w0, w1, w2, size, i)
            if from_best:
                base = best
            for d in range(population.shape[2]):
                gene = population[b, base, d] + factor * (population[b, r2, d] - population[b, r3, d])
                trial[b, i, d] = min(max(gene, bounds[d, 0]), bounds[d, 1])


@compiled()
def select(population: np.ndarray, scores: np.ndarray, trial: np.ndarray, trial_scores: np.ndarray) -> None:
    """Put each child in its parent's place, in place, where its score is lower; a tie keeps the parent."""
    for b in range(population.shape[0]):
        for i in range(population.shape[1]):
            if trial_scores[b, i] < scores[b, i]:
                scores[b, i] = trial_scores[b, i]
                population[b, i] = trial[b, i]
