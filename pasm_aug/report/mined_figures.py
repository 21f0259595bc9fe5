"""Figures of one file of mined points: how far the probabilities fell, where the points lie, in which colours."""

from __future__ import annotations

from typing import Any

import numpy as np

from pasm_aug.cache.findings import search_fingerprint
from pasm_aug.cache.position_cache import PositionCache
from pasm_aug.report.charts import chart, legend, png

CELLS = 48  # of the map, along its longer side, at most
MANY = 12  # colours that are named
BINS = np.linspace(0, 1, 21)
BEFORE, AFTER = "#2563eb", "#c2410c"


def point_figures(cache: PositionCache) -> dict[str, bytes]:
    """File name → PNG; none of probabilities where none are known, nothing at all of a cache without points."""
    columns = cache.to_numpy()
    if not len(columns["key"]):
        return {}
    clean, point = columns["p_clean"], columns["p_point"][:, 0]
    known = np.isfinite(clean) & np.isfinite(point)
    figures = {}
    if known.any():
        figures["drop.png"] = drop_figure(clean[known] - point[known])
        figures["probabilities.png"] = probability_figure(clean[known], point[known])
    shape = search_fingerprint(cache.metadata["fingerprint"]).get("probe_shape", (0, 0, 0))[1:]
    figures["positions.png"] = place_figure(columns["xy"].reshape(-1, 2), (shape[0], shape[1]))
    figures["colours.png"] = colour_figure(columns["colour"].reshape(-1, cache.channels))
    return figures


def drop_figure(drop: np.ndarray) -> bytes:
    """Histogram of drops (R,), one image each."""
    figure, panel = chart("how far p(label) falls at the mined point", "images", 3.1)
    panel.hist(np.clip(drop, 0, 1), BINS, color=AFTER)
    panel.axvline(drop.mean(), color="#111827", linewidth=1, linestyle=":", label=f"mean {drop.mean():.3f}")
    _share_axis(panel, "p without the point − p with it")
    legend(figure)
    return png(figure)


def probability_figure(clean: np.ndarray, point: np.ndarray) -> bytes:
    """Histograms of the probabilities (R,) before and after."""
    figure, panel = chart("p(label) before and after", "images", 3.1)
    for values, ink, name in ((clean, BEFORE, "whole image"), (point, AFTER, "with the point")):
        label = f"{name}: mean {values.mean():.3f}"
        panel.stairs(np.histogram(values, BINS)[0], BINS, color=ink, linewidth=1.6, label=label)
    _share_axis(panel, "the teacher's probability of the label")
    legend(figure)
    return png(figure)


def place_figure(xy: np.ndarray, size: tuple[int, int]) -> bytes:
    """Heat map of points (P, 2) on images of ``size`` (height, width); where they lie beyond, as far as they go."""
    width, height = (max(int(xy[:, axis].max()) + 1, size[1 - axis]) for axis in (0, 1))
    cells = [max(1, min(length, round(CELLS * length / max(width, height)))) for length in (height, width)]
    counts = np.histogram2d(xy[:, 1], xy[:, 0], bins=cells, range=[[0, height], [0, width]])[0]
    figure, panel = chart(f"where the points lie, images of {width}×{height}", "y", 3.8)
    drawn = panel.imshow(100 * counts / len(xy), cmap="inferno", extent=(0, width, height, 0), interpolation="nearest")
    panel.grid(False)
    panel.set_xlabel("x")
    bar = figure.colorbar(drawn, ax=panel, shrink=0.8)
    bar.set_label("% of the points in a cell", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    return png(figure)


def colour_figure(colours: np.ndarray) -> bytes:
    """Shares of the most frequent colours (P, C) uint8, each drawn in itself."""
    found, counts = np.unique(colours, axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:MANY]
    names = ["#" + "".join(f"{level:02x}" for level in np.broadcast_to(found[i], 3)) for i in order]
    shares, inks = [100 * counts[i] / len(colours) for i in order], list(names)
    if len(found) > len(order):
        names.append(f"{len(found) - len(order):,} others")
        shares.append(100 - sum(shares))
        inks.append("#cbd5e1")
    figure, panel = chart("the colours that were found", "", 0.9 + 0.24 * len(names))
    places = range(len(names))
    panel.barh(places, shares, color=inks, edgecolor="#64748b", linewidth=0.6)
    panel.set_yticks(places, names, fontsize=8, family="monospace")
    panel.invert_yaxis()
    panel.set_xlabel("% of the points")
    return png(figure)


def _share_axis(panel: Any, label: str) -> None:
    panel.set_xlim(0, 1)
    panel.set_xticks(np.linspace(0, 1, 6))
    panel.set_xlabel(label)
