import pytest

from pasm_aug.report.outcome import main_arm, text_table
from pasm_aug.report.verdict import labels_trusted, verdict, verdict_sentences
from tests.made_runs import network

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
    assert verdict(arms).startswith("The class activation map's region (Wei et al. 2017) (round 1) has 72.0%")


def test_a_run_whose_test_split_was_not_scored_has_no_verdict_on_it():
    unscored = network("teacher", 0, 700)
    unscored.test = None
    assert verdict({"point": [unscored]}) == ""


def test_arms_of_asm_read_as_words_and_plain_training_has_a_first_teacher_of_its_own():
    own = network("teacher", 0, 740, folder="baselines/plain/round-0")
    asm = [FIRST, network("asm", 1, 720, teacher=0)]
    plain = [own, network("plain", 1, 730, improved=False, teacher=0)]
    text = verdict({"asm": asm, "plain": plain})
    assert text.startswith("ASM (round 1) has 72.0% of the test images right, the first teacher 70.0%")
    assert "Against plain training with the same budget (its own first teacher: 74.0%): -2.0 points" in text
    assert "sorts its labels" not in text
    stays = [FIRST, network("asm", 1, 690, improved=False, teacher=0)]
    assert "improve on it either" not in verdict({"asm": stays, "plain": plain})
    point = [FIRST, network("point", 1, 720, teacher=0)]
    text = verdict({"point": point, "asm": asm, "plain": plain})
    assert "Against ASM with the same budget (round 1: 72.0%)" in text
    assert text.endswith("Every arm but plain training sorts its labels by ASM; plain training believes them all.")


@pytest.mark.parametrize(
    ("config", "trusted"),
    [
        ({}, True),
        ({"method": "pasm", "noise": None}, True),
        ({"method": "asm"}, False),
        ({"method": "pasm+asm"}, False),
        ({"method": "pasm", "noise": "symmetric:0.3"}, False),
    ],
)
def test_a_teacher_that_does_not_fit_wrong_labels_is_not_blamed(config, trusted):
    unfitted = network("teacher", 0, 700)
    unfitted.train = unfitted.test
    assert labels_trusted(config) == trusted
    assert ("not fitted" in verdict({"point": [unfitted]}, trusted=labels_trusted(config))) == trusted


def test_the_worst_case_under_a_square_is_told_of_the_last_rounds():
    arms = {
        arm: [network("teacher", 0, 700), network(arm, 1, 700, occluded={"mean": 0.5, "worst": worst})]
        for arm, worst in (("point", 0.271), ("random", 0.223))
    }
    told = "Right wherever a grey square stands, after the last round: PASM 27.1%; RandomErasing (torchvision) 22.3%."
    assert told in verdict_sentences(arms)
    assert "right on average over its places / right wherever it stands" in text_table(arms)
    for results in arms.values():
        results[-1].occluded = None
    assert not any("grey square" in sentence for sentence in (*verdict_sentences(arms), text_table(arms)))


def test_a_run_of_asm_is_about_asm_whatever_it_is_compared_with():
    arms = {arm: [network("teacher", 0, 700), network(arm, 1, 700)] for arm in ("asm", "point", "plain")}
    assert main_arm(arms) == "asm"
