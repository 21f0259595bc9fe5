"""Did it help? Round k against round k, the square at a random place first."""

from pathlib import Path

import numpy as np
import pytest

from pasm_aug.core.files import write_csv
from pasm_aug.report.difference import difference
from pasm_aug.report.effect import effects, rivals
from pasm_aug.rounds.hidden_images import FILE
from pasm_aug.training.paired_gain import paired_gain
from tests.made_runs import network

FIRST = network("teacher", 0, 900)


def hidden(folder, right):
    """A file that tells which images are right everywhere."""
    folder.mkdir()
    rows = [{"index": i, "label": i % 7, "places_right": 0, "right_everywhere": int(r)} for i, r in enumerate(right)]
    write_csv(folder / FILE, rows)
    return str(folder)


def test_the_same_round_of_both_is_compared_whatever_validation_picks():
    point = [FIRST, network("point", 1, 700), network("point", 2, 720, improved=False)]
    arms = {
        "point": point,
        "none": [FIRST, network("none", 1, 800), network("none", 2, 710, improved=False, erased_share=0.0)],
        "random-matched": [FIRST, network("random-matched", 1, 650, erased_share=0.02, improved=False)],
        "random": [FIRST],
    }
    matched, none = effects(arms)
    assert (matched.arm, matched.round, matched.erased) == ("random-matched", 1, 0.02)
    assert matched.test == difference(arms["random-matched"][1].test, point[1].test)
    assert (none.arm, none.round, none.test.points) == ("none", 2, pytest.approx(1.0))
    assert none.worst is None
    assert effects({"point": [FIRST], "none": [FIRST]}) == []


def test_without_a_square_at_a_random_place_the_first_arm_is_the_point_of_reference():
    assert rivals(["point", "none", "random", "random-matched"], "point") == ["random-matched", "none", "random"]
    assert rivals(["asm", "plain"], "asm") == ["plain"]


def test_the_worst_case_is_paired_where_it_is_known_of_each_image(tmp_path):
    rng = np.random.default_rng(0)
    before = rng.random(1000) < 0.3
    after = before | (rng.random(1000) < 0.05)
    arms = {}
    for arm, right in (("point", after), ("none", before)):
        folder, shares = hidden(tmp_path / arm, right), {"mean": 0.5, "worst": right.mean()}
        arms[arm] = [FIRST, network(arm, 1, 700, folder=folder, occluded=shares)]
    (paired,) = effects(arms)
    both = [np.stack([np.ones(1000, int), right.astype(int)]) for right in (before, after)]
    gain = paired_gain(*both)
    assert paired.worst.points == pytest.approx(100 * gain.gain)
    assert paired.worst.half == pytest.approx(196 * gain.error)
    assert (paired.worst.paired.won, paired.worst.paired.lost) == (gain.won, 0)
    (Path(arms["none"][1].folder) / FILE).unlink()
    (apart,) = effects(arms)
    assert apart.worst.paired is None
    assert apart.worst.points == pytest.approx(paired.worst.points)
    assert apart.worst.half > 2 * paired.worst.half
