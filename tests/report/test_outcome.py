import pytest

from pasm_aug.report.outcome import arms_sentence, duration, gain_rows, main_arm, stage_seconds
from tests.made_runs import network

FIRST = network("teacher", 0, 700)


def test_another_arm_than_the_method_is_named_where_it_leads():
    arms = {"cam-region": [FIRST, network("cam-region", 1, 720, teacher=0)], "none": [FIRST]}
    assert main_arm(arms) == "cam-region"
    assert main_arm({"none": [FIRST], "point": [FIRST]}) == "point"
    assert arms_sentence(arms) == "the class activation map's region (Wei et al. 2017), compared with no erasing"


def test_a_run_whose_test_split_was_not_scored_has_no_gains():
    unscored = network("teacher", 0, 700)
    unscored.test = None
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
    assert rows[1][3:] == ("no measurable effect", "0 / 5")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (59.9, "59.9 s"), (61, "1 min 01 s"), (7260, "2 h 01 min")]
)
def test_durations_read_as_people_say_them(seconds, text):
    assert duration(seconds) == text


def test_the_stages_of_an_arm_unknown_to_this_version_keep_its_name():
    later = network("later", 1, 700, seconds={"train": 2.0})
    assert stage_seconds({"later": [FIRST, later]}) == {"later: train": 2.0}


def test_the_first_teacher_of_plain_training_is_another_than_the_run_s():
    asm = [FIRST, network("asm", 1, 720, teacher=0, seconds={"train": 2.0})]
    own = network("teacher", 0, 740, folder="baselines/plain/round-0", seconds={"train": 3.0})
    plain = [own, network("plain", 1, 730, improved=False, teacher=0, seconds={"train": 4.0})]
    assert [row[0] for row in gain_rows({"asm": asm, "plain": plain})] == [
        "ASM, round 1 over first teacher",
        "ASM, round 1 over first teacher of plain training",
    ]
    assert stage_seconds({"asm": asm, "plain": plain}) == {
        "ASM: wrong labels sorted out, nothing erased: train": 2.0,
        "first teacher of plain training: train": 3.0,
        "plain training: all labels believed, nothing erased: train": 4.0,
    }
