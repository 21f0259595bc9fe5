"""A run under several seeds: means, paired gains, words."""

from dataclasses import replace

import pytest

from pasm_aug.report.seeds import Estimate, arm_gains, arm_means, arms_of, text_summary
from pasm_aug.training.student_t import mean_interval
from tests.made_runs import made_run
from tests.shapes import Shapes

DATA = Shapes(120)
HIDDEN = {"mean": 0.4, "worst": 0.2}


@pytest.fixture
def runs(tmp_path):
    found = {}
    for seed in range(3):
        found[seed] = made_run(tmp_path / f"seed-{seed}", DATA, baselines=("none", "random"), seed=seed, rounds=1)
        for results in found[seed].arms.values():
            for r in results:
                r.occluded = {name: value + 0.01 * seed for name, value in HIDDEN.items()}
    return found


def test_means_and_gains_are_those_of_the_last_rounds(runs):
    means, gains = arm_means(list(runs.values())), arm_gains(list(runs.values()))
    assert list(means) == ["point", "none", "random"]
    for arm, scores in means.items():
        tests = [100 * run.arms[arm][-1].test.accuracy for run in runs.values()]
        assert (scores["test"].mean, scores["test"].half) == mean_interval(tests)
        assert scores["worst"].mean == pytest.approx(21)
    for arm in ("none", "random"):
        apart = [100 * (run.main[-1].test.accuracy - run.arms[arm][-1].test.accuracy) for run in runs.values()]
        assert gains[arm]["test"].values == pytest.approx(tuple(apart))
        assert gains[arm]["worst"].values == (0, 0, 0)
        assert gains[arm]["worst"].word == "no measurable effect"


def test_the_words_say_what_is_clear_and_what_is_not(runs):
    each = list(runs.values())
    for run, more in zip(each, (30, 31, 32), strict=True):
        other = run.arms["none"][-1].test
        run.main[-1].test = replace(other, accuracy=other.accuracy + more / 100)
        run.main[-1].occluded = {"mean": 0.4, "worst": 0.1 + more / 10_000}
    told = text_summary(each)
    assert "PASM over no erasing: +31.00 ±2.48 points of test accuracy, a clear gain" in told
    assert "in the worst case under a square, a clear loss" in told
    assert told.startswith("3 seeds, percent")
    assert "One seed tells nothing of chance" in text_summary(each[:1])
    assert "inf" not in text_summary(each[:1])


def test_the_square_at_a_random_place_comes_first_and_a_zero_has_no_minus(tmp_path):
    arms = ("none", "random-matched")
    run = made_run(tmp_path / "own", DATA, baselines=arms, rounds=1)
    assert arms_of([run]) == ["point", "random-matched", "none"]
    assert Estimate.of([0.001, -0.003]).signed().startswith("+0.00 ±")
    assert not arm_gains([run])["none"]["worst"].known


def test_a_run_that_lacks_an_arm_is_named(runs, tmp_path):
    other = made_run(tmp_path / "other", DATA, baselines=("none",), rounds=1)
    with pytest.raises(ValueError, match="other has no arm random: go on with the command that began it"):
        arm_means([*runs.values(), other])


def test_a_first_teacher_is_compared_with_nothing(tmp_path):
    runs = [made_run(tmp_path / f"{seed}", DATA, seed=seed, rounds=0) for seed in range(3)]
    assert arm_gains(runs) == {}
    told = text_summary(runs)
    assert "Whether it helped cannot be told" in told
    assert "measurable" not in told
    _, _, _, row, *_ = told.splitlines()
    assert row.startswith("first teacher")
    assert row.endswith("–")
