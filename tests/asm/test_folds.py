"""A data set dealt into folds: every item once, groups unbroken, no class in one fold alone."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pasm_aug.asm.folds import data_digest, deal_folds
from pasm_aug.core.errors import UserError
from pasm_aug.data.overlap import content_keys
from tests.shapes import Shapes


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 30)), min_size=4, max_size=80), st.integers(2, 4))
def test_folds(items, folds):
    labels, groups = np.array([label for label, _ in items]), np.array([group for _, group in items])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            parts = deal_folds(labels, groups, folds)
    except UserError:
        return
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(len(labels)))
    for part in parts:
        rest = np.setdiff1d(np.arange(len(labels)), part)
        assert not np.intersect1d(groups[part], groups[rest]).size
        assert set(labels[rest]) == set(labels)  # nobody judges by a class that it does not know


def test_duplicates_stay_together_whatever_their_labels():
    data = Shapes(60)
    data.images[30:] = data.images[:30]
    data.labels[30:] = np.roll(data.labels[:30], 1)
    keys = content_keys(data[i][0] for i in range(60))
    fold = np.empty(60)
    for number, part in enumerate(deal_folds(data.labels, keys, 4)):
        fold[part] = number
    assert np.array_equal(fold[:30], fold[30:])


@given(st.integers(2, 5), st.integers(0, 5))
def test_every_fold_has_its_share_of_each_class(folds, seed):
    labels = np.repeat([0, 1, 2], [40, 20, 10])
    parts = deal_folds(labels, np.arange(70), folds, seed=seed)
    for part in parts:
        assert np.abs(np.bincount(labels[part], minlength=3) - np.array([40, 20, 10]) / folds).max() <= 1


def test_a_seed_is_a_deal():
    labels = np.arange(40) % 2
    one, same, other = (deal_folds(labels, np.arange(40), 4, seed=seed) for seed in (1, 1, 2))
    assert [part.tolist() for part in one] == [part.tolist() for part in same]
    assert [part.tolist() for part in one] != [part.tolist() for part in other]


@pytest.mark.parametrize(
    ("labels", "groups", "folds", "message"),
    [
        ([0, 1, 0, 1], range(4), 1, "folds must be at least 2, got 1"),
        ([1, 1, 1], range(3), 2, "labels must be of at least 2 classes, got 1"),
        ([0, 1, 0, 1], "abcd", 5, "5 parts need as many different persons or images, got 4"),
        ([0, 0, 0, 1], range(4), 2, "class 1 must have different images in at least 2 .* got 1 different"),
        ([0, 0, 0, 1, 1, 1], "abcddd", 2, "class 1 must have .* got 1 different images, all in one"),
    ],
)
def test_what_cannot_be_is_refused(labels, groups, folds, message):
    with pytest.raises(UserError, match=message):
        deal_folds(np.array(labels), list(groups), folds)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=6))
def test_data_are_named_by_content_and_label(keys):
    keys = np.array(keys, dtype=np.int64)
    labels = np.zeros(len(keys), dtype=np.int64)
    assert data_digest(keys, labels) == data_digest(keys.copy(), labels)
    assert data_digest(keys, labels) != data_digest(keys, labels + 1)
    assert data_digest(keys, labels) != data_digest(keys ^ 1, labels)
    assert len(data_digest(keys, labels)) == 16
