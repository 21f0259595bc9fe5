"""How good a network is, as its model card says it: scores of the splits, of each class, and its mistakes."""

from __future__ import annotations

import numpy as np

from pasm_aug.rounds.results import RoundResult
from pasm_aug.training.interval import wilson
from pasm_aug.training.metrics import Metrics

MISTAKES = 5  # the most frequent ones are told
SPLITS = {"train": "training", "val": "validation", "test": "test", "apart": "test, without images also in training"}


def scores_text(classes: list[str], result: RoundResult) -> str:
    """Markdown: tables of the splits and of the classes, and the most frequent mistakes."""
    return f"{_scores(result)}\n\n{_classes(classes, result)}\n\n{_mistakes(classes, result)}"


def judged(result: RoundResult) -> tuple[str, Metrics]:
    """The split that tells most about new images, and its scores."""
    return ("val", result.val) if result.test is None else ("test", result.test)


def _scores(result: RoundResult) -> str:
    lines = ["| split | images | right | 95 % interval | mean over the classes |", "|---|--:|--:|--:|--:|"]
    for split, name in SPLITS.items():
        scores: Metrics | None = getattr(result, split)
        if scores is None:
            continue
        right, mean = round(scores.accuracy * scores.count), scores.mean_per_class
        lines.append(f"| {name} | {scores.count:,} | {_interval(right, scores.count)} | {mean:.1%} |")
    if result.test is None:
        lines.append("\nThe test split has not been scored: that is done once, when the rounds have stopped.")
    return "\n".join(lines)


def _classes(classes: list[str], result: RoundResult) -> str:
    split, scores = judged(result)
    lines = [f"| class ({SPLITS[split]}) | images | right | 95 % interval |", "|---|--:|--:|--:|"]
    for number, (name, row) in enumerate(zip(classes, scores.confusion, strict=True)):
        count = sum(row)
        found = _interval(row[number], count) if count else "– | no image"
        lines.append(f"| {_cell(name)} | {count:,} | {found} |")
    return "\n".join(lines)


def _mistakes(classes: list[str], result: RoundResult) -> str:
    split, scores = judged(result)
    wrong = np.array(scores.confusion)
    counts = wrong.sum(1)
    np.fill_diagonal(wrong, 0)
    worst = [divmod(int(flat), len(classes)) for flat in np.argsort(-wrong, axis=None, kind="stable")[:MISTAKES]]
    told = [
        f"- {classes[true]} taken for {classes[other]}: {wrong[true, other]:,} of {counts[true]:,} "
        f"({wrong[true, other] / counts[true]:.0%})"
        for true, other in worst
        if wrong[true, other]
    ]
    if not told:
        return f"It makes no mistake on the {SPLITS[split]} split."
    return "\n".join([f"Its most frequent mistakes on the {SPLITS[split]} split:\n", *told])


def _interval(right: int, count: int) -> str:
    low, high = wilson(right, count)
    return f"{right / count:.1%} | {100 * low:.1f} to {high:.1%}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
