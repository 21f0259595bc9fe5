"""The sections of a report on the labels that ASM sorted: which were believed, and which are the most suspicious."""

from __future__ import annotations

import numpy as np

from pasm_aug.asm.subsets import SUBSETS
from pasm_aug.core.image_content import dataset_digest
from pasm_aug.report.gallery import caption_figures
from pasm_aug.report.lettering import shortened
from pasm_aug.report.outcome import network_name
from pasm_aug.report.page import grid, heading, paragraph, table
from pasm_aug.report.partition_figures import BARS, LINES, class_subsets_figure, subsets_figure, thresholds_figure
from pasm_aug.report.partitions import Sorted, most_suspicious
from pasm_aug.report.sections import Report

ASM = (
    "Adaptive Sample Mining (Zhang et al., arXiv 2310.05618) trains two networks at once and, before every epoch, "
    "calls each training label clean, ambiguous or noise, by the probability that both give it against two thresholds "
    "of its class. Clean labels are learned as they are, ambiguous ones partly from the other network's answer, and of "
    "noise only that two views of the image get the same answer; how many labels are wrong, nobody has to tell."
)
SUSPECTS = 16


def believed(report: Report) -> list[str]:
    """The three subsets by epoch and class, the thresholds, and what moved between the last two epochs."""
    networks = main_partitions(report)
    if not networks:
        return []
    last, names = networks[-1], class_names(report)
    parts = [paragraph(ASM), _shares_table(report)]
    few = f" Of many classes the {LINES} with the most noise." if len(names) > LINES else ""
    text = "Labels called clean, ambiguous and noise, by epoch; before the first sorting all count as clean."
    charts = [report.draw("labels-epochs", subsets_figure(networks), text)]
    text = f"The same by class, before the last epoch of {the_network(last)} (labels as given, and how many there are)."
    text += f" Of many classes the {BARS} with the most noise." if len(names) > BARS else ""
    charts.append(report.draw("labels-classes", class_subsets_figure(last, names), text))
    if text := _thresholds_sentence(last):
        parts.append(paragraph(text))
    else:
        text = "Thresholds of each class by epoch: from the solid line on a label is clean, up to the dashed it is "
        charts.append(report.draw("thresholds", thresholds_figure(networks, names), f"{text}noise.{few}"))
    parts.append(grid(charts))
    if len(last.record.epochs) > 1:
        parts += [heading("What the last epoch changed"), _moved(last)]
    return parts


def suspects(report: Report) -> list[str]:
    """The images whose label is the least probable."""
    networks = main_partitions(report)
    if not networks or report.dataset is None:
        return []
    last, data = networks[-1], report.dataset
    record, names = last.record, class_names(report)
    if len(data) != len(record.p_label) or record.about.get("data") not in (None, dataset_digest(data)):
        return [paragraph("The training images are not those whose labels were sorted: no images are shown.", "note")]
    picks = most_suspicious(record, SUSPECTS)
    truth, labels = getattr(data, "true_labels", None), np.asarray(data.labels)
    captions = []
    for place, index in enumerate(picks, 1):
        lines = [f"{place}. {shortened(names[labels[index]])}"]
        p, count = float(record.p_label[index]), int(record.noise_counts[index])
        lines += [f"p {p:.3f}" if p >= 0.001 else "p < 0.001", f"noise {count:,} of {len(record.epochs):,}"]
        if truth is not None:
            right = truth[index] == labels[index]
            lines.append("✗ label is right" if right else f"✓ truly {shortened(names[truth[index]])}")
        captions.append("\n".join(lines))
    text = (
        f"Training images whose label is the least probable: the label, its probability p before the last epoch of "
        f"{the_network(last)}, and how many of its {len(record.epochs):,} sortings called it noise."
    )
    if truth is not None:
        hits = int(np.sum(truth[picks] != labels[picks]))
        text += f" {hits} of these {len(picks)} labels were made wrong (✓, with what is true)."
    text += " The command pasm-aug audit ranks all labels, by networks that have not been trained on them."
    figures = caption_figures(data, picks, captions)
    drawn = (report.draw(f"suspects-{n}", image, "The least probable labels.") for n, image in enumerate(figures, 1))
    return [paragraph(text, "note"), grid(drawn)]


def main_partitions(report: Report) -> list[Sorted]:
    """Of the networks of the main arm, in their order."""
    folders = {result.folder for result in report.run.main}
    return [network for network in report.partitions if network.result.folder in folders]


def class_names(report: Report) -> list[str]:
    """Names of the labels, as many as the networks have outputs."""
    last = main_partitions(report)[-1].record
    count = last.sizes.shape[1]
    names = report.classes if len(report.classes) == count else last.about.get("classes") or range(count)
    return [str(name) for name in names]


def the_network(network: Sorted) -> str:
    """Its name, within a sentence."""
    return network_name(network.result) if network.result.round else "the first teacher"


def _shares_table(report: Report) -> str:
    rows = []
    for network in report.partitions:
        sizes = network.record.sizes[-1].sum(0)
        rows.append((network_name(network.result), *(f"{part / sizes.sum():.1%}" for part in sizes)))
    picked = [network is main_partitions(report)[-1] for network in report.partitions]
    return table(("network", *SUBSETS), rows, picked, caption="Labels by what they were called before the last epoch.")


def _thresholds_sentence(network: Sorted) -> str:
    """In place of a chart of thresholds that are all the same, or that decide nothing; else empty."""
    bounds = network.record.thresholds
    if (network.record.about.get("options") or {}).get("combine") == "agree":
        return "Thresholds decided nothing: a label is clean where both networks predict it, noise where neither does."
    if np.ptp(bounds, axis=(0, 1)).any():
        return ""
    low, high = bounds[-1, 0]
    return f"The thresholds were the same for all classes: clean from {high:.2g} on, noise up to {low:.2g}."


def _moved(network: Sorted) -> str:
    moved = network.record.moved[-1]
    rows = [(f"from {name}", *(f"{count:,}" for count in moved[i].tolist())) for i, name in enumerate(SUBSETS)]
    changed = moved.sum() - np.trace(moved)
    caption = (
        f"Labels by what they were called before the last epoch of {the_network(network)}, and one epoch earlier; "
        f"{changed:,} of {moved.sum():,} ({changed / moved.sum():.1%}) changed."
    )
    return table(("", *(f"to {name}" for name in SUBSETS)), rows, caption=caption)
