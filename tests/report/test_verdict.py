import pytest

from pasm_aug.report.outcome import main_arm, text_table
from pasm_aug.report.verdict import effect_sentences, labels_trusted, picked_sentences, verdict
from tests.made_runs import network

FIRST = network("teacher", 0, 700)


def test_the_verdict_on_the_same_images_sees_a_gain_that_two_intervals_would_hide():
    arms = {"point": [FIRST, network("point", 1, 720, teacher=0)], "none": [FIRST, network("none", 1, 705, teacher=0)]}
    assert verdict(arms).startswith(
        "PASM against no erasing, both after round 1: +1.5 ±0.8 points of test accuracy, a clear gain. "
        "Validation picks round 1 of PASM: 72.0% of the test images right; the first teacher, which had fewer epochs, "
        "has 70.0% (+2.0 ±0.9 points, a clear gain). Of the other arms it picks no erasing round 1 (70.5%)."
    )
    unknown = {
        arm: [network(r.arm, r.round, 1000 * r.test.accuracy, known=False) for r in rs] for arm, rs in arms.items()
    }
    assert "+1.5 ±4.0 points of test accuracy, no measurable effect." in verdict(unknown)
    assert "which had fewer epochs, has 70.0%." in verdict(unknown)


def test_the_verdict_on_a_run_without_a_better_round_or_any():
    arms = {"point": [FIRST, network("point", 1, 710, improved=False, teacher=0)]}
    assert verdict(arms).startswith("No round of PASM improved")
    assert verdict({"point": [FIRST]}) == "Only the first teacher was trained: 70.0% of the test images right."


def test_the_first_teacher_that_validation_picks_is_compared_with_no_arm():
    arms = {
        "point": [FIRST, network("point", 1, 690, improved=False, teacher=0)],
        "none": [FIRST, network("none", 1, 710, teacher=0)],
        "random": [FIRST, network("random", 1, 720, improved=False, teacher=0)],
    }
    none, random = effect_sentences(arms)
    assert none == "PASM against no erasing, both after round 1: -2.0 ±0.9 points of test accuracy, a clear loss."
    assert "RandomErasing (torchvision), both after round 1: -3.0 ±1.1 points of test accuracy, a clear loss." in random
    assert picked_sentences(arms) == [
        "No round of PASM improved on the first teacher's validation accuracy, so validation picks the first teacher: "
        "70.0% of the test images right (PASM's round 1: 69.0%).",
        "Of the other arms it picks no erasing round 1 (71.0%).",
    ]
    arms["none"][1].improved = False
    assert picked_sentences(arms)[1] == "Of the other arms it picks the first teacher too."


def test_the_verdict_names_another_arm_than_the_method():
    arms = {"cam-region": [FIRST, network("cam-region", 1, 720, teacher=0)], "none": [FIRST]}
    assert "Validation picks round 1 of the class activation map's region (Wei et al. 2017): 72.0%" in verdict(arms)


def test_a_run_whose_test_split_was_not_scored_has_no_verdict_on_it():
    unscored = network("teacher", 0, 700)
    unscored.test = None
    assert verdict({"point": [unscored]}) == ""


def test_arms_of_asm_read_as_words_and_plain_training_has_a_first_teacher_of_its_own():
    own = network("teacher", 0, 740, folder="baselines/plain/round-0")
    asm = [FIRST, network("asm", 1, 720, teacher=0)]
    plain = [own, network("plain", 1, 730, improved=False, teacher=0)]
    text = verdict({"asm": asm, "plain": plain})
    assert text.startswith("ASM against plain training, both after round 1: -1.0 ±0.7 points of test accuracy, a clear")
    assert "Of the other arms it picks plain training its own first teacher (74.0%)." in text
    assert "sorts its labels" not in text
    point = [FIRST, network("point", 1, 720, teacher=0)]
    text = verdict({"point": point, "asm": asm, "plain": plain})
    assert "it picks ASM round 1 (72.0%); plain training its own first teacher (74.0%)." in text
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
    assert "; +4.8 ±3.8 points right wherever a grey square stands, a clear gain." in effect_sentences(arms)[0]
    assert "right on average over its places / right wherever it stands" in text_table(arms)
    for results in arms.values():
        results[-1].occluded = None
    assert not any("grey square" in sentence for sentence in (*effect_sentences(arms), text_table(arms)))


def test_a_run_of_asm_is_about_asm_whatever_it_is_compared_with():
    arms = {arm: [network("teacher", 0, 700), network(arm, 1, 700)] for arm in ("asm", "point", "plain")}
    assert main_arm(arms) == "asm"
