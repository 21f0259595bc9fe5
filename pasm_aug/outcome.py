"""The outcome of a run in a table and in plain sentences, whichever way it fell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pasm_aug.arms import AUGMENTS
from pasm_aug.evaluation import Metrics
from pasm_aug.figures import interval
from pasm_aug.results import RoundResult, best_round

FITTED = 0.98  # share of its training data that a teacher should have right before hard erasing can help


def table_rows(arms: Mapping[str, list[RoundResult]]) -> list[tuple[str, ...]]:
    """(arm, round, training, validation, test, note) of every network, for the terminal and for the page."""
    rows = []
    for arm, results in arms.items():
        chosen = best_round(results)
        for r in results:
            if r.round == 0 and arm != next(iter(arms)):
                continue  # all arms fork from the one first teacher
            name = "first teacher" if r.round == 0 else AUGMENTS.get(arm, arm)
            note = "◀ picked by validation" if r is chosen and len(results) > 1 else ""
            rows.append(
                (name, str(r.round), *(_percent(getattr(r, split)) for split in ("train", "val", "test")), note)
            )
    return rows


def text_table(arms: Mapping[str, list[RoundResult]]) -> str:
    """The table as aligned text: accuracies in percent, test with its 95 % interval."""
    rows = [("arm", "round", "train", "val", "test", ""), *table_rows(arms)]
    widths = [max(len(row[i]) for row in rows) for i in range(6)]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(row[i].rjust(widths[i]) for i in range(1, 5)), row[5]]).rstrip()
        for row in rows
    ]
    return "\n".join([lines[0], "─" * max(map(len, lines)), *lines[1:]])


def verdict(arms: Mapping[str, list[RoundResult]]) -> str:
    """The outcome in plain sentences, whichever way it fell."""
    first = next(iter(arms.values()))[0]
    lines = []
    if first.train.accuracy < FITTED:
        lines.append(
            f"The first teacher has only {first.train.accuracy:.1%} of its training data right: it has not fitted them "
            f"(at least {FITTED:.0%}), and hard erasing tends to help only then. Train it longer (--teacher-epochs)."
        )
    picked = {arm: best_round(results) for arm, results in arms.items()}
    if "point" in picked and picked["point"].test and first.test:
        point, rivals = picked.pop("point"), picked
        assert point.test is not None
        if point.round:
            lines.append(
                f"PASM (round {point.round}) has {point.test.accuracy:.1%} of the test pictures right, the first "
                f"teacher {first.test.accuracy:.1%}."
            )
        else:
            last = arms["point"][-1]
            assert last.test is not None
            lines.append(
                f"No round of PASM improved on the first teacher's validation accuracy, so the first teacher stays: "
                f"{first.test.accuracy:.1%} of the test pictures right (PASM's round {last.round}: "
                f"{last.test.accuracy:.1%})."
            )
        for arm, rival in rivals.items():
            if rival.test is None:
                continue
            gain = point.test.accuracy - rival.test.accuracy
            noise = float(np.hypot(interval(*_of(point.test)), interval(*_of(rival.test))))
            word = "inside the noise" if abs(gain) < noise else ("a clear gain" if gain > 0 else "a clear loss")
            lines.append(
                f"Against {AUGMENTS[arm]} with the same budget (round {rival.round}: {rival.test.accuracy:.1%}): "
                f"{100 * gain:+.1f} points, {word} (±{100 * noise:.1f})."
            )
    apart = {name: best for name, best in {"the first teacher": first, **_picked(arms)}.items() if best.apart}
    if apart and first.test and first.apart:
        said = ", ".join(f"{name} {best.apart.accuracy:.1%}" for name, best in apart.items() if best.apart)
        lines.append(
            f"{first.test.count - first.apart.count:,} of the {first.test.count:,} test pictures also stand in the "
            f"training data; of the others right: {said}."
        )
    return " ".join(lines)


def _picked(arms: Mapping[str, list[RoundResult]]) -> dict[str, RoundResult]:
    """Each arm's name, and the round that validation picked."""
    return {AUGMENTS.get(arm, arm).split(":")[0]: best_round(results) for arm, results in arms.items()}


def stage_seconds(arms: Mapping[str, list[RoundResult]]) -> dict[str, float]:
    """Seconds of mining and of training (scoring included), summed over the rounds of each arm."""
    seconds: dict[str, float] = {}
    for number, results in enumerate(arms.values()):
        for r in results:
            if r.arm == "teacher" and number:
                continue  # the same first teacher again
            for kind, value in r.seconds.items():
                name = "first teacher" if r.arm == "teacher" else AUGMENTS[r.arm]
                stage = f"{name}: {kind}"
                seconds[stage] = seconds.get(stage, 0.0) + value
    return seconds


def _of(scores: Metrics) -> tuple[float, int]:
    return scores.accuracy, scores.count


def _percent(scores: Any) -> str:
    if scores is None:
        return "–"
    return f"{100 * scores.accuracy:.1f} ±{100 * interval(scores.accuracy, scores.count):.1f}"
