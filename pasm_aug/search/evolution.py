"""Differential evolution (Storn & Price 1997) in ask / tell form, many problems in lockstep.

As the one-pixel attack uses it (Su et al. 2019; Eq. 3 of the paper): x_i(g+1) = x_r1 + F (x_r2 − x_r3) with r1, r2, r3
and i all different, no crossover, and the child competes with the parent of its own index. A problem's numbers depend
on (seed, key, generation, candidate) alone: however problems are put together, each goes its own way.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pasm_aug.core.errors import UserError
from pasm_aug.core.rng import MAX_BLOCKS, MAX_CANDIDATES, words
from pasm_aug.search import evolution_kernels as kernels

Init = Literal["one-pixel"] | ArrayLike | None


class DifferentialEvolution:
    """Minimise B functions of D genes at once; the caller evaluates them.

    Example::

        evolution = DifferentialEvolution([(0, 48), (0, 48), (0, 255)], keys)
        for _ in range(1 + generations):             # the first round is the initial population
            evolution.tell(f(evolution.ask()))       # (B, NP, D) → (B, NP)
        x, score = evolution.best

    Args:
        bounds: (D, 2), lower and upper bound of each gene; children are clipped to them.
        keys: (B,) int64, one per problem: names its random stream. Equal keys draw equal numbers.
        population_size: candidates per problem, a count (not a multiple of D), at least 4.
        mutation: F, the weight of the difference of two candidates, in (0, 2].
        strategy: ``"rand1"`` starts from a random candidate, ``"best1"`` from the problem's best.
        init: ``None``: uniform in the bounds; ``"one-pixel"``: genes 0 and 1 uniform, the others N(128, 127) clipped
            to their bounds, as Su et al.; or an array (B, NP, D) inside the bounds.
        seed: 64-bit integer.

    Attributes:
        population: (B, NP, D) float64, the parents; from the start.
        scores: (B, NP) float64 of the parents, infinite until first told.
        generation: how many generations of children have been told; 0 for the initial population.

    Raises:
        ValueError: an argument out of its range, or of a wrong shape.
    """

    def __init__(
        self,
        bounds: ArrayLike,
        keys: ArrayLike,
        *,
        population_size: int = 400,
        mutation: float = 0.5,
        strategy: str = "rand1",
        init: Init = None,
        seed: int = 0,
    ) -> None:
        self.bounds = _check_bounds(bounds)
        self.keys = np.array(keys, dtype=np.int64)
        if self.keys.ndim != 1:
            raise UserError(f"keys must have shape (B,), got {self.keys.shape}")
        if not 4 <= population_size <= MAX_CANDIDATES:
            raise UserError(f"population_size must be a count from 4 to {MAX_CANDIDATES}, got {population_size}")
        if not 0 < mutation <= 2:
            raise UserError(f"mutation must lie in (0, 2], got {mutation}")
        if strategy not in ("rand1", "best1"):
            raise UserError(f'strategy must be "rand1" or "best1", got {strategy!r}')
        self.mutation = float(mutation)
        self.strategy = strategy
        self._seed = words(seed)
        self.population = self._initial(init, population_size)
        self.scores = np.full(self.population.shape[:2], np.inf)
        self.generation = 0
        self._told = False
        self._trial: NDArray[np.float64] | None = None

    def _initial(self, init: Init, size: int) -> NDArray[np.float64]:
        shape = (len(self.keys), size, len(self.bounds))
        if init is None or isinstance(init, str):
            if init not in (None, "one-pixel"):
                raise UserError(f'init must be None, "one-pixel" or an array, got {init!r}')
            draw = kernels.draw_uniform if init is None else kernels.draw_one_pixel
            population = np.empty(shape)
            draw(*self._seed, self.keys, self.bounds, population)
            return population
        population = np.array(init, dtype=np.float64, order="C")
        if population.shape != shape:
            raise UserError(f"init must have shape (B, NP, D) = {shape}, got {population.shape}")
        if not ((population >= self.bounds[:, 0]) & (population <= self.bounds[:, 1])).all():
            raise UserError("init must lie inside the bounds")
        return population

    def ask(self) -> NDArray[np.float64]:
        """Candidates to evaluate, (B, NP, D): the initial population first, then one child per parent.

        Asking again before :meth:`tell` gives the same ones.
        """
        if self._trial is None:
            if not self._told:
                self._trial = self.population.copy()
            else:
                self._trial = np.empty_like(self.population)
                kernels.mutate(
                    *self._seed,
                    self.keys,
                    self.generation + 1,
                    self.population,
                    self.scores,
                    self.mutation,
                    self.strategy == "best1",
                    self.bounds,
                    self._trial,
                )
        return self._trial.copy()

    def tell(self, scores: ArrayLike) -> None:
        """Scores (B, NP) of the candidates last asked for; lower is better, infinities are allowed.

        Raises:
            RuntimeError: nothing was asked for.
            ValueError: a wrong shape, or NaN (the message names problem and candidate).
        """
        if self._trial is None:
            raise RuntimeError("tell() needs candidates: call ask() first")
        told = np.array(scores, dtype=np.float64, order="C")
        if told.shape != self.scores.shape:
            raise UserError(f"scores must have shape (B, NP) = {self.scores.shape}, got {told.shape}")
        if np.isnan(told).any():
            problem, candidate = np.argwhere(np.isnan(told))[0]
            raise UserError(f"scores must not be NaN, got NaN for problem {problem}, candidate {candidate}")
        if self._told:
            kernels.select(self.population, self.scores, self._trial, told)
            self.generation += 1
        else:
            self.scores = told
            self._told = True
        self._trial = None

    def keep(self, problems: ArrayLike) -> None:
        """Go on with some problems only: indices or a boolean mask over the B problems. Their courses do not change."""
        chosen = np.asarray(problems)
        self.keys, self.population, self.scores = self.keys[chosen], self.population[chosen], self.scores[chosen]
        if self._trial is not None:
            self._trial = self._trial[chosen]

    @property
    def best(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The best candidate of each problem, (B, D), and its score, (B,); the first among equals."""
        rows = np.arange(len(self.keys))
        index = self.scores.argmin(axis=1)
        return self.population[rows, index], self.scores[rows, index]


def _check_bounds(bounds: ArrayLike) -> NDArray[np.float64]:
    array = np.array(bounds, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] != 2 or not 1 <= len(array) <= MAX_BLOCKS:
        raise UserError(f"bounds must have shape (D, 2) with D from 1 to {MAX_BLOCKS}, got {array.shape}")
    if not (np.isfinite(array).all() and (array[:, 0] <= array[:, 1]).all()):
        raise UserError(f"bounds must be finite with lower <= upper, got {array.tolist()}")
    return array
