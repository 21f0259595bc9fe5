"""Differential evolution against an independent plain-numpy one on the same stream, and its laws."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pasm_aug.core.rng import CANDIDATE_BITS, philox4x32, words
from pasm_aug.search.evolution import DifferentialEvolution

BOUNDS = [(0, 30), (0, 20), (0, 255)]
CENTRE = np.array([20.3, 4.4, 250.0])


def bowl(genes: np.ndarray) -> np.ndarray:
    """A wavy bowl with its lowest point near a corner of the bounds."""
    away = (genes - CENTRE) / [30, 20, 255]
    return (away**2).sum(axis=-1) + 0.05 * np.sin(40 * away).sum(axis=-1)


def evolve(keys: list[int], generations: int, **options: object) -> DifferentialEvolution:
    evolution = DifferentialEvolution(BOUNDS, keys, **options)  # type: ignore[arg-type]
    for _ in range(1 + generations):
        evolution.tell(bowl(evolution.ask()))
    return evolution


def reference_generation(
    population: np.ndarray, scores: np.ndarray, seed: int, key: int, generation: int, factor: float, best1: bool
) -> tuple[np.ndarray, np.ndarray]:
    """One generation of one problem, written from the paper's Eq. 3 alone."""
    size = len(population)
    children = []
    for i in range(size):
        pool = [j for j in range(size) if j != i]
        chosen = []
        for draw in philox4x32(*words(key), generation, i | 0 << CANDIDATE_BITS, *words(seed))[:3]:
            chosen.append(pool.pop(draw * len(pool) >> 32))
        base = int(scores.argmin()) if best1 else chosen[0]
        child = population[base] + factor * (population[chosen[1]] - population[chosen[2]])
        children.append(np.clip(child, *np.transpose(BOUNDS)))
    trial = np.array(children)
    better = bowl(trial) < scores
    return np.where(better[:, None], trial, population), np.where(better, bowl(trial), scores)


@pytest.mark.parametrize("strategy", ["rand1", "best1"])
@pytest.mark.parametrize("init", [None, "one-pixel"])
def test_same_numbers_as_plain_numpy(strategy: str, init: str | None) -> None:
    keys, seed = [5, -(2**62)], 99
    evolution = DifferentialEvolution(
        BOUNDS, keys, population_size=11, mutation=0.7, strategy=strategy, init=init, seed=seed
    )
    evolution.tell(bowl(evolution.ask()))
    plain = [(evolution.population[b].copy(), evolution.scores[b].copy()) for b in range(2)]
    for generation in range(1, 16):
        evolution.tell(bowl(evolution.ask()))
        for b, key in enumerate(keys):
            plain[b] = reference_generation(*plain[b], seed, key, generation, 0.7, strategy == "best1")
            np.testing.assert_array_equal(evolution.population[b], plain[b][0])
            np.testing.assert_array_equal(evolution.scores[b], plain[b][1])


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=2, max_size=6), st.data())
def test_a_problem_goes_its_own_way_in_any_batch(keys: list[int], data: st.DataObject) -> None:
    together = evolve(keys, 4, population_size=9)
    cut = data.draw(st.integers(1, len(keys) - 1))
    apart = [evolve(part, 4, population_size=9).population for part in (keys[:cut], keys[cut:])]
    np.testing.assert_array_equal(together.population, np.concatenate(apart))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**64 - 1), st.floats(0.05, 2), st.sampled_from(["rand1", "best1"]))
def test_children_stay_inside_and_scores_never_rise(seed: int, mutation: float, strategy: str) -> None:
    evolution = DifferentialEvolution(
        BOUNDS, [1, 2], population_size=12, mutation=mutation, strategy=strategy, seed=seed
    )
    before = evolution.scores
    for _ in range(6):
        genes = evolution.ask()
        assert ((genes >= 0) & (genes <= np.array(BOUNDS)[:, 1])).all()
        evolution.tell(bowl(genes))
        assert (evolution.scores <= before).all()
        before = evolution.scores.copy()


def test_finds_the_bottom() -> None:
    x, score = evolve(list(range(8)), 60, population_size=60).best
    # a fine grid is the independent prediction
    grid = np.stack(np.meshgrid(*(np.linspace(0, high, 60) for _, high in BOUNDS)), axis=-1)
    assert (score <= bowl(grid).min() + 1e-3).all()
    np.testing.assert_allclose(bowl(x), score)


def test_best1_is_faster_than_rand1_here() -> None:
    best, rand = (evolve(list(range(8)), 15, strategy=s).best[1].mean() for s in ("best1", "rand1"))
    assert best < rand


def test_finished_problems_leave() -> None:
    whole = evolve([1, 2, 3], 6, population_size=10)
    part = evolve([1, 2, 3], 3, population_size=10)
    part.ask()
    part.keep(np.array([True, False, True]))
    for _ in range(3):
        part.tell(bowl(part.ask()))
    np.testing.assert_array_equal(part.population, whole.population[[0, 2]])
    assert part.generation == whole.generation == 6


def test_given_population_comes_first() -> None:
    start = np.tile([1.0, 2.0, 3.0], (2, 5, 1))
    evolution = DifferentialEvolution(BOUNDS, [0, 1], population_size=5, init=start)
    np.testing.assert_array_equal(evolution.ask(), start)
    assert evolution.generation == 0


def test_asking_twice_gives_the_same_and_the_answer_is_a_copy() -> None:
    evolution = evolve([4], 2, population_size=8)
    first = evolution.ask()
    first_again = first.copy()
    first[:] = -1
    np.testing.assert_array_equal(evolution.ask(), first_again)


def test_infinite_scores_are_allowed_and_nan_is_not() -> None:
    evolution = DifferentialEvolution(BOUNDS, [0, 1], population_size=6)
    evolution.ask()
    evolution.tell(np.full((2, 6), np.inf))
    evolution.ask()
    scores = np.zeros((2, 6))
    scores[1, 4] = np.nan
    with pytest.raises(ValueError, match="problem 1, candidate 4"):
        evolution.tell(scores)


def test_misuse_is_named() -> None:
    with pytest.raises(ValueError, match=r"population_size must be a count from 4 .* got 3"):
        DifferentialEvolution(BOUNDS, [0], population_size=3)
    with pytest.raises(ValueError, match=r"mutation .* got 0"):
        DifferentialEvolution(BOUNDS, [0], mutation=0)
    with pytest.raises(ValueError, match=r"strategy .* 'rand2'"):
        DifferentialEvolution(BOUNDS, [0], strategy="rand2")
    with pytest.raises(ValueError, match=r"bounds must have shape \(D, 2\)"):
        DifferentialEvolution([0, 1], [0])
    with pytest.raises(ValueError, match="lower <= upper"):
        DifferentialEvolution([(1, 0)], [0])
    with pytest.raises(ValueError, match="init must be"):
        DifferentialEvolution(BOUNDS, [0], init="normal")
    with pytest.raises(ValueError, match=r"init must have shape .*\(1, 4, 3\), got \(1, 5, 3\)"):
        DifferentialEvolution(BOUNDS, [0], population_size=4, init=np.zeros((1, 5, 3)))
    with pytest.raises(ValueError, match="inside the bounds"):
        DifferentialEvolution(BOUNDS, [0], population_size=4, init=np.full((1, 4, 3), -1.0))
    evolution = DifferentialEvolution(BOUNDS, [0], population_size=4)
    with pytest.raises(RuntimeError, match="ask"):
        evolution.tell(np.zeros((1, 4)))
    evolution.ask()
    with pytest.raises(ValueError, match=r"\(1, 4\), got \(4,\)"):
        evolution.tell(np.zeros(4))
