"""What a run found: a table for the terminal, and one self-contained ``report.html`` for everyone else."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pasm_aug.arms import AUGMENTS
from pasm_aug.cache import PositionCache
from pasm_aug.figures import accuracy_figure, confusion_figure, gallery_figure, heatmap_figure, interval
from pasm_aug.files import write_atomic
from pasm_aug.results import RoundResult, best_round

FITTED = 0.98  # share of its training data that a teacher should have right before hard erasing can help
GALLERY = 8

STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --accent: #c2410c }
body { font: 16px/1.55 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1.5rem 1rem 4rem }
h1 { margin-bottom: .2rem } h2 { margin-top: 2.2rem; border-top: 1px solid var(--line); padding-top: 1rem }
table { border-collapse: collapse; width: 100% } .scroll { overflow-x: auto }
th, td { text-align: right; padding: .35rem .6rem; border-bottom: 1px solid var(--line); white-space: nowrap }
th:first-child, td:first-child { text-align: left } tr.best td { font-weight: 600; background: var(--soft) }
img { max-width: 100%; height: auto; background: #fff; border-radius: 6px } .verdict { font-size: 1.12rem }
figcaption, .note { color: color-mix(in srgb, currentColor 70%, transparent); font-size: .92rem } figure { margin: 0 }
code { background: var(--soft); padding: .1rem .3rem; border-radius: 4px; overflow-wrap: anywhere }
@media print { h2 { break-after: avoid } figure, table { break-inside: avoid } }
"""


def table_rows(arms: Mapping[str, list[RoundResult]]) -> list[tuple[str, str, str, str, str, str]]:
    """(arm, round, training, validation, test, note) of every network, for the terminal and for the page."""
    rows = []
    for arm, results in arms.items():
        chosen = best_round(results)
        for r in results:
            if r.round == 0 and arm != next(iter(arms)):
                continue  # all arms fork from the one first teacher
            name = "first teacher" if r.round == 0 else AUGMENTS.get(arm, arm)
            note = "◀ picked by validation" if r is chosen and r.round else ""
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
        lines.append(
            f"PASM ({_which(point)}) has {point.test.accuracy:.1%} of the test pictures right; the first teacher "
            f"{first.test.accuracy:.1%}."
        )
        for arm, rival in rivals.items():
            if rival.test is None:
                continue
            gain = point.test.accuracy - rival.test.accuracy
            noise = float(np.hypot(*(interval(r.test.accuracy, r.test.count) for r in (point, rival) if r.test)))
            word = "inside the noise" if abs(gain) < noise else ("a clear gain" if gain > 0 else "a clear loss")
            lines.append(
                f"Against {AUGMENTS[arm]} with the same budget ({_which(rival)}, {rival.test.accuracy:.1%}): "
                f"{100 * gain:+.1f} points, {word} (±{100 * noise:.1f})."
            )
    return " ".join(lines)


