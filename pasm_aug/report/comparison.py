"""Several runs side by side, on one self-contained page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pasm_aug.core.errors import UserError
from pasm_aug.core.files import write_text
from pasm_aug.report.difference import Difference, difference
from pasm_aug.report.figures import accuracy_figure, curves_figure
from pasm_aug.report.outcome import arms_sentence, duration, network_name, percent
from pasm_aug.report.page import bullets, contents, figure, grid, page, paragraph, section, table
from pasm_aug.report.run_folder import Run, read_metrics
from pasm_aug.rounds.results import best_round
from pasm_aug.training.metrics import Metrics

RUNS = (
    "The round of each run that validation picked. Percent of images classified rightly; "
    "± is half the 95 % interval (Wilson). "
    "The difference is in points of test accuracy, with its own 95 % interval; it is left out where the runs were "
    "tested on other images. It covers the choice of the images, not that of the seed, which may move a network by "
    "a point or two: give each setting several seeds. Choose between runs by validation: a choice by test accuracy "
    "flatters the chosen one."
)


def write_comparison(path: str | Path, runs: Sequence[Run]) -> Path:
    """Write a page that compares finished runs, each by its main arm, with the first of them; returns its path.

    Raises:
        ValueError: fewer than two runs, or one given twice.
    """
    folders = [run.folder.resolve() for run in runs]
    if len(runs) < 2 or len(set(folders)) < len(folders):
        raise UserError(f"two or more different runs are needed, got {', '.join(map(str, folders))}")
    names = run_names(folders)
    parts = {
        "runs": ("Runs", _runs(names, runs)),
        "options": ("Options that differ", _options(names, runs)),
        "accuracy": ("Accuracy", _curves(names, runs)),
        "costs": ("What they cost", _costs(names, runs)),
    }
    body = [
        "<h1>Runs side by side</h1>",
        bullets(_headlines(names, runs), "verdict"),
        contents({name: title for name, (title, _) in parts.items()}),
        *(section(name, title, inside) for name, (title, inside) in parts.items()),
    ]
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_text(path, page("PASM: runs side by side", body))
    return Path(path)


def run_names(folders: Sequence[Path]) -> list[str]:
    """The shortest ends of the paths that tell the folders apart."""
    for length in range(1, max(len(folder.parts) for folder in folders) + 1):
        names = ["/".join(folder.parts[-length:]) for folder in folders]
        if len(set(names)) == len(names):
            break
    return names


def comparable(before: Metrics | None, after: Metrics | None) -> Difference | None:
    """The difference of two networks, or ``None`` where they were scored on other images.

    That is told from the label of every image, or from the number of each class where only that is known.
    """
    if before is None or after is None:
        return None
    if before.predictions is not None and after.predictions is not None:
        same = np.array_equal(before.predictions[0], after.predictions[0])
    else:
        same = np.array_equal(np.asarray(before.confusion).sum(1), np.asarray(after.confusion).sum(1))
    return difference(before, after) if same else None


def _headlines(names: Sequence[str], runs: Sequence[Run]) -> list[str]:
    picked = [best_round(run.main) for run in runs]
    best = max(range(len(runs)), key=lambda i: picked[i].val.accuracy)
    lines = [
        f"Highest on validation: {names[best]} ({network_name(picked[best])}), {picked[best].val.accuracy:.1%} right"
        + (f"; on test {test.accuracy:.1%}." if (test := picked[best].test) else ".")
    ]
    if best and (gain := comparable(picked[0].test, picked[best].test)):
        lines.append(f"Against {names[0]}, on test: {gain} points, {gain.word}.")
    return lines


def _runs(names: Sequence[str], runs: Sequence[Run]) -> list[str]:
    first, rows = best_round(runs[0].main), []
    for name, run in zip(names, runs, strict=True):
        picked = best_round(run.main)
        gain = None if run is runs[0] else comparable(first.test, picked.test)
        rows.append(
            (
                name,
                percent(picked.val),
                percent(picked.test),
                str(gain) if gain else "–",
                gain.word if gain else "",
                f"{picked.round} of {run.main[-1].round}",
                arms_sentence(run.arms).partition(",")[0],
                str(run.config.get("data", "–")),
                str(run.config.get("seed", "–")),
            )
        )
    head = ("run", "validation", "test", f"against {names[0]}", "", "round", "arm", "data", "seed")
    stopped = [f"{name}: {run.stopped}" for name, run in zip(names, runs, strict=True) if run.stopped]
    parts = [table(head, rows, caption=RUNS, text=(4, 6))]
    return [*parts, paragraph("Why they stopped", "note"), bullets(stopped)] if stopped else parts


def _options(names: Sequence[str], runs: Sequence[Run]) -> list[str]:
    options = {option: [run.config.get(option, "–") for run in runs] for run in runs for option in run.config}
    rows = [
        (option, *("none" if value is None else str(value) for value in values))
        for option, values in options.items()
        if any(value != values[0] for value in values)
    ]
    if not rows:
        return [paragraph("None: the runs have the same options.")]
    return [table(("option", *names), rows, caption=f"{len(options) - len(rows)} other options are the same.")]


def _curves(names: Sequence[str], runs: Sequence[Run]) -> list[str]:
    arms = {name: run.main for name, run in zip(names, runs, strict=True)}
    epochs = {name: [rows for r in results if (rows := read_metrics(r))] for name, results in arms.items()}
    epochs = {name: tables for name, tables in epochs.items() if tables}
    charts = [
        figure(accuracy_figure(arms, ("val", "test"), {}), "Accuracy of each run on validation and on test, by round."),
    ]
    if epochs:
        chart = curves_figure(epochs, {"val_accuracy": "accuracy on validation"}, {})
        charts.append(figure(chart, "Accuracy of each run on validation, over the epochs of all rounds."))
    return [grid(charts)]


def _costs(names: Sequence[str], runs: Sequence[Run]) -> list[str]:
    spent = [{kind: sum(r.seconds.get(kind, 0.0) for r in run.main) for kind in ("mine", "train")} for run in runs]
    totals = [sum(sum(r.seconds.values()) for r in run.main) for run in runs]
    rows = [
        (
            name,
            duration(total),
            duration(kinds["mine"]),
            duration(kinds["train"]),
            f"{sum(r.queries for r in run.main):,}",
        )
        for name, run, kinds, total in zip(names, runs, spent, totals, strict=True)
    ]
    shares = [total / max(*totals, 1e-9) for total in totals]
    head = ("run", "all", "mining", "training", "queries")
    return [table(head, rows, caption="Cost of each run's main arm, its first teacher among it.", shares=shares)]
