"""Rankings and the rule against cleanlab, scikit-learn and plain loops."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pasm_aug.asm.suspects import (
    SCORES,
    average_precision,
    class_confidence,
    label_probability,
    probably_wrong,
    ranking,
    suspicion,
)
from pasm_aug.core.errors import UserError


@st.composite
def judged(draw, classes=None):
    """(probabilities (N, K), labels (N,)), every class among the labels."""
    count = draw(st.integers(2, 6)) if classes is None else classes
    length = draw(st.integers(count, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    probabilities = rng.dirichlet(np.full(count, draw(st.sampled_from([0.05, 0.3, 1.0, 5.0]))), length)
    labels = rng.permutation(np.concatenate([np.arange(count), rng.integers(0, count, length - count)]))
    return probabilities, labels


@given(judged())
def test_rankings_against_cleanlab(given):
    rank = pytest.importorskip("cleanlab.rank")
    probabilities, labels = given
    quality = rank.get_label_quality_scores(labels, probabilities, method="self_confidence")
    assert suspicion(probabilities, labels) == pytest.approx(-quality)
    assert np.all(np.diff(quality[ranking(probabilities, labels)]) >= 0)
    margins = rank.get_label_quality_scores(labels, probabilities, method="normalized_margin")  # (margin + 1) / 2
    assert suspicion(probabilities, labels, "margin") == pytest.approx(1 - 2 * margins, abs=1e-9)


@given(judged())
def test_the_order_is_cleanlabs(given):
    rank = pytest.importorskip("cleanlab.rank")
    probabilities, labels = given
    theirs = rank.order_label_issues(np.ones(len(labels), dtype=bool), labels, probabilities, rank_by="self_confidence")
    own = label_probability(probabilities, labels)
    assert own[ranking(probabilities, labels)] == pytest.approx(own[theirs])


@given(judged())
def test_the_rule_against_cleanlab(given):
    found = pytest.importorskip("cleanlab.filter").find_label_issues
    probabilities, labels = given
    usual = class_confidence(probabilities, labels)
    assume(np.abs(probabilities - usual).min() > 1e-5)  # nearer, cleanlab's tolerance decides
    assume(np.abs(suspicion(probabilities, labels, "margin")).min() > 1e-5)
    theirs = found(labels, probabilities, filter_by="confident_learning", n_jobs=1)
    assert np.array_equal(probably_wrong(probabilities, labels), theirs)


@given(judged())
def test_scores_against_a_loop(given):
    probabilities, labels = given
    usual = [np.mean([p[k] for p, label in zip(probabilities, labels, strict=True) if label == k])
             for k in range(probabilities.shape[1])]  # fmt: skip
    assert class_confidence(probabilities, labels) == pytest.approx(usual)
    raw, margin, normalised = (suspicion(probabilities, labels, name) for name in SCORES)
    for i, (p, label) in enumerate(zip(probabilities, labels, strict=True)):
        assert raw[i] == -p[label]
        assert margin[i] == max(p[k] for k in range(len(p)) if k != label) - p[label]
        assert normalised[i] == pytest.approx(-p[label] / max(usual[label], 1e-300))


@given(judged(), st.randoms(use_true_random=False))
def test_the_order_of_the_images_changes_nothing(given, random):
    probabilities, labels = given
    order = np.array(random.sample(range(len(labels)), len(labels)))
    for name in SCORES:
        whole = suspicion(probabilities, labels, name)
        assert suspicion(probabilities[order], labels[order], name) == pytest.approx(whole[order])
    assert np.array_equal(
        probably_wrong(probabilities, labels)[order], probably_wrong(probabilities[order], labels[order])
    )


def test_equal_ones_keep_their_order_and_float32_is_welcome():
    probabilities = np.array([[0.5, 0.5], [0.1, 0.9], [0.5, 0.5], [0.1, 0.9]], dtype=np.float32)
    labels = np.array([0, 0, 0, 0], dtype=np.int32)
    assert ranking(probabilities, labels).tolist() == [1, 3, 0, 2]
    assert not probably_wrong(probabilities, labels).any()  # nothing is known of a class that no image is labelled as
    assert np.isnan(class_confidence(*map(np.asarray, (probabilities, labels)))[1])
    assert ranking(np.zeros((0, 3)), np.zeros(0, dtype=np.int64)).tolist() == []


def test_what_is_confidently_another_class_is_probably_wrong():
    clear = np.array([[0.9, 0.1], [0.9, 0.1], [0.1, 0.9], [0.1, 0.9], [0.05, 0.95], [0.45, 0.55]])
    labels = np.array([0, 0, 1, 1, 0, 0])
    assert probably_wrong(clear, labels).tolist() == [False, False, False, False, True, False]


def test_what_the_networks_say_together_acquits():
    clear = np.array([[0.9, 0.1], [0.9, 0.1], [0.1, 0.9], [0.1, 0.9], [0.05, 0.95], [0.04, 0.96]])
    labels = np.array([0, 0, 1, 1, 0, 0])
    assert probably_wrong(clear, labels).tolist() == [False, False, False, False, True, True]
    together = np.where(np.arange(6)[:, None] == 4, [0.6, 0.4], [0.4, 0.6])
    assert probably_wrong(clear, labels, together).tolist() == [False, False, False, False, False, True]
    assert probably_wrong(clear, labels, clear).tolist() == probably_wrong(clear, labels).tolist()
    with pytest.raises(UserError, match=r"got shapes \(3, 2\) and \(6,\)"):
        probably_wrong(clear, labels, together[:3])


@given(st.lists(st.tuples(st.booleans(), st.integers(-3, 3)), min_size=1, max_size=40))
def test_average_precision_against_scikit_learn(rows):
    wrong, scores = np.array([w for w, _ in rows]), np.array([s for _, s in rows], dtype=float)
    area = average_precision(wrong, scores)
    if not wrong.any():
        assert np.isnan(area)
        return
    metrics = pytest.importorskip("sklearn.metrics")
    assert area == pytest.approx(metrics.average_precision_score(wrong, scores))


def test_average_precision_by_hand():
    assert average_precision(np.array([True, False, True]), np.array([3.0, 2.0, 1.0])) == pytest.approx((1 + 2 / 3) / 2)
    assert average_precision(np.array([True, False]), np.array([1.0, 1.0])) == 0.5
    assert np.isnan(average_precision(np.zeros(0, dtype=bool), np.zeros(0)))


@pytest.mark.parametrize(
    ("probabilities", "labels", "score", "message"),
    [
        ([[0.5, 0.5]], [0], "entropy", "score must be one of self-confidence, margin, class-normalised, got 'entropy'"),
        ([[0.5, 0.5]], [0, 1], "margin", r"got shapes \(1, 2\) and \(2,\)"),
        ([0.5, 0.5], [0], "margin", r"got shapes \(2,\) and \(1,\)"),
        ([[1.0]], [0], "margin", "at least 2 classes apart, got 1"),
        ([[0.5, 0.5]], [2], "margin", "labels must be integers in 0…1, got int64 in 2…2"),
        ([[0.5, 0.5]], [-1], "margin", "in -1…-1"),
        ([[0.5, 0.5]], [0.0], "margin", "got float64"),
        ([[0.5, 0.6]], [0], "margin", "rows of numbers of at least 0 that sum to 1"),
        ([[1.5, -0.5]], [0], "margin", "rows of numbers"),
        ([[np.nan, 0.5]], [0], "margin", "rows of numbers"),
    ],
)
def test_what_cannot_be_is_refused(probabilities, labels, score, message):
    with pytest.raises(UserError, match=message):
        suspicion(np.array(probabilities), np.array(labels), score)
