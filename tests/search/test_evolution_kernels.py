"""The compiled kernels against plain Python on the same stream."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pasm_aug.core.rng import CANDIDATE_BITS, philox4x32, words
from pasm_aug.search import evolution_kernels as kernels

word = st.integers(0, 2**32 - 1)
BOUNDS = np.array([(0, 20), (0, 10), (0, 255), (0, 255)], dtype=float)


def stream(seed: int, key: int, generation: int, candidate: int, block: int) -> tuple[int, int, int, int]:
    return philox4x32(*words(key), generation, candidate | block << CANDIDATE_BITS, *words(seed))


@settings(deadline=None)  # the first call compiles
@given(word, word, word, word, word, word)
def test_compiled_philox_is_the_plain_one(c0: int, c1: int, c2: int, c3: int, k0: int, k1: int) -> None:
    assert kernels._philox(c0, c1, c2, c3, k0, k1) == philox4x32(c0, c1, c2, c3, k0, k1)


@pytest.mark.parametrize(("seed", "key"), [(0, 0), (5, -1), (2**63 + 9, -(2**63)), (1, 2**40 + 3)])
def test_stream_is_keyed_by_seed_sample_generation_candidate(seed: int, key: int) -> None:
    compiled = kernels.random_words(*words(seed), np.int64(key), 3, 17, 2)
    assert compiled == stream(seed, key, 3, 17, 2)


def test_one_pixel_draw_is_as_in_plain_python() -> None:
    keys = np.array([3, -8], dtype=np.int64)
    drawn = np.empty((2, 50, 4))
    kernels.draw_one_pixel(*words(11), keys, BOUNDS, drawn)
    for b, i, d in np.ndindex(drawn.shape):
        w0, w1, w2, w3 = stream(11, int(keys[b]), 0, i, d)
        u, v = (((high >> 5 << 26) + (low >> 6)) * 2.0**-53 for high, low in ((w0, w1), (w2, w3)))
        if d < 2:
            expected = u * BOUNDS[d, 1]
        else:
            expected = min(max(128 + 127 * math.sqrt(-2 * math.log(1 - u)) * math.cos(2 * math.pi * v), 0), 255)
        assert drawn[b, i, d] == pytest.approx(expected, rel=1e-12)


def test_draws_have_the_distributions_of_su_et_al() -> None:
    drawn = np.empty((5, 4000, 4))
    kernels.draw_one_pixel(*words(0), np.arange(5), BOUNDS, drawn)
    x, colours = drawn[..., 0], drawn[..., 2:]
    assert x.min() >= 0
    assert x.max() < 20
    assert np.allclose(np.histogram(x, 10, (0, 20))[0] / x.size, 0.1, atol=0.01)
    # N(128, 127) leaves 15.68 % below 0 and 15.87 % above 255, all put on the bound
    assert (colours == 0).mean() == pytest.approx(0.1568, abs=0.006)
    assert (colours == 255).mean() == pytest.approx(0.1587, abs=0.006)
    inner = colours[(colours > 0) & (colours < 255)]
    assert inner.mean() == pytest.approx(127.8, abs=1.5)
    assert abs(np.corrcoef(drawn.reshape(-1, 4).T)[np.triu_indices(4, 1)]).max() < 0.03


def test_uniform_draw_fills_the_bounds() -> None:
    drawn = np.empty((3, 3000, 4))
    kernels.draw_uniform(*words(0), np.arange(3), BOUNDS, drawn)
    share = (drawn - BOUNDS[:, 0]) / (BOUNDS[:, 1] - BOUNDS[:, 0])
    assert share.min() >= 0
    assert share.max() < 1
    assert np.allclose(share.mean(axis=(0, 1)), 0.5, atol=0.02)
    assert np.allclose(share.var(axis=(0, 1)), 1 / 12, atol=0.01)


@settings(deadline=None)  # the first call compiles
@given(word, word, word, st.integers(4, 50), st.data())
def test_three_partners_all_differ(w1: int, w2: int, w3: int, size: int, data: st.DataObject) -> None:
    own = data.draw(st.integers(0, size - 1))
    picked = kernels.pick_three(w1, w2, w3, size, own)
    assert len({own, *picked}) == 4
    assert min(picked) >= 0
    assert max(picked) < size


def test_every_triple_is_equally_likely() -> None:
    counts: dict[tuple[int, int, int], int] = {}
    for candidate in range(24_000):
        picked = kernels.pick_three(*stream(0, 0, 1, candidate, 0)[:3], 5, 2)
        counts[picked] = counts.get(picked, 0) + 1
    assert len(counts) == 4 * 3 * 2
    assert all(850 < n < 1150 for n in counts.values())  # 1000 expected, five standard deviations either way


def test_select_keeps_the_parent_on_a_tie() -> None:
    parents, children = np.zeros((1, 3, 2)), np.ones((1, 3, 2))
    scores = np.array([[1.0, 1.0, 1.0]])
    kernels.select(parents, scores, children, np.array([[2.0, 1.0, 0.5]]))
    assert parents[0, :, 0].tolist() == [0, 0, 1]
    assert scores.tolist() == [[1.0, 1.0, 0.5]]
