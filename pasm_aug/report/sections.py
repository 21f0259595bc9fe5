"""The sections of a run's report: each takes the report so far, and gives the HTML of its part."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pasm_aug.report.difference import class_differences
from pasm_aug.report.figures import accuracy_figure, change_figure, confusion_figure, curves_figure, gains_figure
from pasm_aug.report.maps import mean_images
from pasm_aug.report.movement import RoundPoints, distinct
from pasm_aug.report.outcome import gain_rows, network_name, table_rows
from pasm_aug.report.page import figures, grid, is_jpeg, more, paragraph, table
from pasm_aug.report.partitions import Sorted
from pasm_aug.report.run_folder import Run, read_metrics
from pasm_aug.report.settings_section import Changed, settings
from pasm_aug.rounds.results import RoundResult, best_round

HOW = "Percent right; ± is half the 95 % interval (Wilson). ◀: what validation picks."
NOISY = " Training accuracy counts the labels as given, the wrong ones among them."
GAINS = "Points of accuracy with 95 % intervals; won: test images that only the first of the two networks has right."
MISTAKES = 8  # rows of the table of mistakes


@dataclass
class Report:
    """What the sections read, and the images they made, by name.

    Attributes:
        dataset: the training split as it was mined, with ``classes`` and ``labels``; ``None`` if it cannot be opened.
        points: the places of the main arm's rounds.
        size: of the erased square.
        partitions: of all networks that sorted their labels.
        changed: options that differ from their defaults; ``None`` where these are not known.
    """

    run: Run
    dataset: Any
    classes: list[str]
    points: list[RoundPoints]
    seconds: dict[str, float]
    size: float | int
    partitions: list[Sorted] = field(default_factory=list)
    changed: Changed | None = None
    images: dict[str, bytes] = field(default_factory=dict)

    @functools.cached_property
    def distinct(self) -> list[RoundPoints]:
        """The rounds that have points of their own."""
        return distinct(self.points)

    @functools.cached_property
    def means(self) -> dict[int, np.ndarray]:
        """Mean image of each class."""
        return mean_images(self.dataset)

    def draw(self, name: str, image: bytes, caption: str, *, alt: str = "") -> str:
        """Keep an image and give its HTML; ``alt`` tells what it shows where the caption alone does not."""
        return self.draw_all({name: image}, caption, alt=alt)

    def draw_all(self, images: Mapping[str, bytes], caption: str, *, alt: str = "") -> str:
        """Keep images by name, and give their HTML under one caption."""
        self.images |= {f"{name}.{'jpg' if is_jpeg(image) else 'png'}": image for name, image in images.items()}
        return figures(list(images.values()), caption, alt=alt)


def accuracy(report: Report) -> list[str]:
    """Accuracy of every network; folded, the gains between them."""
    arms = report.run.arms
    rows, picked, above = [], [], ""
    for name, number, train, val, test, *_, note in table_rows(arms):
        arm = name.partition(":")[0]
        rows.append((None if arm == above else arm, number + " ◀" * bool(note), train.split()[0], val, test))
        picked.append(bool(note))
        above = arm
    splits = [s for s in ("val", "test") if any(getattr(r, s) for results in arms.values() for r in results)]
    chart = report.draw("accuracy", accuracy_figure(arms, splits), "Accuracy by round, with 95 % intervals.")
    head = ("network", "round", "train", "validation", "test")
    caption = HOW + NOISY * bool(report.run.noise)
    parts = [grid([table(head, rows, picked, caption=caption), chart])]
    if gains := gain_rows(arms):
        titles = ("network", "validation", "test", "on test", "won / lost")
        parts.append(more("Gains round by round", [table(titles, gains, caption=GAINS, text=(3,))]))
    return parts


def classes(report: Report) -> list[str]:
    """What each class gained; folded, confusion before and after and the mistakes that changed most."""
    first, after = report.run.main[0], compared(report.run.main)
    if not first.test:
        return [paragraph("The test split was not scored.")]
    networks = {"confusion-before": (first, "first teacher")}
    if after is not first and after.test:
        networks["confusion-after"] = (after, network_name(after))
    before_after = report.draw_all(
        {
            key: confusion_figure({title: result.test.confusion}, report.classes)
            for key, (result, title) in networks.items()
            if result.test
        },
        "Confusion on the test split: percent of each true class; grey: a class without an image.",
    )
    if after is first or not after.test:
        return [before_after]
    title, matrices = f"{network_name(after)} − first teacher", (first.test.confusion, after.test.confusion)
    gains = gains_figure(report.classes, class_differences(first.test, after.test), title)
    text = "Gain of each class over the first teacher, which had fewer epochs, on the test split"
    text += "; of many classes, the 20 that changed most." if len(report.classes) > 20 else "."
    charts = [report.draw("class-gains", gains, text)]
    change = change_figure(*matrices, report.classes, title)
    text = "Change of the confusion, in points: blue is better (more right, fewer mistakes), red is worse."
    charts.append(report.draw("confusion-change", change, text))
    mistakes = _mistakes(report, np.asarray(matrices), after.round)
    return [grid(charts), more("Confusion before and after, and mistakes", [before_after, *mistakes])]


def _mistakes(report: Report, matrices: np.ndarray, number: int) -> list[str]:
    """The kinds of mistake whose number changed most; ``matrices`` (2, classes, classes) before and after."""
    before, after = matrices
    change = np.where(np.eye(len(before), dtype=bool), 0, after - before)
    order = [
        np.unravel_index(i, change.shape) for i in np.argsort(-np.abs(change), axis=None, kind="stable")[:MISTAKES]
    ]
    rows = [
        (
            f"{report.classes[i]} taken for {report.classes[j]}",
            f"{before[i, j]:,}",
            f"{after[i, j]:,}",
            f"{change[i, j]:+,}",
        )
        for i, j in order
        if change[i, j]
    ]
    caption = "The mistakes whose number changed most, in test images."
    return [table(("mistake", "first teacher", f"round {number}", "change"), rows, caption=caption)] if rows else []


def training(report: Report) -> list[str]:
    """Loss, accuracy and erased share over the epochs of every arm."""
    tables = {arm: [t for r in results if (t := read_metrics(r))] for arm, results in report.run.arms.items()}
    tables = {arm: rounds for arm, rounds in tables.items() if rounds}
    given = ", by the labels as given" * bool(report.run.noise)
    titles = {
        "val_accuracy": "accuracy on validation",
        "running_accuracy": "accuracy on the training images, as seen" + given,
        "loss": "loss (students': with the distillation)",
        "erased_share": "share of the pixels erased",
    }
    rows = [row for rounds in tables.values() for table in rounds for row in table]
    titles = {name: title for name, title in titles.items() if any(row.get(name, 0) > 0 for row in rows)}
    return [report.draw("training", curves_figure(tables, titles), "Over the epochs of all rounds.")] if titles else []


def options(report: Report) -> list[str]:
    """How to do the same again."""
    return settings(report.run.config, report.changed, report.run.model.get("versions") or {})


def compared(results: list[RoundResult]) -> RoundResult:
    """The network to set against the first teacher: the picked one, or the last if the first teacher was picked."""
    picked = best_round(results)
    return picked if picked.round else results[-1]
