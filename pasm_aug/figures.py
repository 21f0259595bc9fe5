"""The plots of a report, as PNG bytes: accuracy per round, confusion, erased pictures, where the points lie."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from pasm_aug.arms import AUGMENTS
from pasm_aug.functional import erase_patch, patch_box, side_in_pixels
from pasm_aug.loading import to_uint8_tensor
from pasm_aug.results import RoundResult

NAMED_CLASSES, HEATMAPS = 30, 12  # more would not be readable
COLOURS = {"point": "#c2410c", "none": "#64748b", "random": "#2563eb", "random-matched": "#0d9488"}


def accuracy_figure(arms: dict[str, list[RoundResult]]) -> bytes:
    """Accuracy on validation and test of every arm over the rounds; the bars are 95 % intervals."""
    figure = Figure((8.4, 3.4), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for panel, split in zip(axes, ("val", "test"), strict=True):
        for shift, (arm, results) in enumerate(arms.items()):
            scored = [r for r in results if getattr(r, split)]
            accuracy = np.array([getattr(r, split).accuracy for r in scored])
            half = np.array([interval(getattr(r, split).accuracy, getattr(r, split).count) for r in scored])
            panel.errorbar(
                [r.round + 0.06 * (shift - (len(arms) - 1) / 2) for r in scored],
                accuracy,
                half,
                marker="o",
                markersize=4,
                capsize=2,
                linewidth=1.6,
                elinewidth=0.8,
                color=COLOURS.get(arm),
                label=AUGMENTS.get(arm, arm),
            )
        panel.set_title({"val": "validation (picks the round)", "test": "test (scored once, at the end)"}[split])
        panel.set_xlabel("round (0 = first teacher)")
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        panel.grid(alpha=0.25)
        panel.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("accuracy")
    axes[0].legend(fontsize=8, frameon=False)
    return _png(figure)


def confusion_figure(matrices: Mapping[str, Sequence[Sequence[int]]], classes: Sequence[str]) -> bytes:
    """Confusion matrices side by side, each row in percent of its true class."""
    size = min(max(3.2, 0.55 * len(classes)), 9.0)
    figure = Figure((size * len(matrices) + 0.6, size + 0.5), layout="constrained")
    for panel, (title, matrix) in zip(
        figure.subplots(1, len(matrices), squeeze=False)[0], matrices.items(), strict=True
    ):
        counts = np.asarray(matrix, dtype=float)
        share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
        panel.imshow(share, cmap="Blues", vmin=0, vmax=1)
        if len(classes) <= 12:
            for (row, column), value in np.ndenumerate(share):
                panel.text(
                    column,
                    row,
                    f"{100 * value:.0f}",
                    ha="center",
                    va="center",
                    fontsize=7,
                    color="w" if value > 0.6 else "k",
                )
        if len(classes) <= NAMED_CLASSES:
            panel.set_xticks(range(len(classes)), classes, rotation=45, ha="right", fontsize=8)
            panel.set_yticks(range(len(classes)), classes, fontsize=8)
        panel.set_title(title, fontsize=10)
        panel.set_xlabel("predicted, % of the true class", fontsize=8)
    return _png(figure)


def gallery_figure(dataset: Any, indices: Sequence[int], rounds: dict[int, Any], size: float | int) -> bytes:
    """Rows of pictures: as they are, then erased at each round's mined point; p is the teacher's, before → after.

    ``rounds`` maps a round to its PositionCache; p is the true class's probability before and after the *one pixel*.
    """
    figure = Figure((1.3 * len(indices), 1.55 * (1 + len(rounds))), layout="constrained")
    panels = figure.subplots(1 + len(rounds), len(indices), squeeze=False)
    for column, index in enumerate(indices):
        image, label = dataset[index]
        image = to_uint8_tensor(image)
        _show(panels[0][column], image, dataset.classes[label] if dataset.classes else str(label))
        for row, (_number, cache) in enumerate(rounds.items(), 1):
            found = cache.lookup(indices=np.array([index]))
            if not found.hit[0]:
                _show(panels[row][column], image, "not mined")
                continue
            height, width = image.shape[1:]
            pixels = side_in_pixels(size, min(height, width))
            box = patch_box(int(found.xy[0, 0, 0]), int(found.xy[0, 0, 1]), pixels, width, height)
            erased = erase_patch(image, box, found.colour[0, 0].tolist())
            _show(panels[row][column], erased, f"p {found.p_clean[0]:.2f} → {found.p_point[0, 0]:.2f}")
    for row, name in enumerate(["as it is", *(f"round {number}" for number in rounds)]):
        panels[row][0].set_ylabel(name, fontsize=9)
    return _png(figure)


def heatmap_figure(dataset: Any, cache: Any) -> bytes:
    """Where the mined points of each class (the first 12) lie, over the mean picture of the class."""
    classes = [c for c in range(len(dataset.classes)) if np.any(dataset.labels == c)][:HEATMAPS]
    columns = min(4, len(classes))
    rows = -(-len(classes) // columns)
    figure = Figure((2.1 * columns, 2.2 * rows + 0.2), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel in panels:
        panel.axis("off")
    for panel, label in zip(panels, classes, strict=False):
        indices = np.flatnonzero(dataset.labels == label)
        found = cache.lookup(indices=indices)
        pictures = [to_uint8_tensor(dataset[int(i)][0]).float().mean(0).numpy() for i in indices[:300]]
        pictures = [picture for picture in pictures if picture.shape == pictures[0].shape]
        height, width = pictures[0].shape
        xy = found.xy[found.hit][:, 0]
        density = np.histogram2d(xy[:, 1], xy[:, 0], bins=16, range=[[0, height], [0, width]])[0]
        panel.imshow(np.mean(pictures, axis=0), cmap="gray", extent=(0, width, height, 0))
        panel.imshow(
            density, cmap="inferno", alpha=0.55, extent=(0, width, height, 0), interpolation="bilinear", vmin=0
        )
        panel.set_title(f"{dataset.classes[label]} ({len(xy)})", fontsize=9)
    return _png(figure)


def interval(accuracy: float, count: int) -> float:
    """Half the width of the 95 % interval of an accuracy measured on ``count`` pictures (normal approximation)."""
    return 1.96 * float(np.sqrt(max(accuracy * (1 - accuracy), 1e-9) / count))


def _show(panel: Any, image: Any, title: str) -> None:
    array = image.permute(1, 2, 0).numpy()
    panel.imshow(
        array if array.shape[2] == 3 else array[..., 0], cmap="gray", vmin=0, vmax=255, interpolation="nearest"
    )
    panel.set_title(title, fontsize=8)
    panel.set_xticks([])
    panel.set_yticks([])


def _png(figure: Figure) -> bytes:
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    return buffer.getvalue()
