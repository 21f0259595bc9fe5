import numpy as np
import pytest

from pasm_aug.report.outcome import arms_sentence, duration, gain_rows, main_arm, stage_seconds, verdict
from pasm_aug.rounds.results import RoundResult
from tests.made_runs import scores

LABELS = np.arange(1000) % 7


def network(arm, number, test, *, val=None, improved=True, known=True, teacher=None, **options):
    """A network whose first ``test`` of a thousand predictions are right."""
    predicted = np.where(np.arange(1000) < test, LABELS, (LABELS + 1) % 7)
    train = scores(LABELS, LABELS, 7)
    other = train if val is None else scores(LABELS, np.where(np.arange(1000) < val, LABELS, (LABELS + 1) % 7), 7)
    tested = scores(LABELS, predicted, 7, predictions=known)
    return RoundResult(arm, number, "nowhere", teacher, improved, train, other, tested, **options)


FIRST = network("teacher", 0, 700)


def test_the_verdict_on_the_same_images_sees_a_gain_that_two_intervals_would_hide():
    arms = {"point": [FIRST, network("point", 1, 720, teacher=0)], "none": [FIRST, network("none", 1, 705, teacher=0)]}
    assert "70.0%: +2.0 points, a clear gain (±0.9, on the same images)" in verdict(arms)
    assert "+1.5 points, a clear gain" in verdict(arms)
    unknown = {
        arm: [network(r.arm, r.round, 1000 * r.test.accuracy, known=False) for r in rs] for arm, rs in arms.items()
    }
    assert "PASM (round 1) has 72.0% of the test images right, the first teacher 70.0%." in verdict(unknown)
    assert "+1.5 points, inside the noise (±4.0)." in verdict(unknown)


def test_the_verdict_on_a_run_without_a_better_round_or_any():
    arms = {"point": [FIRST, network("point", 1, 710, improved=False, teacher=0)]}
    assert verdict(arms).startswith("No round of PASM improved")
    assert verdict({"point": [FIRST]}) == "Only the first teacher was trained: 70.0% of the test images right."


def test_arms_that_come_down_to_the_first_teacher_are_compared_by_their_last_rounds():
    arms = {
        "point": [FIRST, network("point", 1, 690, improved=False, teacher=0)],
        "none": [FIRST, network("none", 1, 710, improved=False, teacher=0)],
    }
    assert "No erasing did not improve on it either (round 1: 71.0%); against that, PASM's round 1 has -2.0" in verdict(
        arms
    )


def test_the_verdict_names_another_arm_than_the_method():
    arms = {"cam-region": [FIRST, network("cam-region", 1, 720, teacher=0)], "none": [FIRST]}
    assert main_arm(arms) == "cam-region"
    assert verdict(arms).startswith("The class activation map's region (Wei et al. 2017) (round 1) has 72.0%")
    assert main_arm({"none": [FIRST], "point": [FIRST]}) == "point"
    assert arms_sentence(arms) == "the class activation map's region (Wei et al. 2017), compared with no erasing"


def test_a_run_whose_test_split_was_not_scored_has_no_verdict_on_it():
    unscored = network("teacher", 0, 700)
    unscored.test = None
    assert verdict({"point": [unscored]}) == ""
    assert gain_rows({"point": [unscored]}) == []


def test_gains_are_over_the_round_to_beat_then_the_first_teacher_then_the_other_arms():
    point = [
        FIRST,
        network("point", 1, 720, val=800, teacher=0),
        network("point", 2, 715, val=790, improved=False, teacher=1, gain_over=1),
        network("point", 3, 730, val=805, teacher=2, gain_over=1),
    ]
    none = [FIRST, network("none", 1, 701, val=750, teacher=0)]
    rows = gain_rows({"point": point, "none": none})
    assert [row[0] for row in rows] == [
        "PASM, round 1 over first teacher",
        "PASM, round 2 over round 1",
        "PASM, round 3 over round 1",
        "PASM, round 3 over first teacher",
        "PASM, round 3 over no erasing, round 1",
    ]
    assert rows[1][1].startswith("-1.0 ±")
    assert rows[3][2].startswith("+3.0 ±")
    assert rows[2][3:] == ("a clear gain", "10 / 0")
    assert rows[1][3:] == ("inside the noise", "0 / 5")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (59.9, "59.9 s"), (61, "1 min 01 s"), (7260, "2 h 01 min")]
)
def test_durations_read_as_people_say_them(seconds, text):
    assert duration(seconds) == text


def test_the_stages_of_an_arm_unknown_to_this_version_keep_its_name():
    later = network("later", 1, 700, seconds={"train": 2.0})
    assert stage_seconds({"later": [FIRST, later]}) == {"later: train": 2.0}
