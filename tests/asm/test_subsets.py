"""The partition, sample by sample against the rule in plain words."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pasm_aug.asm.class_thresholds import thresholds
from pasm_aug.asm.subsets import AMBIGUOUS, CLEAN, NOISE, Partition, partition
from tests.asm.test_class_thresholds import made


def one(p, bounds):
    return CLEAN if p >= bounds[1] else NOISE if p <= bounds[0] else AMBIGUOUS


def together(first, second):
    return first if first == second and first != AMBIGUOUS else AMBIGUOUS


@given(st.integers(0, 1000), st.sampled_from(["mean", "both", "agree"]))
def test_every_sample_is_where_the_rule_says(seed, combine):
    probs, labels = made(seed, networks=2)
    bounds = thresholds(probs, labels, low=0.5, high=1.0)
    found = partition(probs, labels, bounds, combine=combine)
    for i, label in enumerate(labels):
        own = probs[:, i, label]
        if combine == "mean":
            expected = one(own.mean(), bounds.mean(0)[label])
        elif combine == "both":
            expected = together(*(one(own[n], bounds[n, label]) for n in (0, 1)))
        else:
            right = [int(probs[n, i].argmax()) == label for n in (0, 1)]
            expected = CLEAN if all(right) else AMBIGUOUS if any(right) else NOISE
        assert found.subset[i] == expected
        assert found.p_label[i] == np.float32(own.mean())
    assert found.sizes(labels).sum() == len(labels)
    for k in range(4):
        assert found.sizes(labels)[k].tolist() == [int(((labels == k) & (found.subset == s)).sum()) for s in range(3)]


def test_thresholds_belong_to_their_subsets():
    probs = np.array([[0.2, 0.8], [0.8, 0.2], [0.5, 0.5]])
    found = partition(probs, np.zeros(3, int), np.array([[0.2, 0.8], [0.2, 0.8]]))
    assert found.subset.tolist() == [NOISE, CLEAN, AMBIGUOUS]
    assert np.asarray(found).tolist() == found.clean.tolist() == [False, True, False]
    assert repr(found) == "Partition(1 clean, 1 ambiguous, 1 noise)"
    assert isinstance(found, Partition)


@pytest.mark.parametrize(
    ("networks", "options", "message"),
    [
        (None, {"combine": "agree"}, r"combine='agree' needs the probabilities of two networks"),
        (2, {"combine": "vote"}, "combine must be one of mean, both, agree, got 'vote'"),
        (2, {"bounds": np.zeros((3, 2))}, r"thresholds must be \(4, 2\) or \(2, 4, 2\), got \(3, 2\)"),
    ],
)
def test_what_cannot_be_is_refused(networks, options, message):
    probs, labels = made(0, networks=networks)
    bounds = options.pop("bounds", np.zeros((4, 2)))
    with pytest.raises(ValueError, match=message):
        partition(probs, labels, bounds, **options)