def region_shares(dataset: Any, cache: PositionCache) -> tuple[float, float] | None:
    """(share of mined points inside the expression's regions, the regions' share of the face), or ``None``.

    Only for data sets that tell ``regions(index)`` and ``face_box(index)``: the synthetic faces do.
    """
    if not hasattr(dataset, "regions"):
        return None
    found = cache.lookup(indices=np.arange(len(dataset)))
    inside, area = [], []
    for index in np.flatnonzero(found.hit):
        x, y = found.xy[index, 0]
        left, top, right, bottom = dataset.face_box(int(index))
        grid_y, grid_x = np.mgrid[int(top) : int(np.ceil(bottom)), int(left) : int(np.ceil(right))]
        covered = np.zeros(grid_x.shape, bool)
        hit = False
        for l, t, r, b in dataset.regions(int(index)):  # noqa: E741
            covered |= (grid_x >= l) & (grid_x < r) & (grid_y >= t) & (grid_y < b)
            hit |= l <= x < r and t <= y < b
        inside.append(hit)
        area.append(covered.mean())
    return float(np.mean(inside)), float(np.mean(area))


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
        matrices |= {
            f"{AUGMENTS[arm].split(':')[0]}, round {r.round}": r.test.confusion
            for arm, r in picked.items()
            if r.test and (r.round or arm == "point")
        }
        figures["confusion"] = confusion_figure(matrices, dataset.classes)
    caches = {r.round: Path(r.folder) / "positions.safetensors" for r in arms.get("point", [])}
    opened = {number: PositionCache.open(path) for number, path in caches.items() if path.exists()}
    shares = {}
    if opened:
        picks = np.linspace(0, len(dataset) - 1, GALLERY).astype(int)
        labels = np.unique(dataset.labels)
        picks = [
            int(np.flatnonzero(dataset.labels == labels[i % len(labels)])[i // len(labels)]) for i in range(len(picks))
        ]
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


def _page(arms: Any, figures: dict[str, bytes], shares: Any, config: Any, seconds: Any) -> str:
    def figure(name: str, caption: str) -> str:
        data = base64.b64encode(figures[name]).decode()
        return f'<figure><img alt="{html.escape(caption)}" src="data:image/png;base64,{data}"><figcaption>{caption}</figcaption></figure>'

    rows = "".join(
        f"<tr{' class=best' if row[5] else ''}>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
        for row in table_rows(arms)
    )
    parts = [
        "<h1>Point Adversarial Self Mining</h1>",
        f'<p class="verdict">{html.escape(verdict(arms))}</p>',
        "<p>A <em>teacher</em> network is trained. For each training picture a search finds the one pixel whose change "
        "hurts the teacher most; a square is erased there; a <em>student</em> learns from the erased pictures and from "
        "the teacher's answers on the whole ones. If the student is better on the validation split, it becomes the next "
        "teacher. The other arms do the same with another way of erasing, or none, and the same number of epochs.</p>",
        "<h2>Accuracy</h2>",
        '<div class="scroll"><table><tr><th>arm</th><th>round</th><th>train</th><th>validation</th><th>test</th><th></th>'
        f"</tr>{rows}</table></div>",
        "<p class=note>Percent of pictures classified rightly; ± is the 95 % interval of the test split's size. Rounds are "
        "picked on validation; the test split was scored once, after the run had stopped.</p>",
        figure("accuracy", "Accuracy of every arm, round by round."),
    ]
    if "gallery" in figures:
        parts += [
            "<h2>What is erased</h2>",
            figure(
                "gallery",
                "Training pictures as they are, and erased at the point that each round mined. p: the "
                "teacher's probability of the true class before and after changing that one pixel.",
            ),
        ]
    for name in figures:
        if name.startswith("heatmap"):
            number = int(name.rsplit("-", 1)[1])
            parts += [
                f"<h2>Where the points lie, round {number}</h2>",
                f"<p>{html.escape(region_sentence(number, shares[number]))}</p>" if number in shares else "",
                figure(name, "Density of the mined points of each class over its mean picture (number of pictures)."),
            ]
    if "confusion" in figures:
        parts += ["<h2>Which classes are confused</h2>", figure("confusion", "Test split; a row is a true class.")]
    cost = "".join(f"<tr><td>{html.escape(k)}</td><td>{v:.1f} s</td></tr>" for k, v in seconds.items())
    queries = sum(r.queries for results in arms.values() for r in results)
    options = " ".join(f"{html.escape(k)}={html.escape(str(v))}" for k, v in config.items())
    parts += [
        "<h2>What it cost</h2>",
        f'<div class="scroll"><table><tr><th>stage</th><th>time</th></tr>{cost}</table></div>',
        f"<p class=note>{queries:,} queries of the teacher in all searches.</p>",
        f"<h2>Settings</h2><p><code>{options}</code></p>",
    ]
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    return f'<!doctype html><html lang="en"><head>{head}<title>PASM run</title><style>{STYLE}</style></head><body>{"".join(parts)}</body></html>\n'


def _which(result: RoundResult) -> str:
    return f"round {result.round}" if result.round else "no round improved on the first teacher"


def _percent(scores: Any) -> str:
    if scores is None:
        return "–"
    return f"{100 * scores.accuracy:.1f} ±{100 * interval(scores.accuracy, scores.count):.1f}"
