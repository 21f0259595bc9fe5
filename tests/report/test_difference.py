import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from pasm_aug.report.difference import class_differences, difference
from tests.made_runs import predictions, scores

LABELS = np.arange(300) % 3


def pair(one, other, known=True):
    return [scores(LABELS, predicted, 3, predictions=known) for predicted in (one, other)]


@given(st.integers(0, 2**31), st.floats(0.2, 0.9), st.floats(0.2, 0.9))
def test_a_difference_turns_its_sign_with_its_sides_and_knows_no_order_of_images(seed, low, high):
    before, after = (predictions(LABELS, level, 3, (seed, n)) for n, level in enumerate((low, high)))
    there, back = difference(*pair(before, after)), difference(*pair(after, before))
    assert there.points == pytest.approx(-back.points)
    assert there.half == pytest.approx(back.half)
    assert there.points == pytest.approx(100 * (np.mean(after == LABELS) - np.mean(before == LABELS)))
    mixed = np.random.default_rng(seed).permutation(300)
    shuffled = difference(*(scores(LABELS[mixed], p[mixed], 3) for p in (before, after)))
    assert shuffled == there


def test_networks_that_mostly_agree_are_told_apart_by_the_same_images_alone():
    before = np.where(np.arange(300) % 5 == 0, (LABELS + 1) % 3, LABELS)
    after = before.copy()
    after[:100] = LABELS[:100]  # 20 mistakes fewer, none more
    paired, apart = difference(*pair(before, after)), difference(*pair(before, after, known=False))
    assert paired.points == pytest.approx(apart.points)
    assert paired.paired is not None
    assert (paired.paired.won, paired.paired.lost) == (20, 0)
    assert apart.paired is None
    assert paired.half < 0.7 * apart.half
    assert paired.word == "a clear gain"
    assert difference(*pair(after, before)).word == "a clear loss"


@given(st.integers(0, 40), st.integers(0, 40))
def test_the_word_agrees_with_the_exact_test_but_near_its_limit(won, lost):
    first, second = LABELS.copy(), LABELS.copy()
    first[:won], second[won : won + lost] = (LABELS[:won] + 1) % 3, (LABELS[won : won + lost] + 1) % 3
    word = difference(*pair(first, second)).word
    chance = binomtest(won, won + lost).pvalue if won + lost else 1.0  # McNemar's exact test
    if chance < 0.005:
        assert word == ("a clear gain" if won > lost else "a clear loss")
    if chance > 0.2:
        assert word == "no measurable effect"


def test_answers_to_other_images_are_not_paired():
    before, after = scores(LABELS, LABELS, 3), scores(LABELS[::-1], LABELS[::-1], 3)
    assert difference(before, after).paired is None


@pytest.mark.parametrize("known", [True, False])
def test_class_differences_are_those_of_the_class_alone(known):
    labels = np.array([0] * 40 + [2] * 60)
    before, after = (predictions(labels, level, 3, n) for n, level in enumerate((0.3, 0.9)))
    found = class_differences(*(scores(labels, predicted, 3, predictions=known) for predicted in (before, after)))
    assert found[1] is None
    for label in (0, 2):
        own = labels == label
        alone = difference(*(scores(labels[own], p[own], 3, predictions=known) for p in (before, after)))
        assert found[label].points == pytest.approx(alone.points)
        assert found[label].half == pytest.approx(alone.half)
        assert (found[label].paired is not None) == known
