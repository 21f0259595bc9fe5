"""The page of a run under several seeds."""

import csv
import re

import pytest

from pasm_aug.report.seeds import arm_gains
from pasm_aug.report.seeds_page import write_seeds
from tests.made_runs import made_run
from tests.shapes import Shapes

DATA = Shapes(120)


@pytest.fixture
def runs(tmp_path):
    found = {}
    for seed in range(3):
        arms = ("none", "random-matched")
        found[seed] = made_run(tmp_path / f"seed-{seed}", DATA, baselines=arms, seed=seed, rounds=1)
        for arm, results in found[seed].arms.items():
            results[-1].occluded = {"mean": 0.4, "worst": (0.3 + 0.002 * seed if arm == "point" else 0.2) + 0.01 * seed}
    return found


def test_the_page_and_the_table_hold_every_seed(runs, tmp_path):
    page = write_seeds(tmp_path, runs, changed={"limit": (120, None), "seed": (2, 0)}).read_text()
    for seed in runs:
        assert f'href="seed-{seed}/report.html"' in page
    assert '<p class="kicker">Point Adversarial Self Mining, 3 seeds</p><h1>Synthetic faces, small network</h1>' in page
    assert "pasm-aug run --limit 120 --seeds 0,1,2<" in page
    with open(tmp_path / "seeds.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["seed"], row["arm"]) for row in rows] == [
        (str(s), a) for s in range(3) for a in ("point", "random-matched", "none")
    ]
    assert float(rows[0]["test"]) == pytest.approx(100 * runs[0].main[-1].test.accuracy, abs=1e-3)


def test_the_badges_are_those_of_the_mean_over_the_seeds(runs, tmp_path):
    page = write_seeds(tmp_path, runs).read_text()
    clean, worst = page.split('<section class="card')[1:]
    gains = arm_gains(list(runs.values()))["random-matched"]
    assert re.search(r'<p class="badge">.*?</span> (.*?)</p>', clean)[1] == gains["test"].word.removeprefix("a ")
    assert "clear gain" in worst  # about ten points in each seed
    assert "<b>+10.20 ±0.50</b> points in the worst case against PASM&#x27;s square at a random place" in worst
    assert worst.count('<i class="one"') == 2 * 3  # a dot for each seed, a line for each other arm


@pytest.mark.parametrize("seeds", [[0], [0, 1]])
def test_of_fewer_than_three_seeds_nothing_is_claimed(runs, tmp_path, seeds):
    for seed in seeds:
        runs[seed].arms["random-matched"][-1].occluded["worst"] = 0.1 - 0.0001 * seed
    page = write_seeds(tmp_path, {seed: runs[seed] for seed in seeds}).read_text()
    assert page.count("</span> no measurable effect</p>") == 2
    assert 'class="gain"' not in page
    assert "of chance in training, so nothing is called clear: give 3 or more." in page


def test_the_same_gain_in_every_seed_is_no_certain_one(runs, tmp_path):
    for run in runs.values():
        run.main[-1].occluded["worst"], run.arms["random-matched"][-1].occluded["worst"] = 0.5, 0.25
    worst = write_seeds(tmp_path, runs).read_text().split('<section class="card')[2]
    assert "<b>+25.00 ±0.00</b>" in worst
    assert "</span> no measurable effect</p>" in worst


def test_the_page_says_what_its_intervals_do_not_cover(runs, tmp_path):
    assert (
        "not that of the test images: all seeds are tested on the same 120," in write_seeds(tmp_path, runs).read_text()
    )


def test_a_copy_of_the_page_links_the_seeds_from_where_it_stands(runs, tmp_path):
    copy = tmp_path / "far" / "a b" / "all.html"
    assert write_seeds(tmp_path, runs, copy=copy) == tmp_path / "report.html"
    for place in re.findall(r'href="([^#"]+)"', copy.read_text()):
        assert re.fullmatch(r"\.\./\.\./seed-\d/report\.html", place)
    assert (tmp_path / "report.html").read_text().count('href="seed-') == 3


def test_runs_without_rounds_compare_no_teacher_with_itself(tmp_path):
    runs = {s: made_run(tmp_path / f"seed-{s}", DATA, seed=s, rounds=0) for s in range(3)}
    page = write_seeds(tmp_path, runs).read_text()
    assert "Whether it helped cannot be told" in page
    assert "no measurable effect" not in page.split("</style>")[1]
    assert page.count("<td>First teacher</td>") == 1


def test_of_one_seed_or_one_arm_nothing_is_claimed(runs, tmp_path):
    page = write_seeds(tmp_path, {0: runs[0]}).read_text()
    assert page.count("no measurable effect") == 2
    assert "One seed tells nothing of chance" in page
    assert "inf" not in page.split("</style>")[1]
    run = made_run(tmp_path / "alone", DATA, baselines=(), rounds=1)
    assert "Whether it helped cannot be told" in write_seeds(tmp_path, {0: run}).read_text()
