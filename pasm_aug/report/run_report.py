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
from pasm_aug.report.gallery import gallery_picks
from pasm_aug.report.movement import open_points
from pasm_aug.report.outcome import arms_sentence, duration, main_arm, stage_seconds, table_rows, text_table
from pasm_aug.report.page import bullets, contents, facts, page, paragraph, section
from pasm_aug.report.partitions import open_partitions
from pasm_aug.report.regions import region_sentence, region_shares
from pasm_aug.report.run_folder import Run
from pasm_aug.report.sections import Report
from pasm_aug.report.verdict import FITTED, labels_trusted, verdict, verdict_sentences
from pasm_aug.rounds.results import RoundResult, best_round

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

WHAT = (
    "A teacher network is trained. For each training image a search finds the one pixel whose change hurts the "
    "teacher most; a square is erased there; a student learns from the erased images and from the teacher's "
    "predictions on the whole ones. If the student is better on the validation split, it becomes the next teacher. The "
    "other arms do the same with another way of erasing, or none, and the same number of epochs."
)
WHAT_ONLINE = (
    "A teacher network is trained. A student goes on from it, and in every step of its training the square that hurts "
    "it most is searched and erased in each image; it learns from the erased images and from the teacher's predictions "
    "on the whole ones. The other arms do the same with another way of erasing, or none, and the same number of epochs."
)
WHAT_ASM = (
    "A pair of networks is trained by Adaptive Sample Mining, which sorts out the labels that are probably wrong. A "
    "student pair goes on from it in the same way and learns from the first pair's predictions too. Nothing is erased."
)
SORTED = (
    "The networks are pairs trained by Adaptive Sample Mining, which sorts out the labels that are probably wrong; "
    "{erased}."
)
PLAIN = "Plain training is another pair that believes every label, its first teacher too, for as many epochs."
ERASED = {
    "clean": "only images whose label is believed are erased",
    "noise": "only images whose label is called noise are erased",
    "all": "images are erased whatever their label is called",
    "suspect": "only images whose label is not believed are erased, and the label loses weight for it",
}
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
    "settings": ("Settings", sections.options),
}


def write_report(
    out: str | Path,
    arms: Mapping[str, list[RoundResult]],
    dataset: Any,
    *,
    config: Mapping[str, Any],
    seconds: Mapping[str, float],
    size: float | int,
) -> Path:
    """Write ``figures/`` and ``report.html`` (which holds them) for the arms of a run; returns its path.

    A part that cannot be made, such as one whose file is damaged, says so in its place; the others stand.

    Args:
        dataset: the training split as it was mined, with ``classes`` and ``labels``; ``None`` where it cannot be
            opened: then there are no images and no maps.
        size: of the erased square, as in :class:`~pasm_aug.transforms.erase.PointAdversarialErase`.
    """
    run = Run(Path(out), dict(arms), dict(config))
    points, damaged = open_points(run.main)
    partitions, unread = open_partitions(arms)
    for error in unread:
        warnings.warn(f"report: {error}", stacklevel=2)
    report = Report(run, dataset, _classes(run, dataset), points, dict(seconds), size, partitions)
    trusted = labels_trusted(config) and not partitions
    made = {name: _attempt(title, make, report) for name, (title, make) in SECTIONS.items()}
    made = {name: parts for name, parts in made.items() if parts}
    folder = run.folder / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in report.images.items():
        write_atomic(folder / name, data)
    body = [
        f"<h1>{_title(run)}</h1>",
        bullets([*verdict_sentences(arms, trusted=trusted), *found_sections.found_sentences(report)], "verdict"),
        facts(_about(run, report)),
        *(paragraph(f"Left out: {error}", "note") for error in damaged + unread),
        *(
            []
            if dataset is not None
            else [paragraph("The training images cannot be opened: no galleries, no maps.", "note")]
        ),
        contents({name: SECTIONS[name][0] for name in made}),
        *(paragraph(text) for text in _what(run)),
        *(section(name, SECTIONS[name][0], parts) for name, parts in made.items()),
    ]
    write_text(run.folder / "report.html", page(f"PASM: {run.folder.resolve().name}", body))
    return run.folder / "report.html"


def _title(run: Run) -> str:
    if main_arm(run.arms) in ("asm", "plain"):
        return "Adaptive Sample Mining"
    return f"Point Adversarial Self Mining{' with Adaptive Sample Mining' if _sorts(run) else ''}"


def _sorts(run: Run) -> bool:
    return run.config.get("method") in ("asm", "pasm+asm")


def _what(run: Run) -> list[str]:
    """What such a run does."""
    arm, plain = main_arm(run.arms), [PLAIN] if "plain" in run.arms else []
    if arm in ("asm", "plain"):
        return [" ".join([WHAT_ASM, *plain])]
    how = SORTED.format(erased=ERASED.get(str(run.config.get("asm_erase")), ERASED["clean"]))
    return [WHAT_ONLINE if arm == "online" else WHAT, *([" ".join([how, *plain])] if _sorts(run) else [])]


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
    """What ran, in a few lines."""
    first, picked, config = run.main[0], best_round(run.main), run.config
    splits = ((first.train, "training"), (first.val, "validation"), (first.test, "test"))
    counts = ", ".join(f"{scores.count:,} {name}" for scores, name in splits if scores)
    side = run.model.get("image_size") or config.get("image_size")
    images = f"images of {side}×{side}" if side else "images"
    told = {
        "Data": f"{config.get('data', '')}: {counts} {images}, {len(report.classes)} classes".removeprefix(": "),
        "Labels": run.noise,
        "Network": str(run.model.get("architecture") or config.get("model") or ""),
        "Arms": arms_sentence(run.arms),
        "Rounds": f"{run.main[-1].round}; picked by validation: round {picked.round}"
        + ("" if picked.round else " (the first teacher)"),
        "Why it stopped": run.stopped,
        "Seed": str(config.get("seed", "")),
        "Time": duration(sum(report.seconds.values())) if report.seconds else "",
        "Last result written": _ended(run),
    }
    return {name: text for name, text in told.items() if text}


def _ended(run: Run) -> str:
    """When the last result was written."""
    files = [Path(r.folder) / "result.json" for results in run.arms.values() for r in results]
    times = [file.stat().st_mtime for file in files if file.exists()]
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(max(times))) if times else ""
