"""The charts of accuracy under occlusion, as PNG bytes: where a square costs accuracy, and how much by its size."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from pasm_aug.core.errors import UserError
from pasm_aug.report.charts import WIDTH, colour, png
from pasm_aug.report.lettering import class_label, whole
from pasm_aug.training.occlusion_metrics import OcclusionMetrics, SquareScores

A_ROW, PANELS = 4, 12  # heat maps beside each other; of classes, at most
NUMBERED = 8  # columns beyond which a map's numbers would not be readable
LEAST = 5.0  # points that the colours span at least: noise is to look pale

_WORDS = {fill: f"a {fill} square" for fill in ("black", "grey", "white")}
_WORDS |= {"mean": "a square of the mean colour", "random": "a square of noise"}


def occlusion_figure(metrics: OcclusionMetrics, classes: Sequence[str]) -> bytes:
    """Where a square of each size costs accuracy, with the first fill; below it mean and worst case of every fill.

    Without the maps, which a search for the worst case alone does not make, the curves alone.
    """
    first = [scores for scores in metrics.squares if scores.fill == metrics.squares[0].fill]
    maps = [_drop(scores.heatmap, metrics.clean) for scores in first if scores.heatmap is not None]
    rows = -(-len(maps) // A_ROW)
    tall = rows * (_tall(metrics, len(maps)) + 0.3) + (0.75 if maps else 0.0)
    figure = Figure((WIDTH, tall + 3.3), layout="constrained")
    lower: Any = figure
    if maps:
        halves: Any = figure.subfigures(2, 1, height_ratios=(tall, 3.3))
        upper, lower = halves
        upper.suptitle(f"where {_WORDS[first[0].fill]} costs accuracy", fontsize=10)
        titles = [f"{scores.side} × {scores.side} px" for scores in first]
        _heatmaps(upper, metrics.size, first, maps, titles)
    _curves(lower.subplots(), metrics)
    fills = _fills(metrics)
    kinds = [Line2D([], [], color="#475569", linestyle=style) for style in ("-", "--")]
    colours = [Line2D([], [], color=colour("", n), marker="o", markersize=4) for n, fill in enumerate(fills)]
    names, columns = ["mean over the places", "right at every place", *fills], 2 if len(fills) < 3 else 3
    lower.legend([*kinds, *colours], names, loc="outside lower center", ncols=columns, fontsize=8, frameon=False)
    lower.suptitle(f"{metrics.count:,} images of {len(classes)} classes", fontsize=10)
    return png(figure)


def class_occlusion_figure(metrics: OcclusionMetrics, classes: Sequence[str]) -> bytes:
    """Where a square of the middle size, with the first fill, costs each class accuracy; the first 12 with images.

    Raises:
        ValueError: ``metrics`` of the worst case alone.
    """
    first = [scores for scores in metrics.squares if scores.fill == metrics.squares[0].fill]
    shown = sorted(first, key=lambda scores: scores.side)[len(first) // 2]
    if shown.class_heatmaps is None:
        raise UserError("metrics must hold every place, got those of worst_only=True")
    clean = metrics.clean_per_class
    found = [label for label, recall in enumerate(clean) if recall is not None][:PANELS]
    maps = [_drop(shown.class_heatmaps[label], clean[label] or 0.0) for label in found]
    titles = [f"{class_label(classes[label])}\n{clean[label]:.0%} clean" for label in found]
    rows = -(-len(found) // A_ROW)
    figure = Figure((WIDTH, rows * (_tall(metrics, len(found)) + 0.5) + 0.75), layout="constrained")
    figure.suptitle(f"where {_WORDS[shown.fill]}, {shown.side} × {shown.side} px, costs accuracy", fontsize=10)
    _heatmaps(figure, metrics.size, [shown] * len(found), maps, titles)
    return png(figure)


def arm_occlusion_figure(found: Mapping[str, Mapping[str, Any]]) -> bytes:
    """Where the square costs each network accuracy, all on one scale.

    Args:
        found: by the network's name, what :meth:`~pasm_aug.training.occlusion_metrics.OcclusionMetrics.asdict` says.
    """
    squares, maps = [], []
    for data in found.values():
        about = data["squares"][0]
        known = {name: about[name] for name in ("side", "share", "fill", "worst", "mean")}
        known |= {name: np.array(about[name]) for name in ("tops", "lefts", "heatmap")}
        squares.append(SquareScores(**known, robust=np.zeros(0, bool)))
        maps.append(_drop(known["heatmap"], data["clean"]))
    height, width = next(iter(found.values()))["size"]
    columns = _columns(len(maps))
    tall = -(-len(maps) // columns) * ((WIDTH - 0.2) / columns * height / width + 0.5) + 0.75
    figure = Figure((WIDTH, tall), layout="constrained")
    titles = [textwrap.fill(name.replace("round ", "round\N{NO-BREAK SPACE}"), 64 // columns) for name in found]
    _heatmaps(figure, (height, width), squares, maps, titles)
    return png(figure)


def _drop(accuracy: np.ndarray, clean: float) -> np.ndarray:
    """Points of accuracy lost, by place."""
    return 100 * (clean - accuracy)


def _fills(metrics: OcclusionMetrics) -> list[str]:
    return list(dict.fromkeys(scores.fill for scores in metrics.squares))


def _tall(metrics: OcclusionMetrics, count: int) -> float:
    """Inches of one map's height, when as many as there are, but at most four, stand in a row."""
    height, width = metrics.size
    return min((WIDTH - 0.2) / _columns(count) * height / width, 4.0)


