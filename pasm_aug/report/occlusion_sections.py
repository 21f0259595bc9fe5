"""The section of a report on what the networks can do with a part of the image hidden."""

from __future__ import annotations

from pathlib import Path

from pasm_aug.core.files import read_json
from pasm_aug.report.occlusion_figures import arm_occlusion_figure
from pasm_aug.report.outcome import network_name
from pasm_aug.report.page import grid, table
from pasm_aug.report.sections import Report
from pasm_aug.rounds.results import RoundResult, best_round

NAMES = ("mean", "worst", "eyes", "mouth")
HOW = (
    "Percent of the test images right with a grey square, 13/48 of the image, on them: mean over its places, and worst "
    "case, right at all of them. Eyes, mouth: those rows of an aligned face blacked out."
)


def occlusion(report: Report) -> list[str]:
    """Accuracy under a square and under bands, of the first teacher and of the last network of every arm."""
    networks = [report.run.main[0], *(results[-1] for results in report.run.arms.values() if results[-1].round)]
    rows = [(network_name(r), *(_percent(r, name) for name in NAMES)) for r in networks if r.occluded]
    if not rows:
        return []
    picked = [r is best_round(report.run.main) for r in networks if r.occluded]
    parts = [table(("network", "mean", "worst case", "eyes", "mouth"), rows, picked, caption=HOW)]
    files = {network_name(r): Path(r.folder) / "occlusion.json" for r in networks}
    if found := {name: read_json(file) for name, file in files.items() if file.exists()}:
        text = "Where the square costs each network accuracy, around the middle of each place."
        parts.append(report.draw("occlusion", arm_occlusion_figure(found), text))
    return [grid(parts)]


def _percent(result: RoundResult, name: str) -> str:
    value = (result.occluded or {}).get(name)
    return "–" if value is None else f"{100 * value:.1f}"
