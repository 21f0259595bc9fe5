"""What a run found: a table for the terminal, and one self-contained ``report.html`` for everyone else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pasm_aug.arms import AUGMENTS
from pasm_aug.cache import PositionCache
from pasm_aug.figures import accuracy_figure, confusion_figure, gallery_figure, heatmap_figure
from pasm_aug.files import write_atomic
from pasm_aug.outcome import FITTED, stage_seconds, table_rows, text_table, verdict
from pasm_aug.page import figure, page, paragraph, settings, table
from pasm_aug.results import RoundResult, best_round

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

GALLERY = 8  # pictures a row

WHAT = (
    "A teacher network is trained. For each training picture a search finds the one pixel whose change hurts the "
    "teacher most; a square is erased there; a student learns from the erased pictures and from the teacher's "
    "answers on the whole ones. If the student is better on the validation split, it becomes the next teacher. The "
    "other arms do the same with another way of erasing, or none, and the same number of epochs."
)
HOW = (
    "Percent of pictures classified rightly; ± is the 95 % interval that the size of the split allows. Rounds are "
    "picked on validation; the test split was scored once, after the run had stopped."
)
GALLERY_CAPTION = (
    "Training pictures as they are, and with the square that each round mined, in the colour found. p: the teacher's "
    "probability of the true class before and after changing that one pixel."
)


def region_shares(dataset: Any, cache: PositionCache) -> tuple[float, float] | None:
    """(share of mined points inside the expression's regions, the regions' share of the face), or ``None``.

    Only for data sets that tell ``regions(index)`` and ``face_box(index)``: the synthetic faces do.
    """
    faces = getattr(dataset, "source", dataset)
    if not hasattr(faces, "regions"):
        return None
    found = cache.lookup(indices=np.arange(len(dataset)))
    inside, area = [], []
    for index in np.flatnonzero(found.hit):
        x, y = found.xy[index, 0]
        left, top, right, bottom = faces.face_box(int(index))
        grid_y, grid_x = np.mgrid[int(top) : int(np.ceil(bottom)), int(left) : int(np.ceil(right))]
        covered = np.zeros(grid_x.shape, bool)
        hit = False
        for l, t, r, b in faces.regions(int(index)):  # noqa: E741
            covered |= (grid_x >= l) & (grid_x < r) & (grid_y >= t) & (grid_y < b)
            hit |= l <= x < r and t <= y < b
        inside.append(hit)
        area.append(covered.mean())
    return float(np.mean(inside)), float(np.mean(area))


def gallery_picks(labels: np.ndarray) -> list[int]:
    """Up to ``GALLERY`` indices: the first picture of each class, then the second of each, and so on."""
    turn = np.empty(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        turn[members] = np.arange(len(members))
    return [int(index) for index in np.lexsort((labels, turn))[:GALLERY]]


def write_report(
    out: str | Path,
    arms: Mapping[str, list[RoundResult]],
    dataset: Any,
    *,
    config: Mapping[str, Any],
    seconds: Mapping[str, float],
    size: float | int,
) -> Path:
    """Write ``figures/*.png`` and ``report.html`` (which holds them) for the arms of a run; returns its path.

    Args:
        dataset: the training split as it was mined, with ``classes`` and ``labels``.
        size: of the erased square, as in :class:`~pasm_aug.transforms.PointAdversarialErase`.
    """
    out = Path(out)
    figures: dict[str, bytes] = {"accuracy": accuracy_figure(dict(arms))}
    first = next(iter(arms.values()))[0]
    picked = {arm: best_round(results) for arm, results in arms.items()}
    if first.test:
        matrices = {"first teacher": first.test.confusion}
        last = (
            next(iter(picked.values())) if first is not next(iter(picked.values())) else next(iter(arms.values()))[-1]
        )
        if last.test and last is not first:
            matrices[f"{AUGMENTS[last.arm].split(':')[0]}, round {last.round}"] = last.test.confusion
        figures["confusion"] = confusion_figure(matrices, dataset.classes)
    caches = {r.round: Path(r.folder) / "positions.safetensors" for r in arms.get("point", [])}
    opened = {number: PositionCache.open(path) for number, path in caches.items() if path.exists()}
    shares = {}
    if opened:
        picks = gallery_picks(dataset.labels)
        figures["gallery"] = gallery_figure(dataset, picks, opened, size)
        for number, cache in opened.items():
            figures[f"heatmap-round-{number}"] = heatmap_figure(dataset, cache)
            shares[number] = region_shares(dataset, cache)
    (out / "figures").mkdir(parents=True, exist_ok=True)
    for name, data in figures.items():
        write_atomic(out / "figures" / f"{name}.png", data)
    page = _page(arms, figures, {k: v for k, v in shares.items() if v}, config, seconds)
    write_atomic(out / "report.html", page.encode())
    return out / "report.html"


def region_sentence(number: int, shares: tuple[float, float]) -> str:
    """What :func:`region_shares` found, for people."""
    return (
        f"Round {number}: {shares[0]:.0%} of the mined points lie in the features that carry the expression, which are "
        f"{shares[1]:.0%} of the face's area ({shares[0] / max(shares[1], 1e-9):.1f} times chance)."
    )


def _page(
    arms: Mapping[str, list[RoundResult]],
    figures: Mapping[str, bytes],
    shares: Mapping[int, tuple[float, float]],
    config: Mapping[str, Any],
    seconds: Mapping[str, float],
) -> str:
    rows = table_rows(arms)
    parts = [
        "<h1>Point Adversarial Self Mining</h1>",
        paragraph(verdict(arms), "verdict"),
        paragraph(WHAT),
        "<h2>Accuracy</h2>",
        table(("arm", "round", "train", "validation", "test", ""), rows, [bool(row[5]) for row in rows]),
        paragraph(HOW, "note"),
        figure(figures["accuracy"], "Accuracy of every arm, round by round, with 95 % intervals."),
    ]
    if "gallery" in figures:
        parts += ["<h2>What is erased</h2>", figure(figures["gallery"], GALLERY_CAPTION)]
    for name, picture in figures.items():
        if name.startswith("heatmap"):
            number = int(name.rsplit("-", 1)[1])
            parts.append(f"<h2>Where the points lie, round {number}</h2>")
            if number in shares:
                parts.append(paragraph(region_sentence(number, shares[number])))
            parts.append(figure(picture, "Density of the mined points of each class over its mean picture (how many)."))
    if "confusion" in figures:
        caption = "Test split; rows are true classes, columns predicted ones, in percent of the row."
        parts += ["<h2>Which classes are confused</h2>", figure(figures["confusion"], caption)]
    queries = sum(r.queries for results in arms.values() for r in results)
    cost = [(name, f"{value:.1f} s") for name, value in seconds.items()]
    parts += ["<h2>What it cost</h2>", table(("stage", "time"), cost) if cost else ""]
    parts += [paragraph(f"{queries:,} queries of the teacher in all searches.", "note"), "<h2>Settings</h2>"]
    return page("PASM run", [*parts, settings(config)])
