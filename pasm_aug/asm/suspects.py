"""Which labels are probably wrong? Rankings and a rule, from what a network says of each image.

Pure functions of probabilities (N, K) and the given labels (N,) int64. A network that was trained on the images for
long remembers wrong labels: rank by what the networks of folds say together, call wrong by the one that has not seen
the image (:class:`~pasm_aug.asm.judgements.FoldJudgements`).

Of these scores the raw probability of the label ranks best over all classes: .509 of area under precision-recall by the
network that has not seen the image, margin .443, class-normalised .392, and .561 by what the folds say together (2,000
faces of FER2013, 30 % of symmetric noise, mean of two seeds: ``benchmarks/results/audit-fer2013.json``). The rule
:func:`probably_wrong` is confident learning's (Northcutt, Jiang and Chuang, "Confident Learning", JAIR 70, 2021), as
cleanlab's ``find_label_issues(filter_by="confident_learning")`` has it, and what the folds say together may acquit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from pasm_aug.core.errors import UserError

TOLERANCE = 1e-6  # a class that is as likely as on average is confident, whatever the order of the sum was


def label_probability(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(N,) the given label's own probability."""
    return probabilities[np.arange(len(labels)), labels]


def class_confidence(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(K,) float64: mean probability of a class over the images that are labelled so; NaN for one without images."""
    counts = np.bincount(labels, minlength=probabilities.shape[1])
    sums = np.bincount(labels, label_probability(probabilities, labels), minlength=probabilities.shape[1])
    return np.divide(sums, counts, out=np.full(len(counts), np.nan), where=counts > 0)


def _self_confidence(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return -label_probability(probabilities, labels)


def _margin(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    others = probabilities.copy()
    others[np.arange(len(labels)), labels] = -np.inf
    return others.max(1) - label_probability(probabilities, labels)


def _class_normalised(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    usual = np.maximum(class_confidence(probabilities, labels), np.finfo(np.float64).tiny)
    return -label_probability(probabilities, labels) / usual[labels]


SCORES: Mapping[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "self-confidence": _self_confidence,  # minus the label's probability
    "margin": _margin,  # the likeliest other class's probability minus the label's
    "class-normalised": _class_normalised,  # minus the label's probability ÷ its mean over the images labelled so
}


def suspicion(probabilities: np.ndarray, labels: np.ndarray, score: str = "self-confidence") -> np.ndarray:
    """(N,) float64, greater for a label that is more probably wrong.

    Args:
        probabilities: (N, K), rows that sum to 1.
        labels: (N,) integers in ``0 .. K - 1``, as given.
        score: a key of :data:`SCORES`.

    Raises:
        ValueError: shapes that do not fit, rows that are no probabilities, a label out of range, an unknown score.
    """
    if score not in SCORES:
        raise UserError(f"score must be one of {', '.join(SCORES)}, got {score!r}")
    return SCORES[score](*checked(probabilities, labels))


def ranking(probabilities: np.ndarray, labels: np.ndarray, score: str = "self-confidence") -> np.ndarray:
    """(N,) int64 indices, the label that is most probably wrong first; of equal ones the lower index.

    Args and errors are those of :func:`suspicion`.
    """
    return np.argsort(-suspicion(probabilities, labels, score), kind="stable")


def probably_wrong(probabilities: np.ndarray, labels: np.ndarray, together: np.ndarray | None = None) -> np.ndarray:
    """(N,) bool: labels that confident learning calls wrong; the rule of ``pasm-aug audit``.

    A label is, if some class is likelier, and some class other than the label is at least as likely as it
    is on average of the images that are labelled so. Skewed classes and an over-confident network shift the averages
    with them, so there is no threshold to choose. Where networks have learned little it calls far too many wrong:
    65 % of 2,000 faces of which 32 % were (``benchmarks/results/audit-fer2013.json``).

    Args:
        probabilities, labels: as :func:`suspicion` has them; by a network that has not seen the image, if there is one.
        together: (N, K) of :attr:`~pasm_aug.asm.judgements.FoldJudgements.together`: a label that is the likeliest
            class there is not called wrong.

    Raises:
        ValueError: see :func:`suspicion`.
    """
    probabilities, labels = checked(probabilities, labels)
    usual = class_confidence(probabilities, labels)
    confident = probabilities >= usual - TOLERANCE  # never of a class without images: comparing with NaN is false
    confident[np.arange(len(labels)), labels] = False
    wrong = confident.any(1) & (_margin(probabilities, labels) > 0)
    return wrong if together is None else wrong & (checked(together, labels)[0].argmax(1) != labels)


def average_precision(wrong: np.ndarray, scores: np.ndarray) -> float:
    """Area under precision-recall of finding what is ``wrong`` (N,) bool by ``scores`` (N,), the greatest first.

    The sum of the precisions at every distinct score, each weighted by the recall that it adds, as scikit-learn's
    ``average_precision_score``; NaN where nothing is wrong.
    """
    _, place = np.unique(-np.asarray(scores, dtype=np.float64), return_inverse=True)
    found, seen = np.bincount(place, wrong).cumsum(), np.bincount(place).cumsum()
    if not len(found) or not found[-1]:
        return float("nan")
    return float((np.diff(found, prepend=0) * found / seen).sum() / found[-1])


def checked(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The two as float64 (N, K) and int64 (N,); the errors are those of :func:`suspicion`."""
    probabilities, given = np.asarray(probabilities, dtype=np.float64), np.asarray(labels)
    if probabilities.ndim != 2 or given.shape != probabilities.shape[:1]:
        raise UserError(
            f"probabilities must be (N, K) and labels (N,), got shapes {probabilities.shape} and {given.shape}"
        )
    if probabilities.shape[1] < 2:
        raise UserError(f"probabilities must tell at least 2 classes apart, got {probabilities.shape[1]}")
    if not len(given):
        return probabilities, given.astype(np.int64)
    if given.dtype.kind not in "iu" or given.min() < 0 or given.max() >= probabilities.shape[1]:
        raise UserError(
            f"labels must be integers in 0…{probabilities.shape[1] - 1}, "
            f"got {given.dtype} in {given.min()}…{given.max()}"
        )
    if not (np.abs(probabilities.sum(1) - 1) < 1e-3).all() or probabilities.min() < 0:
        raise UserError("probabilities must be rows of numbers of at least 0 that sum to 1, got other rows")
    return probabilities, given.astype(np.int64)
