"""Means and their intervals, against scipy's distribution."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pasm_aug.training.student_t import mean_interval


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=60))
def test_the_interval_is_students(values):
    stats = pytest.importorskip("scipy.stats")
    mean, half = mean_interval(values)
    assert mean == pytest.approx(np.mean(values), abs=1e-9)
    quantile = stats.t.ppf(0.975, len(values) - 1)
    assert half == pytest.approx(quantile * np.std(values, ddof=1) / np.sqrt(len(values)), rel=1e-3, abs=1e-9)


def test_a_single_value_has_no_interval():
    assert mean_interval([3.0]) == (3.0, float("inf"))
