"""Networks of all folds together, against a loop."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pasm_aug.asm.judgements import FoldJudgements
from pasm_aug.asm.suspects import average_precision, suspicion


def softmax(values):
    shares = [np.exp(value - max(values)) for value in values]
    return np.array(shares) / sum(shares)


@given(st.integers(2, 5), st.integers(1, 12), st.integers(2, 6), st.integers(0, 2**32 - 1))
def test_against_a_loop(networks, images, classes, seed):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 30, (networks, images, classes)).astype(np.float32)
    judged = FoldJudgements(logits, rng.integers(0, networks, images))
    for found in (judged.out_of_sample, judged.together):
        assert (found.dtype, found.shape) == (np.float32, (images, classes))
    for i, own in enumerate(judged.fold.tolist()):
        unseen = logits[own, i].astype(float)
        others = np.mean([logits[n, i].astype(float) for n in range(networks) if n != own], axis=0)
        assert judged.out_of_sample[i] == pytest.approx(softmax(unseen), abs=1e-6)
        assert judged.together[i] == pytest.approx(softmax((unseen + others) / 2), abs=1e-6)


def test_what_a_network_adds_to_all_its_logits_changes_nothing():
    rng = np.random.default_rng(0)
    logits, fold = rng.normal(size=(3, 9, 4)), rng.integers(0, 3, 9)
    shifted = logits + rng.normal(0, 5, (3, 9, 1))
    assert FoldJudgements(shifted, fold).together == pytest.approx(FoldJudgements(logits, fold).together, abs=1e-6)


def test_networks_that_remember_every_label_alike_leave_the_ranking_to_the_one_that_has_not_seen_it():
    rng = np.random.default_rng(1)
    labels, wrong = rng.integers(0, 3, 300), rng.random(300) < 0.3
    truth = np.where(wrong, (labels + 1) % 3, labels)
    fold, own = rng.integers(0, 3, 300), rng.normal(0, 1, (300, 3)) + 2 * np.eye(3)[truth]
    logits = np.repeat(10 * np.eye(3)[labels][None], 3, axis=0)
    logits[fold, np.arange(300)] = own
    judged = FoldJudgements(logits, fold)
    area = average_precision(wrong, suspicion(judged.out_of_sample, labels))
    assert area > 0.8
    assert average_precision(wrong, suspicion(judged.together, labels)) == pytest.approx(area, abs=0.05)
