"""The plots of positions, as bytes: where they lie, how they moved, how sure the teachers were.

What lies over photographs is a JPEG, the rest PNG.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pasm_aug.core.image_content import to_uint8_tensor
from pasm_aug.report.charts import Mosaic, chart, colour, jpeg, legend, png
from pasm_aug.report.lettering import LONGEST, shortened
from pasm_aug.report.movement import Movement, RoundPoints

HEATMAPS, A_ROW, CELLS, MEAN_OF = 12, 4, 16, 100  # classes, beside each other; cells a side; images in a mean
ARROWS, ARROW_MEANS = 8, 5  # cells a side, points that make an arrow


def mean_images(dataset: Any) -> dict[int, np.ndarray]:
    """(H, W) float mean of the first 100 images of each class that has any; of the first 12 such classes."""
    found: dict[int, np.ndarray] = {}
    labels = np.asarray(dataset.labels)
    for label in np.unique(labels)[:HEATMAPS]:
        indices = np.flatnonzero(labels == label)[:MEAN_OF]
        images = [to_uint8_tensor(dataset[int(i)][0]).float().mean(0).numpy() for i in indices]
        found[int(label)] = np.mean([p for p in images if p.shape == images[0].shape], axis=0)
    return found


def overall_mean(means: Mapping[int, np.ndarray]) -> np.ndarray:
    """(H, W) mean over the classes, of those with images of one size."""
    images = list(means.values())
    return np.mean([image for image in images if image.shape == images[0].shape], axis=0)


def heatmap_figures(dataset: Any, rounds: Sequence[RoundPoints], means: Mapping[int, np.ndarray]) -> dict[int, bytes]:
    """Round → where its points lie in each class, over the class's mean image; one scale for all rounds."""
    maps = {r.round: {label: _density(dataset, r, label, mean.shape) for label, mean in means.items()} for r in rounds}
    shares = [density for classes in maps.values() for density, _ in classes.values()]
    scale = max(float(np.quantile(shares, 0.998)), 1e-9) if shares else 1.0
    return {number: _heatmaps(dataset, classes, means, scale) for number, classes in maps.items()}


def _density(dataset: Any, points: RoundPoints, label: int, shape: tuple[int, ...]) -> tuple[np.ndarray, int]:
    """Percent of the class's points in each cell, and how many points there are."""
    hit, xy = points.places(np.flatnonzero(np.asarray(dataset.labels) == label))
    xy = xy[hit]
    counts = np.histogram2d(xy[:, 1], xy[:, 0], bins=CELLS, range=[[0, shape[0]], [0, shape[1]]])[0]
    return 100 * counts / max(len(xy), 1), len(xy)


def _heatmaps(
    dataset: Any, classes: Mapping[int, tuple[np.ndarray, int]], means: Mapping[int, np.ndarray], scale: float
) -> bytes:
    mosaic = Mosaic(-(-len(classes) // A_ROW), A_ROW, below=0.55)
    for number, (label, (density, count)) in enumerate(classes.items()):
        cell, mean = divmod(number, A_ROW), means[label]
        many = f" ({count:,})"
        mosaic.show(*cell, mean, shortened(dataset.classes[label], LONGEST + 1 - len(many)) + many, cmap="gray")
        heat: dict[str, Any] = {"cmap": "inferno", "alpha": 0.6, "interpolation": "bilinear", "vmin": 0, "vmax": scale}
        drawn = mosaic.show(*cell, density, shape=mean.shape, **heat)
    mosaic.scale_bar(drawn, "% of the class's points in a cell")
    return mosaic.jpeg()


def distance_figure(moved: Sequence[Movement]) -> bytes:
    """Histogram of the distances, one line a pair of rounds; dotted: what points of different images are apart."""
    figure, panel = chart("how far the points moved", "share of the images", 3.1)
    far = max(float(np.concatenate([m.distance, m.chance]).max()) for m in moved)
    edges = np.concatenate([[-0.5, 0.5], np.linspace(0.5, max(far, 1.0) + 0.5, 17)[1:]])
    for number, m in enumerate(moved):
        share = np.histogram(m.distance, edges)[0] / len(m.distance)
        panel.stairs(share, edges, color=colour("", number), linewidth=1.6, label=f"round {m.before} → {m.after}")
    chance = np.concatenate([m.chance for m in moved])
    label = "points of different images"
    panel.stairs(np.histogram(chance, edges)[0] / len(chance), edges, color="#475569", linestyle=":", label=label)
    panel.set_xlabel("distance, pixels (first step: not moved)")
    legend(figure)
    return png(figure)


def arrow_figure(m: Movement, background: np.ndarray) -> bytes:
    """Mean movement of the points that lay in each cell, over the mean image (H, W); cells of 5 points or more."""
    figure, panel = chart(f"round {m.before} → {m.after}", "", 3.6)
    height, width = background.shape
    panel.imshow(background, cmap="gray", extent=(0, width, height, 0), alpha=0.75)
    step = np.array([width, height]) / ARROWS
    cells = np.minimum(m.start // step, ARROWS - 1).astype(int)
    found = []
    for cell in np.unique(cells, axis=0):
        inside = (cells == cell).all(1)
        if inside.sum() >= ARROW_MEANS:
            found.append([*(m.start[inside].mean(0) + 0.5), *(m.end - m.start)[inside].mean(0), inside.sum()])
    if found:
        x, y, right, down, count = np.array(found).T
        arrows = panel.quiver(
            x, y, right, down, count, cmap="autumn_r", angles="xy", scale_units="xy", scale=1, width=0.009
        )
        bar = figure.colorbar(arrows, ax=panel, shrink=0.75)
        bar.set_label("points", fontsize=8)
        bar.ax.tick_params(labelsize=8)
    panel.set_xlim(0, width)
    panel.set_ylim(height, 0)
    panel.axis("off")
    return jpeg(figure)


def confidence_figure(rounds: Mapping[int, tuple[np.ndarray, np.ndarray]]) -> bytes:
    """Probability of the true class before and after the one pixel: median, quartiles, 5 % and 95 %, for each round."""
    figure, panel = chart("the teacher's probability of the true class", "", 3.1)
    for shift, name, ink in ((-0.18, "whole image", "#2563eb"), (0.18, "one pixel changed", "#c2410c")):
        panel.boxplot(
            [pair[int(shift > 0)] for pair in rounds.values()],
            positions=[number + shift for number in rounds],
            widths=0.3,
            whis=(5, 95),
            showfliers=False,
            patch_artist=True,
            medianprops={"color": "k"},
            boxprops={"facecolor": ink, "alpha": 0.6},
            label=[name, *["_" for _ in rounds]][: len(rounds)],
        )
    panel.set_xticks(list(rounds), [str(number) for number in rounds])
    panel.set_ylim(-0.02, 1.02)
    panel.set_xlabel("round that mined")
    legend(figure)
    return png(figure)
