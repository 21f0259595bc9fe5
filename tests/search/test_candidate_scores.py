"""Candidate scores: rounds query each candidate once, keep places apart, and correct the neighbours."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pasm_aug.search.candidate_scores import CandidateScores
from pasm_aug.search.ledger import spread


def smooth_noise(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Bumps some pixels wide, (n, H, W, K)."""
    draw = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[1], : shape[2]]
    field = np.zeros(shape)
    for n, k in np.ndindex(shape[0], shape[3]):
        for _ in range(12):
            cy, cx, height = draw.uniform(0, shape[1]), draw.uniform(0, shape[2]), draw.normal()
            field[n, :, :, k] += height * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 8)
    return field


@given(st.integers(1, 40), st.integers(1, 4), st.integers(1, 3), st.integers(0, 9))
def test_rounds_ask_for_different_candidates(count: int, points: int, distance: int, seed: int) -> None:
    count = max(count, points)
    draw = np.random.default_rng(seed)
    prior = draw.normal(size=(2, 5, 6, 2))
    prior[0, 1, 2] = np.inf
    estimates, queried = CandidateScores(prior), []
    for chosen in estimates.rounds(count, points, distance):
        queried.append(chosen)
        estimates.tell(chosen, draw.normal(size=chosen.shape))
    together = np.concatenate(queried, axis=1)
    assert together.shape == (2, count)
    for image, row in enumerate(together):
        assert len(set(row.tolist())) == count
        assert np.isfinite(prior[image].reshape(-1)[row]).all()
    place = queried[0][0] // 2
    xy = np.stack([place % 6, place // 6], axis=1)
    assert len(spread(xy, points, 1)) == points


def test_what_is_known_stays_and_the_rest_follows_its_neighbours() -> None:
    estimates = CandidateScores(np.zeros((1, 48, 48, 2)))
    assert (estimates.current == 0).all()
    estimates.tell(np.array([[(20 * 48 + 10) * 2]]), np.array([[-3.0]]))
    current = estimates.current[0, :, :, 0]
    assert current[20, 10] == -3
    assert -3 < current[20, 11] < current[20, 12] < -1e-3
    assert current[20, 11] == pytest.approx(current[21, 10])
    assert current[40, 40] == 0
    assert (estimates.current[0, :, :, 1] == 0).all(), "another colour errs in another way"


def test_corrections_find_more_than_the_prior_alone() -> None:
    truth = smooth_noise((20, 48, 48, 2))
    prior = truth + 2 * smooth_noise(truth.shape, seed=1)  # errs alike in a neighbourhood
    best = truth.reshape(20, -1).min(axis=1)
    estimates = CandidateScores(prior)
    found = np.full(20, np.inf)
    for chosen in estimates.rounds(40, 1, 1):
        scores = np.take_along_axis(truth.reshape(20, -1), chosen, axis=1)
        estimates.tell(chosen, scores)
        found = np.minimum(found, scores.min(axis=1))
    order = prior.reshape(20, -1).argsort(axis=1)[:, :40]
    static = np.take_along_axis(truth.reshape(20, -1), order, axis=1).min(axis=1)
    assert (found / best).mean() > (static / best).mean() + 0.2
