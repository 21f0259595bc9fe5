"""The section of a report on how right the sorting was, where it is known which labels are wrong."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pasm_aug.asm.subsets import AMBIGUOUS, CLEAN, NOISE
from pasm_aug.report.outcome import network_name
from pasm_aug.report.page import bullets, grid, table
from pasm_aug.report.partition_figures import LINES, class_purity_figure, found_figure
from pasm_aug.report.partition_sections import class_names, main_partitions, the_network
from pasm_aug.report.partitions import Quality, Sorted
from pasm_aug.report.sections import Report

DROWNED = 0.5  # purity of the labels called clean below which a class is mostly other classes' images
NAMED = 12  # classes in a sentence


def found(report: Report) -> list[str]:
    """How right the sorting was, by class and epoch; for labels of which it is known whether they are wrong."""
    networks = [network for network in main_partitions(report) if network.truth_known]
    if not networks:
        return []
    last, names = networks[-1], class_names(report)
    whole, sizes = _overall(last), last.record.sizes[-1]
    if not whole.flipped:
        return [bullets(found_sentences(report))]
    each = Quality.of(sizes, last.record.wrong[-1])
    rows = [
        (name, f"{count:,}", *_percents(each, label))
        for label, (name, count) in enumerate(zip(names, sizes.sum(1).tolist(), strict=True))
        if count
    ]
    rows.append(("all", f"{sizes.sum():,}", *_percents(whole)))
    head = ("label", "images", "wrong", "clean: right", "noise: wrong", "found")
    caption = (
        f"The sorting before the last epoch of {the_network(last)}, by label as given, in percent. Wrong: of all. "
        "Clean, right: purity of those called clean. Noise, wrong: precision of those called noise. Found: recall, the "
        "share of the wrong labels that is called noise."
    )
    few = f" Of many classes the {LINES} with the most noise." if len(names) > LINES else ""
    charts = [
        report.draw("found", found_figure(networks), "What was found of the wrong labels, by epoch."),
        report.draw(
            "found-classes",
            class_purity_figure(networks, names),
            f"Share of the labels called clean that are right, by class and epoch.{few}",
        ),
    ]
    best = [*[False] * (len(rows) - 1), True]
    parts = [
        bullets([*found_sentences(report), *_drowned(each, sizes, names)]),
        table(head, rows, best, caption=caption),
    ]
    return [*parts, grid(charts), *_found_table(report)]


def found_sentences(report: Report) -> list[str]:
    """How right the last sorting was over all classes; nothing where the truth is not known."""
    networks = [network for network in main_partitions(report) if network.truth_known]
    if not networks:
        return []
    sizes, whole = networks[-1].record.sizes[-1].sum(0), _overall(networks[-1])
    clean, ambiguous, noise = (int(sizes[subset]) for subset in (CLEAN, AMBIGUOUS, NOISE))
    text = f"In the end {clean:,} of {sizes.sum():,} training labels were believed"
    if not whole.flipped:
        return [f"{text}, {ambiguous:,} called ambiguous and {noise:,} noise; none is known to be wrong."]
    text += f": {whole.purity:.1%} of them are right" if clean else ""
    text += f" (of all labels {1 - whole.flipped:.1%}). "
    if not noise:
        return [f"{text}None was called noise."]
    text += f"Called noise: {noise:,}, {whole.precision:.1%} of them wrong"
    return [f"{text}; that finds {whole.recall:.1%} of all wrong labels."]


def _found_table(report: Report) -> list[str]:
    """Every network beside each other, where there are several."""
    networks = [network for network in report.partitions if network.truth_known]
    rows = [(network_name(network.result), *_percents(_overall(network))[1:]) for network in networks]
    head = ("network", "clean: right", "noise: wrong", "found")
    return [table(head, rows, caption="The same over all labels, of every network that sorted.")] if rows[1:] else []


def _overall(network: Sorted) -> Quality:
    return Quality.of(network.record.sizes[-1].sum(0), network.record.wrong[-1].sum(0))


def _percents(quality: Quality, label: int | None = None) -> list[str]:
    """Wrong labels, purity, precision and recall, of one class or of all."""
    found = (quality.flipped, quality.purity, quality.precision, quality.recall)
    values = [float(value if label is None else value[label]) for value in found]
    return ["–" if np.isnan(value) else f"{100 * value:.1f}" for value in values]


def _drowned(each: Quality, sizes: np.ndarray, names: Sequence[str]) -> list[str]:
    """The classes whose believed labels are mostly wrong, and those none of whose labels is believed."""
    order = [int(label) for label in np.argsort(each.purity, kind="stable") if np.isfinite(each.purity[label])]
    under = [label for label in order if each.purity[label] < DROWNED]
    lines = []
    if under:
        told = ", ".join(f"{names[label]} ({each.purity[label]:.0%})" for label in under[:NAMED])
        told += f" and {len(under) - NAMED} more" if len(under) > NAMED else ""
        lines.append(f"Classes that drown in wrong labels, fewer than half of those believed are right: {told}.")
    elif order:
        lowest = order[0]
        lines.append(
            "No class drowns: of every class at least half of the labels that are believed are right, the fewest of "
            f"{names[lowest]} ({each.purity[lowest]:.0%})."
        )
    nothing = [names[i] for i in np.flatnonzero(sizes.sum(1)).tolist() if not sizes[i, CLEAN]]
    if nothing:
        more = f" and {len(nothing) - NAMED} more" if len(nothing) > NAMED else ""
        lines.append(f"Classes none of whose labels is believed: {', '.join(nothing[:NAMED])}{more}.")
    return lines