def _columns(count: int) -> int:
    """Maps beside each other: at most four, at least two, and as many in each row as can be."""
    return max(2, -(-count // -(-max(count, 1) // A_ROW)))


def _heatmaps(
    figure: Any,
    size: tuple[int, int],
    squares: Sequence[SquareScores],
    maps: Sequence[np.ndarray],
    titles: Sequence[str],
) -> None:
    """One map a square, at most four in a row, on one scale: red costs, blue helps, as in the report's other charts."""
    columns = _columns(len(maps))
    panels = figure.subplots(-(-len(maps) // columns), columns, squeeze=False)
    scale = max(LEAST, max(float(np.abs(drop).max()) for drop in maps))
    for panel, scores, drop, title in zip(panels.flat, squares, maps, titles, strict=False):
        extent = _extent(scores, size)
        drawn = panel.imshow(-drop, cmap="RdBu", vmin=-scale, vmax=scale, extent=extent, aspect="equal")
        if len(scores.lefts) <= NUMBERED and len(scores.tops) <= NUMBERED:
            _number(panel, extent, drop, scale)
        panel.set(xlim=(0, size[1]), ylim=(size[0], 0), xticks=[], yticks=[], facecolor="#f1f5f9")
        panel.spines[:].set(color="#94a3b8", linewidth=0.8)
        panel.set_title(title, fontsize=8)
    for panel in list(panels.flat)[len(maps) :]:
        panel.axis("off")
    bar = figure.colorbar(drawn, ax=list(panels.flat), orientation="horizontal", aspect=45, pad=0.03)
    bar.ax.invert_xaxis()
    bar.ax.xaxis.set_major_locator(MaxNLocator(7))
    bar.ax.xaxis.set_major_formatter(lambda value, _: f"{0.0 - value:g}".replace("-", "\N{MINUS SIGN}"))  # no -0
    bar.ax.tick_params(labelsize=8)
    bar.set_label("points of accuracy lost with the square around that place", fontsize=8)


def _extent(scores: SquareScores, size: tuple[int, int]) -> tuple[float, float, float, float]:
    """(left, right, bottom, top) in pixels such that each cell's middle is where the square's middle was.

    Cells of a square that is smaller than its steps would reach over the border: they end there.
    """
    ends = []
    for starts, length in ((scores.lefts, size[1]), (scores.tops, size[0])):
        step = (starts[-1] - starts[0]) / (len(starts) - 1) if len(starts) > 1 else scores.side
        low, high = starts[0] + (scores.side - step) / 2, starts[-1] + (scores.side + step) / 2
        ends.append((max(float(low), 0.0), min(float(high), float(length))))
    return *ends[0], *ends[1][::-1]


def _number(panel: Any, extent: tuple[float, float, float, float], drop: np.ndarray, scale: float) -> None:
    left, right, bottom, top = extent
    for (row, column), value in np.ndenumerate(drop):
        panel.text(
            left + (right - left) * (column + 0.5) / drop.shape[1],
            top + (bottom - top) * (row + 0.5) / drop.shape[0],
            whole(value),
            ha="center",
            va="center",
            fontsize=5.5,
            color="w" if abs(value) > 0.65 * scale else "k",
        )


def _curves(panel: Any, metrics: OcclusionMetrics) -> None:
    """Mean and worst case over the square's side, from the clean accuracy on."""
    for number, fill in enumerate(_fills(metrics)):
        own = sorted((scores for scores in metrics.squares if scores.fill == fill), key=lambda scores: scores.side)
        sides = [0, *(scores.side for scores in own)]
        style: dict[str, Any] = {"color": colour("", number), "marker": "o", "markersize": 4, "linewidth": 1.6}
        means = [scores.mean for scores in own if scores.mean is not None]
        if means:
            panel.plot(sides, [metrics.clean, *means], **style)
        panel.plot(sides, [metrics.clean, *(scores.worst for scores in own)], linestyle="--", **style)
    panel.grid(alpha=0.25)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panel.yaxis.set_major_formatter(PercentFormatter(1.0))
    panel.set_ylim(0, None)
    panel.set_xlabel("side of the square, pixels (0: the images as they are)")
    panel.set_ylabel("accuracy")
