"""The charts of a report, as PNG bytes: accuracy per round, confusion and its change, gains per class, training curves.

Every chart is as wide as a phone's screen shows legibly; a page sets them beside each other where there is room.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from pasm_aug.report.charts import WIDTH, chart, charts, colour, legend, png
from pasm_aug.report.difference import Difference
from pasm_aug.report.lettering import class_label, line_label, whole
from pasm_aug.rounds.arms import AUGMENTS
from pasm_aug.rounds.results import RoundResult

NAMED_CLASSES, NUMBERED_CLASSES, BARS = 30, 12, 20  # more would not be readable
SPLITS = {"val": "validation (picks the round)", "test": "test (scored once, at the end)"}


def accuracy_figure(
    arms: Mapping[str, list[RoundResult]], splits: Sequence[str], names: Mapping[str, str] = AUGMENTS
) -> bytes:
    """Accuracy of every arm over the rounds; the bars are 95 % intervals.

    Args:
        splits: ``"val"``, ``"test"``; a panel for each.
    """
    figure, panels = charts([SPLITS[split] for split in splits], 2.5)
    for (split, panel), (shift, (arm, results)) in product(zip(splits, panels, strict=True), enumerate(arms.items())):
        scored = [(r.round, scores) for r in results if (scores := getattr(r, split))]
        ends = np.array([(s.accuracy - s.interval[0], s.interval[1] - s.accuracy) for _, s in scored]).reshape(-1, 2)
        panel.errorbar(
            [number + 0.06 * (shift - (len(arms) - 1) / 2) for number, _ in scored],
            [scores.accuracy for _, scores in scored],
            ends.clip(0).T,  # rounding may put an end on the wrong side
            marker="o",
            markersize=4,
            capsize=2,
            linewidth=1.6,
            elinewidth=0.8,
            color=colour(arm, shift),
            label=line_label(names.get(arm, arm)),
        )
        panel.yaxis.set_major_formatter(PercentFormatter(1.0))
    panels[-1].set_xlabel("round (0 = first teacher)")
    legend(figure)
    return png(figure)


def curves_figure(
    arms: Mapping[str, Sequence[Sequence[Mapping[str, float]]]],
    columns: Mapping[str, str],
    names: Mapping[str, str] = AUGMENTS,
) -> bytes:
    """Columns of ``metrics.csv`` over the epochs of all rounds, a panel each; one line an arm, a gap between rounds.

    Args:
        arms: for each arm the tables of its rounds, teacher first; one that they share has a line of its own.
        columns: name → title.
    """
    figure, panels = charts(list(columns.values()), 2.2)
    for column, panel in zip(columns, panels, strict=True):
        _curves(panel, arms, column, names)
        if column == "erased_share":
            panel.set_ylim(0, 1.1 * panel.get_ylim()[1])
        if column != "loss":
            panel.yaxis.set_major_formatter(PercentFormatter(1.0))
    panels[-1].set_xlabel("epoch; a gap: a new round begins")
    legend(figure)
    return png(figure)


def _curves(
    panel: Any, arms: Mapping[str, Sequence[Sequence[Mapping[str, float]]]], column: str, names: Mapping[str, str]
) -> None:
    style: dict[str, Any] = {"marker": ".", "markersize": 4, "linewidth": 1.4}
    first, *others = (tables[0] for tables in arms.values())
    shared = bool(others) and all(table == first for table in others)
    if shared:
        values = [row.get(column, np.nan) for row in first]
        panel.plot(range(1, len(first) + 1), values, color="black", label="first teacher", **style)
    for number, (arm, tables) in enumerate(arms.items()):
        x: list[float] = []
        y: list[float] = []
        for start, rows in list(zip(np.cumsum([0, *map(len, tables)]), tables, strict=False))[shared:]:
            x += [*(start + 1 + epoch for epoch in range(len(rows))), float(start + len(rows))]
            y += [*(row.get(column, np.nan) for row in rows), np.nan]
        panel.plot(x, y, color=colour(arm, number), label=line_label(names.get(arm, arm)), **style)


def confusion_figure(matrices: Mapping[str, Sequence[Sequence[int]]], classes: Sequence[str]) -> bytes:
    """Confusion matrices side by side, each row in percent of its true class."""
    figure, panels = _squares(len(matrices), len(classes))
    for panel, (title, matrix) in zip(panels, matrices.items(), strict=True):
        share = _shares(matrix)
        panel.imshow(share, cmap="Blues", vmin=0, vmax=100)
        _label(panel, classes, share, "", 60)
        panel.set_title(textwrap.fill(title, 48), fontsize=10)
    return png(figure)


def change_figure(
    before: Sequence[Sequence[int]], after: Sequence[Sequence[int]], classes: Sequence[str], title: str = "change"
) -> bytes:
    """What changed between two confusion matrices, in points; blue is better, red is worse, wherever it stands."""
    figure, panels = _squares(1, len(classes))
    change = _shares(after) - _shares(before)
    better = np.where(np.eye(len(change), dtype=bool), change, -change)
    scale = max(5.0, float(np.nanmax(np.abs(change), initial=0.0)))
    panels[0].imshow(better, cmap="RdBu", vmin=-scale, vmax=scale)
    _label(panels[0], classes, change, "+", 0.65 * scale)
    panels[0].set_title(title, fontsize=10)
    return png(figure)


def gains_figure(classes: Sequence[str], gains: Sequence[Difference | None], title: str) -> bytes:
    """Gain of each class with its 95 % interval; of many classes, the 20 that changed most."""
    order = sorted((i for i, gain in enumerate(gains) if gain), key=lambda i: -abs(gains[i].points))  # type: ignore[union-attr]
    order = sorted(order[:BARS])
    shown = [gains[i] for i in order]
    ends = [[max(0.0, min(g.half, 100 + side * g.points)) for side in (1, -1)] for g in shown if g]  # of few images
    figure, panel = chart(title, "", 0.9 + 0.28 * len(order))
    panel.barh(
        range(len(order)),
        [g.points for g in shown if g],
        xerr=np.array(ends).reshape(-1, 2).T,
        color=["#2166ac" if g.points >= 0 else "#b2182b" for g in shown if g],
        error_kw={"elinewidth": 1.0, "capsize": 2.5, "ecolor": "k"},
    )
    panel.axvline(0, color="#475569", linewidth=0.8)
    panel.set_yticks(range(len(order)), [class_label(classes[i]) for i in order], fontsize=9)
    panel.invert_yaxis()
    panel.set_xlabel("points of accuracy, with 95 % interval")
    panel.xaxis.set_major_locator(MaxNLocator(7))
    return png(figure)


def _squares(count: int, classes: int) -> tuple[Figure, Any]:
    size = min(max(WIDTH - 0.6, 0.55 * classes), 9.0)
    figure = Figure((size * count + 0.6, size + 0.5), layout="constrained")
    return figure, figure.subplots(1, count, squeeze=False)[0]


def _shares(matrix: Sequence[Sequence[int]]) -> np.ndarray:
    """Percent of each row; NaN in the row of a class without an image."""
    counts = np.asarray(matrix, dtype=float)
    total = counts.sum(1, keepdims=True)
    return 100 * np.divide(counts, total, out=np.full_like(counts, np.nan), where=total > 0)


def _label(panel: Any, classes: Sequence[str], values: np.ndarray, sign: str, dark: float) -> None:
    panel.set_facecolor("#e2e8f0")  # of a class without an image
    if len(classes) <= NUMBERED_CLASSES:
        for (row, column), value in np.ndenumerate(values):
            if np.isfinite(value):
                ink = "w" if abs(value) > dark else "k"
                panel.text(
                    column,
                    row,
                    whole(value, sign),
                    ha="center",
                    va="center",
                    fontsize=8,
                    color=ink,
                )
    if len(classes) <= NAMED_CLASSES:
        names = list(map(class_label, classes))
        panel.set_xticks(range(len(classes)), names, rotation=45, ha="right", fontsize=8)
        panel.set_yticks(range(len(classes)), names, fontsize=8)
    panel.set_ylabel("true class", fontsize=8)
    panel.set_xlabel("predicted class", fontsize=8)
