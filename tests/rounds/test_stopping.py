import re
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pasm_aug.rounds.results import RoundResult
from pasm_aug.rounds.stopping import MAX_ROUNDS, StopRule
from pasm_aug.training.metrics import Metrics
from pasm_aug.training.paired_gain import paired_gain

ERROR = 0.01
GAINS = st.lists(st.floats(-0.05, 0.05), min_size=MAX_ROUNDS, max_size=MAX_ROUNDS)


def scores(count=1000):
    return Metrics(0.5, 1.0, [0.5], [[count]], count)


def run(rule, gains):
    """The rounds of a run whose round r gains ``gains[r - 1]`` over what the rule measures it against."""
    results = [RoundResult("teacher", 0, "round-0", None, True, scores(), scores())]
    while not (reason := rule.reason(results)):
        number, over = len(results), rule.reference(results)
        result = RoundResult("point", number, f"round-{number}", 0, True, scores(), scores())
        result.gain, result.gain_error, result.gain_over = gains[number - 1], ERROR, over.round
        results.append(result)
    return results, reason


@pytest.mark.parametrize(
    ("rule", "gains", "rounds"),
    [
        ({}, [0.0], 1),
        ({}, [0.02, 0.02, 0.005], 3),
        ({}, [0.02, -0.02], 2),
        ({"margin": 0}, [0.001, 0.001, 0.0], 3),
        ({"margin": 2}, [0.0201, 0.0199], 2),
        ({"patience": 2}, [0.0, 0.02, 0.0, 0.0], 4),
        ({"patience": 3}, [0.0, 0.0, 0.0], 3),
        ({"patience": 2}, [0.02, 0.005, 0.02, 0.0, 0.005], 5),
        ({"rounds": 0}, [], 0),
        ({"rounds": 3}, [-0.05, -0.05, -0.05], 3),
        ({"rounds": 12}, [0.0] * 12, 12),
        ({}, [0.02] * MAX_ROUNDS, MAX_ROUNDS),
        ({"patience": 99}, [0.0] * MAX_ROUNDS, MAX_ROUNDS),
    ],
)
def test_the_rounds_end_where_the_rule_says(rule, gains, rounds):
    assert len(run(StopRule(**rule), gains)[0]) - 1 == rounds


@given(GAINS, st.integers(1, 10), st.floats(0, 3))
def test_it_waits_for_the_patience_and_always_ends(gains, patience, margin):
    results, reason = run(StopRule(None, patience, margin), gains)
    done = len(results) - 1
    assert min(patience, MAX_ROUNDS) <= done <= MAX_ROUNDS
    gained = [r.round for r in results[1:] if r.gain > margin * ERROR]
    since = done - (gained[-1] if gained else 0)
    assert (since == patience) or (done == MAX_ROUNDS and since < patience)
    assert all(late - early <= patience for early, late in zip([0, *gained], gained, strict=False))
    assert f"after round {done}:" in reason or f"after {done} rounds" in reason


@given(GAINS, st.integers(1, 4), st.floats(0, 3))
def test_each_round_is_measured_against_the_last_gain_beyond_the_noise(gains, patience, margin):
    results, _ = run(StopRule(None, patience, margin), gains)
    reference = 0
    for result in results[1:]:
        assert result.gain_over == reference
        reference = result.round if result.gain > margin * ERROR else reference


def test_small_gains_add_up_while_the_patience_lasts():
    rule, results = StopRule(patience=3), []
    accuracies = [0.500, 0.508, 0.516, 0.524]  # each step inside the noise of one point, three of them beyond it
    for number, accuracy in enumerate(accuracies):
        result = RoundResult("point", number, "", None, True, scores(), scores())
        if number:
            over = rule.reference(results)
            result.gain, result.gain_error, result.gain_over = accuracy - accuracies[over.round], 0.02, over.round
        results.append(result)
        assert rule.reason(results) is None
    assert [r.gain_over for r in results] == [None, 0, 0, 0]
    assert rule.gained(results[3])


@pytest.mark.parametrize(
    ("gains", "rule", "parts"),
    [
        ([0.0034], {}, ["Stopped after round 1", "+0.3 points over the first teacher", "1,000 validation images",
                        "1 × its standard error of 1.0 points", "inside the noise"]),
        ([0.02, -0.012], {}, ["Stopped after round 2", "-1.2 points over round 1", "no gain"]),
        ([0.0, 0.015], {"patience": 2, "margin": 2},
         ["Stopped after round 2", "+1.5 points", "2 × its standard error", "2 rounds"]),
        ([0.02] * MAX_ROUNDS, {}, [f"Stopped after {MAX_ROUNDS} rounds", "the most"]),
        ([0.0], {"rounds": 1}, ["The one round of this run is done."]),
        ([0.0] * 2, {"rounds": 2}, ["All 2 rounds that were asked for are done."]),
    ],
)  # fmt: skip
def test_the_reason_names_the_round_and_the_numbers(gains, rule, parts):
    reason = run(StopRule(**rule), gains)[1]
    assert all(part in reason for part in parts), reason
    assert re.fullmatch(r"[A-Z].*\.", reason)
    assert "inside the noise" not in reason or gains[-1] > 0


def test_a_gain_is_the_same_for_the_rule_and_for_the_answers():
    labels = [[0] * 50, [1] * 20 + [0] * 30]
    gain = paired_gain(labels, [[0] * 50, [1] * 12 + [0] * 38])
    result = SimpleNamespace(gain=gain.gain, gain_error=gain.error)
    for margin in (0, 0.5, 1, 2, 4):
        assert StopRule(margin=margin).gained(result) == gain.beyond(margin)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rounds": -1}, "rounds must be 0 or more, got -1"),
        ({"patience": 0}, "patience must be at least 1, got 0"),
        ({"margin": -0.5}, "margin must be 0 or more standard errors, got -0.5"),
        ({"margin": float("nan")}, "margin must be"),
    ],
)
def test_mistakes_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        StopRule(**options)
