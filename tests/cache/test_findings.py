"""How far the probabilities fell, and how many answers changed: what p alone can tell of them, and no more."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pasm_aug.cache.findings import Findings, findings_of, outputs_of, search_fingerprint


@given(classes=st.integers(2, 9), seed=st.integers(0, 999), sharpness=st.floats(0.1, 8), count=st.integers(1, 60))
def test_the_true_share_lies_within_the_bounds(classes, seed, sharpness, count):
    logits = sharpness * np.random.default_rng(seed).normal(size=(2, count, classes))
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    right = p.argmax(-1) == 0
    found = findings_of(p[0, :, 0], p[1, :, 0], classes)
    least, most = found.changed
    assert least <= (right[0] & ~right[1]).mean() <= most
    if classes == 2:
        assert least == most
    assert (found.images, found.clean, found.point) == (
        count,
        pytest.approx(p[0, :, 0].mean()),
        pytest.approx(p[1, :, 0].mean()),
    )


def test_images_that_were_never_asked_about_do_not_count():
    found = findings_of(np.array([0.9, np.nan, 0.8]), np.array([0.1, 0.5, 0.7]), 2)
    assert (found.images, found.clean) == (2, pytest.approx(0.85))
    assert found.changed == (0.5, 0.5)
    assert found.sentence() == "mean p(label) 0.850 → 0.400, the answer changes for 50% of the images"
    none = findings_of(np.full(3, np.nan), np.zeros(3), 7)
    assert none.images == 0
    assert none.changed is None
    assert none.sentence() == "no probability is known"


def test_a_range_is_told_as_one_and_an_unknown_number_of_classes_not_at_all():
    assert Findings(9, 0.9, 0.3, (0.12, 0.31)).told == "12% to 31% of the images (not told closer)"
    assert findings_of(np.array([0.9]), np.array([0.1]), None).sentence() == "mean p(label) 0.900 → 0.100"


def test_the_search_of_points_that_were_moved_or_stacked():
    first, second = ({"search": {"mode": mode}, "teacher": {"probe_logits": [0] * 14}} for mode in ("paper", "seeded"))
    moved = {"mined": first, "moved": {"shuffled": "globally"}}
    assert search_fingerprint(moved) is first
    assert search_fingerprint({"stacked": [moved, second]}) is first
    assert search_fingerprint({}) == {}
    assert outputs_of({"fingerprint": {"stacked": [moved, second]}}) == 7
    assert outputs_of({"fingerprint": {}, "dataset": {"classes": ["a", "b"]}}) == 2
    assert outputs_of({"fingerprint": {}}) is None
