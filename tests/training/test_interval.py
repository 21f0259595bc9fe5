"""The interval of a share: scipy's, and it covers the truth as often as it says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from pasm_aug.training.interval import wilson


@given(st.integers(1, 10**6).flatmap(lambda count: st.tuples(st.integers(0, count), st.just(count))))
def test_it_is_scipys(case):
    right, count = case
    wanted = binomtest(right, count).proportion_ci(method="wilson")
    assert wilson(right, count) == pytest.approx((wanted.low, wanted.high), abs=2e-5)


@pytest.mark.parametrize("share", [0.5, 0.8, 0.97])
def test_it_covers_a_share_as_often_as_it_says(share):
    draws = np.random.default_rng(0).binomial(400, share, 20000)
    ends = np.array([wilson(right, 400) for right in draws.tolist()])
    assert np.mean((ends[:, 0] <= share) & (share <= ends[:, 1])) == pytest.approx(0.95, abs=0.015)
