"""What a run found: a table for the terminal, and one self-contained ``report.html`` for everyone else."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pasm_aug.core.files import write_atomic, write_text
from pasm_aug.report import (
    cost_sections,
    found_sections,
    occlusion_sections,
    partition_sections,
    point_sections,
    sections,
)
from pasm_aug.report.answer import answer
from pasm_aug.report.gallery import gallery_picks
from pasm_aug.report.method import method_name, what_was_done
from pasm_aug.report.movement import open_points
from pasm_aug.report.outcome import duration, stage_seconds, table_rows, text_table
from pasm_aug.report.page import bullets, contents, facts, headline, page, paragraph, section
from pasm_aug.report.partitions import open_partitions
from pasm_aug.report.regions import region_sentence, region_shares
from pasm_aug.report.run_folder import Run
from pasm_aug.report.sections import Report
from pasm_aug.report.settings_section import Changed
from pasm_aug.report.titles import run_title
from pasm_aug.report.verdict import FITTED, cautions, labels_trusted, picked_sentences, verdict
from pasm_aug.rounds.results import RoundResult

__all__ = [
    "FITTED",
    "gallery_picks",
    "region_sentence",
    "region_shares",
    "stage_seconds",
    "table_rows",
    "text_table",
    "verdict",
    "write_report",
]

FOLDED = ("movement", "training", "costs", "settings")
SECTIONS: dict[str, tuple[str, Callable[[Report], list[str]]]] = {
    "accuracy": ("Accuracy", sections.accuracy),
    "classes": ("Classes, before and after", sections.classes),
    "occlusion": ("Under occlusion", occlusion_sections.occlusion),
    "labels": ("Which labels were believed", partition_sections.believed),
    "found": ("What was found of the wrong labels", found_sections.found),
    "suspects": ("The most suspicious labels", partition_sections.suspects),
    "gallery": ("What is erased", point_sections.gallery),
    "positions": ("Where the points lie", point_sections.positions),
    "movement": ("How the points and the teacher moved", point_sections.movement),
    "training": ("Training", sections.training),
    "costs": ("What it cost", cost_sections.costs),
    "settings": ("Settings: the same again", sections.options),
}


def write_report(
    out: str | Path,
    arms: Mapping[str, list[RoundResult]],
    dataset: Any,
    *,
    config: Mapping[str, Any],
    seconds: Mapping[str, float],
    size: float | int,
    changed: Changed | None = None,
) -> Path:
    """Write ``figures/`` and ``report.html`` (which holds them) for the arms of a run; returns its path.

    A part that cannot be made, such as one whose file is damaged, says so in its place; the others stand.

    Args:
        dataset: the training split as it was mined, with ``classes`` and ``labels``; ``None`` where it is not
            at hand: then there are no images and no maps.
        size: of the erased square, as in :class:`~pasm_aug.transforms.erase.PointAdversarialErase`.
        changed: option → (what it was, its default) of those that differ; default: all of ``config`` is shown.
    """
    run = Run(Path(out), dict(arms), dict(config))
    points, damaged = open_points(run.main)
    partitions, unread = open_partitions(arms)
    for error in unread:
        warnings.warn(f"report: {error}", stacklevel=2)
    report = Report(run, dataset, _classes(run, dataset), points, dict(seconds), size, partitions, changed=changed)
    left_out = [f"Left out: {error}" for error in damaged + unread]
    if dataset is None:
        left_out.append("Without the training images of the run: no galleries, no maps.")
    made = {name: _attempt(title, make, report) for name, (title, make) in SECTIONS.items()}
    made = {name: parts for name, parts in made.items() if parts}
    folder = run.folder / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in report.images.items():
        write_atomic(folder / name, data)
    title = run_title(config, run.model)
    body = [
        headline(title, method_name(run)),
        *_attempt("Did it help?", lambda report: answer(report.run.arms), report),
        bullets(_said(report), "verdict"),
        *(paragraph(text, "note") for text in left_out),
        facts(_about(run, report)),
        contents({name: SECTIONS[name][0] for name in made}),
        section("method", "What was done", map(paragraph, what_was_done(run)), folded=True),
        *(section(name, SECTIONS[name][0], parts, folded=name in FOLDED) for name, parts in made.items()),
    ]
    write_text(run.folder / "report.html", page(f"{title}: {run.folder.resolve().name}", body))
    return run.folder / "report.html"


def _said(report: Report) -> list[str]:
    """What is to be known beside the answer, in sentences."""
    arms = report.run.arms
    trusted = labels_trusted(report.run.config) and not report.partitions
    return [*picked_sentences(arms), *cautions(arms, trusted=trusted), *found_sections.found_sentences(report)]


def _attempt(title: str, make: Callable[[Report], list[str]], report: Report) -> list[str]:
    """A section, or a word on why it could not be made: whatever fails must not cost the reader the rest."""
    try:
        return make(report)
    except Exception as error:
        warnings.warn(f"report: {title!r} could not be made: {error!r}", stacklevel=2)
        return [paragraph(f"This part could not be made: {error}", "note")]


def _classes(run: Run, dataset: Any) -> list[str]:
    """Names of the classes: of the data, of the network, or numbers."""
    names = getattr(dataset, "classes", None) or run.model.get("classes")
    return [str(name) for name in names or range(len(run.main[0].train.per_class))]


def _about(run: Run, report: Report) -> dict[str, str]:
    """What ran, in a few words."""
    first = run.main[0]
    splits = ((first.train, "training"), (first.val, "validation"), (first.test, "test"))
    counts = ", ".join(f"{scores.count:,} {name}" for scores, name in splits if scores)
    side = run.model.get("image_size") or run.config.get("image_size")
    told = {
        "Images": f"{counts}{f' of {side}×{side}' if side else ''}, {len(report.classes)} classes",
        "Seed": str(run.config.get("seed", "")),
        "Time": duration(sum(report.seconds.values())) if report.seconds else "",
        "Ended": _ended(run),
        "Labels": run.noise,
        "Rounds": run.stopped or str(run.main[-1].round),
    }
    return {name: text for name, text in told.items() if text}


def _ended(run: Run) -> str:
    """When the last result was written."""
    files = [Path(r.folder) / "result.json" for results in run.arms.values() for r in results]
    times = [file.stat().st_mtime for file in files if file.exists()]
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(max(times))) if times else ""
