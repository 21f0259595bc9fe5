"""The charts of what ASM made of the labels, as PNG bytes: subsets by epoch and class, thresholds, what was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator, PercentFormatter

from pasm_aug.asm.subsets import SUBSETS
from pasm_aug.report.charts import chart, colour, legend, png
from pasm_aug.report.lettering import class_label
from pasm_aug.report.partitions import Quality, Sorted, noisiest, subset_shares

COLOURS = ("#2563eb", "#eab308", "#c2410c")  # clean, ambiguous, noise
BARS, LINES = 20, 8  # classes; more would not be readable
EPOCHS = "epoch; a gap: a new round begins"


def subsets_figure(networks: Sequence[Sorted]) -> bytes:
    """Share of each subset by epoch, stacked, over the rounds that follow each other."""
    figure, panel = chart("what the labels were called", "", 3.0)
    for start, network in zip(starts(networks), networks, strict=True):
        shares = subset_shares(network.record)
        edges = start + 0.5 + np.arange(len(shares) + 1)
        tops = np.concatenate([np.zeros((len(shares), 1)), shares.cumsum(1)], 1)
        for subset, name in enumerate(SUBSETS):
            panel.stairs(
                tops[:, subset + 1],
                edges,
                baseline=tops[:, subset],
                fill=True,
                color=COLOURS[subset],
                label=name if not start else None,
            )
        if start:
            panel.axvline(start + 0.5, color="w", linewidth=2.5)
    panel.set_ylim(0, 1)
    panel.margins(x=0)
    panel.yaxis.set_major_formatter(PercentFormatter(1.0))
    panel.set_xlabel(EPOCHS)
    _legend_row(figure)
    return png(figure)


def class_subsets_figure(network: Sorted, classes: Sequence[str]) -> bytes:
    """Shares of the subsets in each class, by label as given, before the last epoch; of many classes the noisiest."""
    order = noisiest(network.record, BARS)
    sizes = network.record.sizes[-1][order]
    shares = sizes / sizes.sum(1, keepdims=True)
    figure, panel = chart("before the last epoch, by label", "", 1.2 + 0.28 * len(order))
    left = np.zeros(len(order))
    for subset, name in enumerate(SUBSETS):
        panel.barh(range(len(order)), shares[:, subset], left=left, color=COLOURS[subset], label=name)
        left = left + shares[:, subset]
    names = [f"{class_label(classes[i])} ({count:,})" for i, count in zip(order, sizes.sum(1).tolist(), strict=True)]
    panel.set_yticks(range(len(order)), names, fontsize=9)
    panel.invert_yaxis()
    panel.set_xlim(0, 1)
    panel.xaxis.set_major_locator(MaxNLocator(5))
    panel.xaxis.set_major_formatter(PercentFormatter(1.0))
    _legend_row(figure)
    return png(figure)


def thresholds_figure(networks: Sequence[Sorted], classes: Sequence[str]) -> bytes:
    """Both thresholds of each class by epoch: from the solid line on a label is clean, up to the dashed it is noise."""
    return _by_class(
        networks,
        classes,
        "thresholds of p(label)",
        {"-": [n.record.thresholds[..., 1] for n in networks], "--": [n.record.thresholds[..., 0] for n in networks]},
    )


def class_purity_figure(networks: Sequence[Sorted], classes: Sequence[str]) -> bytes:
    """Share of the clean labels of each class that are right, by epoch."""
    purity = [Quality.of(n.record.sizes, n.record.wrong).purity for n in networks]
    title = "right ones among the labels called clean"
    return _by_class(networks, classes, title, {"-": purity}, percent=True)


def found_figure(networks: Sequence[Sorted]) -> bytes:
    """Purity of clean, precision and recall of noise by epoch, of all labels, beside the share of wrong ones."""
    figure, panel = chart("what was found of the wrong labels", "", 3.3)
    for start, network in zip(starts(networks), networks, strict=True):
        found = Quality.of(network.record.sizes.sum(1), network.record.wrong.sum(1))
        x = start + 1 + network.record.epochs
        for values, ink, name in (
            (found.purity, COLOURS[0], "clean: share that is right"),
            (found.precision, COLOURS[2], "noise: share that is wrong"),
            (found.recall, "#0d9488", "wrong labels: share called noise"),
        ):
            panel.plot(x, values, color=ink, label=None if start else name, **_STYLE)
        wrong = {"color": "#475569", "linestyle": ":", "label": None if start else "all labels: share that is wrong"}
        panel.plot(x, found.flipped, **_STYLE | wrong | {"marker": ""})
    panel.set_ylim(-0.02, 1.02)
    panel.yaxis.set_major_formatter(PercentFormatter(1.0))
    panel.set_xlabel(EPOCHS)
    legend(figure)
    return png(figure)


_STYLE: dict[str, Any] = {"marker": ".", "markersize": 4, "linewidth": 1.4}


def starts(networks: Sequence[Sorted]) -> list[int]:
    """How many epochs of the other networks lie before each."""
    return np.cumsum([0, *(network.epochs for network in networks)])[:-1].tolist()


def _by_class(
    networks: Sequence[Sorted],
    classes: Sequence[str],
    title: str,
    lines: Mapping[str, Sequence[np.ndarray]],
    *,
    percent: bool = False,
) -> bytes:
    """A line a class over the epochs of all networks; of many classes the noisiest.

    Args:
        lines: by the style of the line, (E, K) of each network.
    """
    figure, panel = chart(title, "", 3.3)
    for number, label in enumerate(noisiest(networks[-1].record, LINES)):
        for style, tables in lines.items():
            for start, network, values in zip(starts(networks), networks, tables, strict=True):
                named = not start and style == "-"
                panel.plot(
                    start + 1 + network.record.epochs,
                    values[:, label],
                    color=colour("", number),
                    label=class_label(classes[label]) if named else None,
                    **_STYLE | {"linestyle": style},
                )
    panel.set_ylim(0, 1.02 if percent else None)
    if percent:
        panel.yaxis.set_major_formatter(PercentFormatter(1.0))
    panel.set_xlabel(EPOCHS)
    _legend_row(figure)
    return png(figure)


def _legend_row(figure: Any) -> None:
    """Names below the panel, as many beside each other as there is room for."""
    handles, names = figure.axes[0].get_legend_handles_labels()
    columns = max(1, min(4, 72 // (max(map(len, names), default=0) + 8)))
    figure.legend(handles, names, loc="outside lower center", ncols=columns, fontsize=8, frameon=False)
