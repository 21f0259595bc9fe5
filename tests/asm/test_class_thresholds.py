"""Thresholds of the classes, against sums written out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pasm_aug.asm.class_thresholds import RULES, thresholds
from pasm_aug.asm.options import RULES as NAMES


def made(seed, count=40, classes=4, networks=None):
    rng = np.random.default_rng(seed)
    shape = (count, classes) if networks is None else (networks, count, classes)
    probs = rng.dirichlet(np.ones(classes), shape[:-1])
    return probs.reshape(shape), rng.integers(0, classes, count)


def by_hand(probs, labels, rule):
    classes = probs.shape[1]
    if rule == "fixed":
        return [1.0] * classes
    if rule == "marginal-max":
        means = [sum(row[k] for row in probs) / len(probs) for k in range(classes)]
        return [mean / max(means) for mean in means]
    means = {}
    for k in range(classes):
        own = [row[k] for row, label in zip(probs, labels, strict=True) if label == k]
        if own:
            means[k] = sum(own) / len(own)
    top = max(means.values()) if rule == "label-mean-max" else 1
    return [means[k] / top if k in means else 1 / top for k in range(classes)]


@given(st.integers(0, 1000), st.sampled_from(sorted(RULES)), st.integers(1, 12))
def test_each_rule_is_what_its_docstring_says(seed, rule, count):
    probs, labels = made(seed, count)
    found = thresholds(probs, labels, low=0.3, high=0.7, rule=rule)
    expected = np.outer(by_hand(probs, labels, rule), [0.3, 0.7])
    assert found.shape == (4, 2)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@given(st.integers(0, 1000))
def test_two_networks_get_thresholds_of_their_own_whatever_the_order_of_the_samples(seed):
    probs, labels = made(seed, networks=2)
    found = thresholds(probs, labels)
    order = np.random.default_rng(seed).permutation(len(labels))
    np.testing.assert_allclose(found, thresholds(probs[:, order], labels[order]), rtol=1e-12)
    np.testing.assert_array_equal(found[1], thresholds(probs[1], labels))


def test_a_rule_of_ones_own_and_the_names_of_the_others():
    probs, labels = made(0)
    np.testing.assert_array_equal(
        thresholds(probs, labels, low=0, high=1, rule=lambda p, y: [1, 2, 3, 4])[:, 1], [1, 2, 3, 4]
    )
    assert set(RULES) == set(NAMES)  # named apart, so that --help loads no numbers


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"low": 0.9}, "low and high must be 0 ≤ low ≤ high ≤ 1, got 0.9 and 0.8"),
        ({"rule": "mode"}, "rule must be one of label-mean, .*, got 'mode'"),
        ({"rule": lambda p, y: [1.0]}, "rule must give a number for each of 4 classes"),
        ({"labels": np.full(40, 4)}, "labels must lie in 0…3, got 4…4"),
        ({"labels": np.zeros(39, int)}, r"probs must be \(N, K\) .* got \(40, 4\) and \(39,\)"),
    ],
)
def test_what_cannot_be_is_refused(change, message):
    probs, labels = made(0)
    options = {"labels": labels} | change
    with pytest.raises(ValueError, match=message):
        thresholds(probs, options.pop("labels"), **options)
