"""The first thing that a report says."""

import pytest

from pasm_aug.report.answer import answer
from tests.made_runs import network

FIRST = network("teacher", 0, 700)


def arms(**options):
    worst = {"point": 0.4, "random-matched": 0.2, "none": 0.3}
    return {
        arm: [FIRST, network(arm, 1, right, erased_share=share, occluded={"mean": 0.5, "worst": worst[arm]}, **options)]
        for arm, right, share in (("point", 690, 0.021), ("none", 720, 0.0), ("random-matched", 720, 0.019))
    }


def test_a_badge_for_clean_accuracy_and_one_for_occlusion_against_the_same_round():
    cards, legend = answer(arms())
    clean, hidden = cards.split('<section class="card ')[1:]
    assert clean.startswith('loss"><h2>Clean accuracy</h2>')
    assert "clear loss" in clean
    assert "<b>−3.0 ±1.1</b> points of test accuracy against PASM&#x27;s square at a random place" in clean
    assert hidden.startswith('gain"><h2>Under occlusion</h2>')
    assert "clear gain" in hidden
    for part in (clean, hidden):
        assert part.index("random place<small>1.9% of pixels erased") < part.index("no erasing<small>nothing erased")
    assert "PASM (2.1% of pixels erased) minus each other arm, after round 1 of both" in legend
    assert "of the worst case only shares are known" in legend


@pytest.mark.parametrize("known", [True, False])
def test_the_legend_says_how_the_intervals_were_made(known):
    _, legend = answer({arm: [FIRST, network(arm, 1, 700, known=known)] for arm in ("point", "none")})
    assert ("paired image by image." in legend) == known
    assert ("of two samples" in legend) != known
    assert "Worst case" not in legend


def test_without_another_arm_nothing_is_claimed():
    (text,) = answer({"point": [FIRST, network("point", 1, 800)]})
    assert "cannot be told" in text
    assert "badge" not in text
