import argparse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pasm_aug.cli.estimate import (
    Amount,
    Pace,
    rough_duration,
    seconds_of_round,
    seconds_of_run,
    seconds_of_train,
    sure_rounds,
)

AMOUNT = Amount(train=100, val=10, test=20, steps=4)


def args(**changes):
    return argparse.Namespace(
        **({"rounds": 1, "patience": 1, "miner": None, "epochs": 2, "teacher_epochs": 3, "augment": "point"} | changes)
    )


def test_each_stage_is_its_pace_times_its_amount():
    pace = Pace(1.0, 2.0, 3.0, 0.5, 0.25, 0.0, 0.125, {"teacher": 10.0, "point": 20.0, "none": 30.0})
    assert seconds_of_run(args(), ["point", "none"], pace, AMOUNT) == {
        "imports": 1.0,
        "reading the images": 2.0 + 130 * 0.5,
        "first teacher: train": 3 * (4 * 10 + 10 * 0.125),
        "PASM: erased at the mined point: mine": 25.0,
        "PASM: erased at the mined point: train": 2 * (4 * 20 + 10 * 0.125),
        "no erasing: train": 2 * (4 * 30 + 10 * 0.125),
        "scoring": 3 * 130 * 0.125,
        "report": 3.0,
    }
    assert seconds_of_train(args(augment="none"), pace, AMOUNT) == {
        "imports": 1.0,
        "reading the images": 2.0 + 110 * 0.5,
        "training": 2 * (4 * 30 + 10 * 0.125),
        "scoring": 110 * 0.125,
    }


def test_test_images_are_looked_at_again_with_a_square_on_them():
    pace = Pace(score=1.0, step={"point": 0.0})
    one, ten = (seconds_of_run(args(teacher_epochs=0), ["point"], pace, Amount(100, 0, 20, 4, n)) for n in (1, 10))
    assert ten["scoring"] - one["scoring"] == 2 * 9 * 20


def test_what_each_scoring_costs_to_begin_counts_for_each():
    pace = Pace(start=1.0, step={"none": 0.0})
    assert sum(seconds_of_train(args(augment="none", epochs=5), pace, AMOUNT).values()) == 5 + 2


@given(
    rounds=st.integers(0, 8),
    names=st.sampled_from([["point"], ["point", "none"], ["none", "point"], ["point", "shuffled", "random"]]),
    miner=st.booleans(),
    numbers=st.lists(st.floats(0, 100), min_size=9, max_size=9),
)
def test_a_run_of_one_round_more_takes_that_round_longer(rounds, names, miner, numbers):
    *fixed, first, second = numbers
    pace = Pace(*fixed, step={"teacher": first} | dict.fromkeys(names, second))
    shorter, longer = (args(rounds=n, miner="x" if miner else None) for n in (rounds, rounds + 1))
    added = sum(seconds_of_round(longer, names, pace, AMOUNT, rounds + 1).values())
    before, after = (sum(seconds_of_run(a, names, pace, AMOUNT).values()) for a in (shorter, longer))
    assert after - before == pytest.approx(added, abs=1e-6 * max(after, 1))


@pytest.mark.parametrize(
    ("names", "miner", "searches"),
    [
        (["point", "none"], None, [1, 1, 1]),
        (["point", "shuffled"], None, [1, 2, 2]),  # the first round's points serve both: they have one teacher
        (["none", "point"], None, [1, 1, 1]),
        (["none", "random"], None, [0, 0, 0]),
        (["point", "none"], "x", [1, 0, 0]),  # the same miner finds the same points
    ],
)
def test_a_search_counts_where_one_is_made(names, miner, searches):
    pace = Pace(mine=1.0)
    found = [sum(seconds_of_round(args(miner=miner), names, pace, AMOUNT, n).values()) for n in (1, 2, 3)]
    assert found == [100.0 * count for count in searches]


def test_rounds_that_stop_themselves_run_as_long_as_they_have_patience():
    assert sure_rounds(args(rounds=None, patience=2)) == 2
    assert sure_rounds(args(rounds=None, patience=99)) == 8
    assert sure_rounds(args(rounds=5, patience=2)) == 5
    assert sure_rounds(args(rounds=0)) == 0


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.04, "0.0 s"),
        (45.2, "45 s"),
        (89, "89 s"),
        (150, "2.5 min"),
        (1800, "30 min"),
        (7200, "2.0 h"),
        (3e5, "3.5 days"),
    ],
)
def test_durations_are_told_as_people_do(seconds, words):
    assert rough_duration(seconds) == words
