"""The sections of a report on the points: what was erased, where the points lie, how they moved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors.torch import load

from pasm_aug.core.geometry import side_in_pixels
from pasm_aug.report.gallery import drop_picks, gallery_figures, gallery_picks, online_figures, spread
from pasm_aug.report.maps import arrow_figure, confidence_figure, distance_figure, heatmap_figures, overall_mean
from pasm_aug.report.movement import RoundPoints, movements
from pasm_aug.report.outcome import main_arm
from pasm_aug.report.page import grid, paragraph, table
from pasm_aug.report.regions import region_sentence, region_shares
from pasm_aug.report.sections import Report
from pasm_aug.rounds.folder import ERASED


def gallery(report: Report) -> list[str]:
    """Training images and what each round erased in them."""
    shown, arm = spread(report.distinct), main_arm(report.run.arms)
    if arm == "online":
        return _online_gallery(report)
    if not shown or report.dataset is None:
        return []
    text = "Training images as they are, and as each round erased them"
    if arm == "random-matched":
        text = "Training images as they are, and with the square at the mined point; this arm erases it elsewhere"
    if arm == "point":
        text += ", in the colour found. p: the teacher's probability of the true class before and after changing one "
        text += "pixel"
    picks = gallery_picks(np.asarray(report.dataset.labels))
    drawn = [_gallery(report, "gallery", picks, f"{text}.{_left_out(report, shown)}")]
    drops = drop_picks(np.asarray(report.dataset.labels), report.points, but=picks)
    if drops:
        drawn.append(_gallery(report, "gallery-drop", drops, "Where one pixel hurt the teacher most."))
    return drawn


def _left_out(report: Report, shown: list[RoundPoints]) -> str:
    """A sentence on the rounds that are not shown."""
    known = len(report.distinct)
    if len(shown) < known:
        return f" {len(shown)} of the {known} rounds that have points of their own."
    return " The other rounds erased at the points of the round before." * (known < len(report.points))


def _online_gallery(report: Report) -> list[str]:
    """Training images as the student saw them in its first and in its last epoch."""
    file = Path(report.run.main[-1].folder) / ERASED
    if report.dataset is None or not file.exists():
        return []
    text = (
        "Training images as they are, and as the student saw them: with the square that hurt it most at that moment, "
        "behind the random geometry."
    )
    drawn = online_figures(report.dataset, load(file.read_bytes()))
    return [report.draw_all({f"gallery-{n}": data for n, data in enumerate(drawn, 1)}, text)]


def _gallery(report: Report, name: str, picks: list[int], caption: str) -> str:
    drawn = gallery_figures(report.dataset, picks, spread(report.distinct), report.size)
    return report.draw_all({f"{name}-{n}": data for n, data in enumerate(drawn, 1)}, caption)


def positions(report: Report) -> list[str]:
    """Where the points lie in each class and round."""
    if not report.points or report.dataset is None:
        return []
    shown = spread(report.distinct)
    parts = [paragraph(f"The points of each class over its mean image (how many).{_left_out(report, shown)}", "note")]
    for points in shown if main_arm(report.run.arms) != "cam-region" else ():
        if shares := region_shares(report.dataset, points.used):
            parts.append(paragraph(region_sentence(points.round, shares)))
    maps = heatmap_figures(report.dataset, shown, report.means)
    drawn = (
        report.draw(
            f"heatmap-round-{number}",
            data,
            f"Round {number}" + ", on the same scale" * (len(maps) > 1),
            alt=f"Where the points of each class lie in round {number}, over the mean image of the class",
        )
        for number, data in maps.items()
    )
    return [*parts, grid(drawn)]


def movement(report: Report) -> list[str]:
    """How the points moved from round to round, and how sure the teachers were."""
    parts, charts = [], []
    moved = movements(report.points)
    teachers = {r.round: r.teacher_round for r in report.points}
    if moved:
        mean = overall_mean(report.means) if report.dataset is not None else None
        side = side_of(report.size, mean)
        rows = [
            (
                f"{m.before} → {m.after}" + (", same teacher" if teachers[m.before] == teachers[m.after] else ""),
                f"{m.stayed:.0%}",
                f"{m.within(side):.0%}" if side else "–",
                f"{np.median(m.distance):.1f}",
                f"{np.median(m.chance):.1f}",
            )
            for m in moved
        ]
        head = ("rounds", "same pixel", "less than the square's side", "median distance", "different images")
        caption = "Distance between the points of two rounds in the same image, in pixels; last: by chance alone."
        parts.append(table(head, rows, caption=caption))
        charts.append(report.draw("movement", distance_figure(moved), "How far the points moved between rounds."))
        last = next((m for m in reversed(moved) if m.stayed < 1), None)
        if mean is not None and last is not None:
            text = f"Mean movement from each part of the image, round {last.before} to {last.after}."
            charts.append(report.draw("movement-map", arrow_figure(last, mean), text))
    sure = {
        r.round: (found.p_clean[found.hit], found.p_point[found.hit, 0], r.teacher_round)
        for r in report.points
        if (found := r.mined_points()) is not None and found.hit.any()
    }
    if sure:
        plot = confidence_figure({number: (clean, point) for number, (clean, point, _) in sure.items()})
        text = "The teacher's probability of the true class on training images: median, quartiles, 5 % and 95 %."
        charts.append(report.draw("confidence", plot, text))
        rows = [
            (str(n), str(teacher), f"{clean.mean():.3f}", f"{point.mean():.3f}", f"{(clean - point).mean():.3f}")
            for n, (clean, point, teacher) in sure.items()
        ]
        head = ("round", "its teacher: round", "before", "after", "drop")
        caption = "Mean probability of the true class on training images, before and after changing one pixel."
        parts.append(table(head, rows, caption=caption))
    return [*parts, grid(charts)] if parts else []


def side_of(size: float | int, image: np.ndarray | None) -> int | None:
    """Pixels of the square's side, where that can be told."""
    if isinstance(size, int):
        return size
    return None if image is None else side_in_pixels(size, min(image.shape))
