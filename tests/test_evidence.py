"""The arithmetic behind the evidence campaign's tables, against independent calculations."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("scipy")
yaml = pytest.importorskip("yaml")
sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
evidence_report = pytest.importorskip("evidence_report")


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holms_correction_is_the_step_down_one(values):
    found = evidence_report.holm(values)
    for p, corrected in zip(values, found, strict=True):
        harder = sorted(values)[: sorted(values).index(p) + 1]
        assert corrected == pytest.approx(min(1, max((len(values) - i) * q for i, q in enumerate(harder))))


def test_the_bootstrap_covers_seeds_and_images():
    rng = np.random.default_rng(1)
    seeds, images = 30, 900
    apart = rng.choice([-1.0, 0.0, 1.0], (seeds, images), p=[0.1, 0.75, 0.15]) + rng.normal(0, 0.02, (seeds, 1))
    low, high, p = evidence_report.paired_bootstrap(apart, rng)
    assert low < apart.mean() < high
    between, within = apart.mean(1).std(ddof=1) / seeds**0.5, apart.mean(0).std(ddof=1) / images**0.5
    assert (high - low) / 2 == pytest.approx(1.96 * np.hypot(between, within), rel=0.2)
    assert p < 0.01
    assert evidence_report.paired_bootstrap(rng.choice([-1.0, 1.0], (6, 400)), rng)[2] > 0.01


def test_the_detectable_effect_is_found_four_times_of_five():
    from scipy import stats

    rng = np.random.default_rng(0)
    sample = rng.normal(0, 1, 8)
    effect = evidence_report.detectable(sample / sample.std(ddof=1))
    hits = [stats.ttest_1samp(rng.normal(effect, 1, 8), 0).pvalue < 0.05 for _ in range(2000)]
    assert np.mean(hits) == pytest.approx(0.8, abs=0.05)


def test_the_report_pairs_the_seeds_of_every_arm(tmp_path):
    rng, rows = np.random.default_rng(0), []
    for seed in range(3):
        for arm, rate in (("online-4", 0.6), ("none", 0.5)):
            hits = rng.random(101) < rate
            row = {"regime": "digits", "seed": seed, "arm": arm, "val": 0.5, "test": hits.mean(), "erased_share": 0.1}
            row |= {"right": np.packbits(hits).tobytes().hex(), "seconds": {"train": 3.0}}
            row["occluded"] = {"mean": 0.4, "worst": 0.3 if arm == "none" else 0.35 + 0.01 * seed}
            rows += [row | {"round": 0}, row | {"round": 1}]
    told = evidence_report.report(json.loads(json.dumps(rows)), "online-4", tmp_path)
    tests = {arm: np.mean([r["test"] for r in rows if r["arm"] == arm and r["round"]]) for arm in ("online-4", "none")}
    assert f"| online-4 − none | 3 | {100 * (tests['online-4'] - tests['none']):+.2f} [" in told
    assert "+6.00 ± 2.48" in told
    assert (tmp_path / "evidence-digits.png").stat().st_size > 1000


def test_the_curve_tells_gains_by_images_and_epochs(tmp_path):
    rows = []
    for regime, gain in (("small-1k", 0.05), ("small-all", 0.01)):
        for seed in range(3):
            for arm, more in (
                ("random-matched", 0),
                ("online-4", gain),
                ("random-matched-15", 0.1),
                ("online-4-15", 0.1),
            ):
                row = {"regime": regime, "seed": seed, "arm": arm, "round": 1, "test": 0.5 + more + 0.01 * seed}
                rows.append(row | {"occluded": {"worst": 0.2 + 2 * more}})
    told = evidence_report.curve(rows, "online-4", tmp_path / "curve.png")
    assert told.count("\n") == 5
    assert "| 1,000 | 6 | 3 | +5.00 ± 0.00 | +10.00 ± 0.00 |" in told
    assert "| 28,709 | 6 | 3 | +1.00 ± 0.00 | +2.00 ± 0.00 |" in told
    assert "| 28,709 | 15 | 3 | +0.00 ± 0.00 | +0.00 ± 0.00 |" in told
    assert (tmp_path / "curve.png").stat().st_size > 1000
    assert evidence_report.curve(rows[:2], "online-4", tmp_path / "none.png") == ""


def test_the_settings_name_arms_and_options_that_are_there():
    from pasm_aug.core.options import leaves
    from pasm_aug.rounds.arms import AUGMENTS
    from pasm_aug.rounds.options import RoundOptions

    settings = yaml.safe_load((Path(__file__).parents[1] / "benchmarks" / "evidence.yaml").read_text())
    known = {leaf.keyword for leaf in leaves(RoundOptions)} | {"objective", "longer"}
    for arm in [*settings["arms"].values(), *settings["curve"].values()]:
        assert arm["augment"] in AUGMENTS
        assert set(arm) <= known
    assert set(settings["student"] | settings["square"] | settings["teacher"]) <= known
