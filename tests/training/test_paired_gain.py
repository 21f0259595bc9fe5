import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import multinomial

from pasm_aug.training.paired_gain import Gain, paired_gain

PAIRS = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=200)


def predictions(right, classes=3, seed=0):
    """Labels and predictions that are right where ``right`` says."""
    labels = np.random.default_rng(seed).integers(classes, size=len(right))
    return np.stack([labels, np.where(right, labels, (labels + 1) % classes)])


@given(PAIRS)
def test_the_gain_is_the_difference_of_the_accuracies_and_the_error_that_of_the_differences(pairs):
    before, after = np.array(pairs, bool).T
    found = paired_gain(predictions(before), predictions(after))
    assert found.gain == pytest.approx(after.mean() - before.mean())
    assert found.count == len(pairs)
    assert (found.won, found.lost) == (pairs.count((False, True)), pairs.count((True, False)))
    # Bonett and Price: the standard error of the mean of the differences once a win and a loss have been added, which
    # lowers that mean itself by this factor
    differences = np.concatenate([after.astype(float) - before, [1, -1]])
    assert found.error * len(pairs) / (len(pairs) + 2) == pytest.approx(differences.std() / np.sqrt(len(differences)))


@given(PAIRS, st.floats(0.1, 3))
def test_a_gain_is_beyond_the_errors_whose_interval_of_bonett_and_price_leaves_zero_out(pairs, margin):
    before, after = np.array(pairs, bool).T
    found = paired_gain(predictions(before), predictions(after))
    up, down = ((number + 1) / (len(pairs) + 2) for number in (found.won, found.lost))
    low = up - down - margin * np.sqrt((up + down - (up - down) ** 2) / (len(pairs) + 2))
    assert found.beyond(margin) == (low > 0) or low == pytest.approx(0)


@pytest.mark.parametrize("count", [5, 8, 12, 20])
def test_of_two_networks_that_are_equally_good_at_most_one_pair_in_twenty_is_told_apart(count):
    pairs = [(won, lost) for won in range(count + 1) for lost in range(count + 1 - won)]
    told = []
    for won, lost in pairs:
        first, second = np.arange(count) < lost, (np.arange(count) >= lost) & (np.arange(count) < lost + won)
        found = paired_gain(predictions(first), predictions(second))
        told += [(won, lost, count - won - lost)] * (abs(found.gain) > 1.96 * found.error)
    assert told
    for chance in np.arange(0.01, 0.33, 0.01):  # of either disagreement; beyond that few images have the same answer
        assert multinomial(count, [chance, chance, 1 - 2 * chance]).pmf(told).sum() <= 0.05


@given(PAIRS)
def test_the_other_way_round_the_gain_changes_its_sign_alone(pairs):
    before, after = np.array(pairs, bool).T
    there, back = (
        paired_gain(predictions(before), predictions(after)),
        paired_gain(predictions(after), predictions(before)),
    )
    assert there.gain == pytest.approx(-back.gain)
    assert there.error == pytest.approx(back.error)
    assert (there.won, there.lost) == (back.lost, back.won)


def test_two_networks_with_the_same_answers_have_no_gain_but_an_error():
    same = predictions(np.arange(100) % 3 > 0)
    found = paired_gain(same, same)
    assert (found.gain, found.won, found.lost) == (0, 0, 0)
    assert found.error > 0
    assert not found.beyond(0)


def test_images_that_both_have_right_or_wrong_do_not_widen_the_error():
    before = np.array([True] * 500 + [False] * 500)
    after = before.copy()
    after[500:520] = True
    paired = paired_gain(predictions(before), predictions(after))
    apart = np.sqrt(before.var() / 1000 + after.var() / 1000)
    assert paired.error < apart / 3
    assert paired.beyond(3)


def test_the_error_is_that_of_a_bootstrap():
    rng = np.random.default_rng(5)
    before = rng.random(400) < 0.7
    after = np.where(rng.random(400) < 0.15, ~before, before)
    found = paired_gain(predictions(before), predictions(after))
    differences = after.astype(float) - before
    drawn = differences[rng.integers(400, size=(4000, 400))].mean(1)
    assert found.error == pytest.approx(drawn.std(), rel=0.06)


@pytest.mark.parametrize(("count", "won", "lost"), [(200, 0.1, 0.05), (1000, 0.03, 0.03), (100, 0.02, 0.0)])
def test_the_interval_of_the_gain_covers_the_truth_as_often_as_it_says(count, won, lost):
    rng, covered = np.random.default_rng(count), 0
    for _ in range(2000):
        draw = rng.random(count)
        before = (draw >= won) & ((draw < won + lost) | (draw > 0.4))
        after = (draw < won) | ((draw >= won + lost) & before)
        found = paired_gain(predictions(before), predictions(after))
        covered += abs(found.gain - (won - lost)) <= 1.96 * found.error
    assert covered / 2000 > 0.93


def test_beyond_means_more_than_so_many_standard_errors():
    gain = Gain(0.02, 0.01, 30, 10, 1000)
    assert [gain.beyond(margin) for margin in (0, 1, 1.99, 2, 3)] == [True, True, True, False, False]
    assert not Gain(-0.02, 0.01, 10, 30, 1000).beyond(0)


@pytest.mark.parametrize("other", [predictions(np.ones(9, bool)), predictions(np.ones(10, bool), seed=1)])
def test_answers_to_other_images_are_refused(other):
    with pytest.raises(ValueError, match="the same images"):
        paired_gain(predictions(np.ones(10, bool)), other)
