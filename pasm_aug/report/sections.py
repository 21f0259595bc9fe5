"""The sections of a run's report: each takes the report so far, and gives the HTML of its part."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pasm_aug.report.difference import class_differences
from pasm_aug.report.figures import accuracy_figure, change_figure, confusion_figure, curves_figure, gains_figure
from pasm_aug.report.maps import mean_images
from pasm_aug.report.movement import RoundPoints
from pasm_aug.report.outcome import gain_rows, network_name, table_rows
from pasm_aug.report.page import figure, grid, is_jpeg, paragraph, settings, table
from pasm_aug.report.partitions import Sorted
from pasm_aug.report.run_folder import Run, read_metrics
from pasm_aug.rounds.results import RoundResult, best_round

HOW = (
    "Percent of images classified rightly; ± is half the 95 % interval (Wilson) that the size of the split allows. "
    "Rounds are picked on validation; the test split was scored once, after the run had stopped. Under a square: test "
    "images that are right under a grey square of 13/48 of the image, mean over its places / right at all of them. "
    "Erased: share of the pixels of the training images."
)
NOISY = " Accuracy on the training images counts the labels as given, the wrong ones among them."
PAIRED = (
    "Gains in points of accuracy, with 95 % intervals; won: test images that only the first of the two has right. "
    "Where the predictions of every image are known, only those count on which the two disagree, so these intervals "
    "are narrower than those of the accuracies. They tell how far other test images would move a gain; another "
    "seed moves it too, often by a point or two, and only runs with several seeds show that."
)
MISTAKES = 8  # rows of the table of mistakes


@dataclass
class Report:
    """What the sections read, and the images they made, by name.

    Attributes:
        dataset: the training split as it was mined, with ``classes`` and ``labels``; ``None`` if it cannot be opened.
        points: the places of the main arm's rounds.
        size: of the erased square.
        partitions: of all networks that sorted their labels.
    """

    run: Run
    dataset: Any
    classes: list[str]
    points: list[RoundPoints]
    seconds: dict[str, float]
    size: float | int
    partitions: list[Sorted] = field(default_factory=list)
    images: dict[str, bytes] = field(default_factory=dict)

    @functools.cached_property
    def means(self) -> dict[int, np.ndarray]:
        """Mean image of each class."""
        return mean_images(self.dataset)

    def draw(self, name: str, image: bytes, caption: str) -> str:
        """Keep an image and give its HTML."""
        self.images[f"{name}.{'jpg' if is_jpeg(image) else 'png'}"] = image
        return figure(image, caption)


def accuracy(report: Report) -> list[str]:
    """Accuracy of every network, and the gains between them."""
    arms = report.run.arms
    rows = [(_network(row), *row[2:7]) for row in table_rows(arms)]
    picked = [bool(row[-1]) for row in table_rows(arms)]
    charts = [
        report.draw(f"accuracy-{name}", accuracy_figure(arms, split), f"Accuracy on the {name} split, by round.")
        for split, name in (("val", "validation"), ("test", "test"))
        if any(getattr(r, split) for results in arms.values() for r in results)
    ]
    head = ("network", "train", "validation", "test", "under a square", "erased")
    parts = [table(head, rows, picked, caption=HOW + NOISY * bool(report.run.noise)), grid(charts)]
    if gains := gain_rows(arms):
        titles = ("network", "validation", "test", "on test", "won / lost")
        parts.append(table(titles, gains, caption=PAIRED, text=(3,)))
    return parts


def _network(row: tuple[str, ...]) -> str:
    """A network's name, from its row of the table; in one narrow column, for a phone."""
    name = row[0].partition(":")[0]
    name = name if row[1] == "0" else f"{name}, round {row[1]}"
    return f"{name} ◀ picked" if row[-1] else name


def classes(report: Report) -> list[str]:
    """Confusion before and after, and what each class gained."""
    first, after = report.run.main[0], compared(report.run.main)
    if not first.test:
        return [paragraph("The test split was not scored.")]
    networks = {"before": (first, "first teacher"), "after": (after, network_name(after))}
    charts = [
        report.draw(
            f"confusion-{key}",
            confusion_figure({title: result.test.confusion}, report.classes),
            f"Confusion on the test split, {title}: percent of each true class; grey: a class without an image.",
        )
        for key, (result, title) in networks.items()
        if result.test and (key == "before" or after is not first)
    ]
    if after is first or not after.test:
        return [grid(charts)]
    title, matrices = f"round {after.round} − first teacher", (first.test.confusion, after.test.confusion)
    change = change_figure(*matrices, report.classes, title)
    text = "What changed, in points: blue is better (more right predictions, fewer mistakes), red is worse."
    charts.append(report.draw("confusion-change", change, text))
    gains = gains_figure(report.classes, class_differences(first.test, after.test), title)
    text = "Gain of each class on the test split"
    text += "; of many classes, the 20 that changed most." if len(report.classes) > 20 else "."
    charts.append(report.draw("class-gains", gains, text))
    return [grid(charts), *_mistakes(report, np.asarray(matrices), after.round)]


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
    """Loss, validation accuracy and erased share over the epochs of every arm."""
    tables = {arm: [t for r in results if (t := read_metrics(r))] for arm, results in report.run.arms.items()}
    tables = {arm: rounds for arm, rounds in tables.items() if rounds}
    charts, given = [], ", by the labels as given" * bool(report.run.noise)
    for column, title in (
        ("val_accuracy", "accuracy on validation"),
        ("running_accuracy", f"accuracy on the training images, as seen{given}"),
        ("loss", "loss (students': with the distillation)"),
        ("erased_share", "share of the pixels erased"),
    ):
        values = [row.get(column, np.nan) for rounds in tables.values() for rows in rounds for row in rows]
        if np.any(np.isfinite(values)) and np.nanmax(values) > 0:
            caption = f"Over the epochs of all rounds: {title}."
            charts.append(report.draw(f"training-{column}", curves_figure(tables, column, title), caption))
    return [grid(charts)] if charts else []


def options(report: Report) -> list[str]:
    """The options of the run."""
    return [settings(report.run.config)]


def compared(results: list[RoundResult]) -> RoundResult:
    """The network to set against the first teacher: the picked one, or the last if the first teacher was picked."""
    picked = best_round(results)
    return picked if picked.round else results[-1]
