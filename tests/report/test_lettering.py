"""Class names of any signs and length in the charts."""

import io
import logging

import numpy as np
import PIL.Image
import pytest

from pasm_aug.report import charts
from pasm_aug.report.difference import Difference
from pasm_aug.report.figures import accuracy_figure, change_figure, confusion_figure, gains_figure
from pasm_aug.report.lettering import class_label, line_label, literal, shortened, whole
from pasm_aug.report.occlusion_figures import class_occlusion_figure
from pasm_aug.report.partition_figures import class_purity_figure, class_subsets_figure, thresholds_figure
from pasm_aug.report.partitions import Sorted
from tests.made_runs import made_record, network
from tests.report.test_occlusion_figures import made

PLAIN = ["a", "b", "c", "d"]
ODD = {
    "formulas": ["$x^$", r"$\frac$", "a$b$", r"\$"],
    "hidden": ["_a", "__b", "_$c$", "_"],
    "long": ["n" * 70, "a class of an endless name", "m" * 60, "n" * 70],
    "Chinese": ["表情", "高兴", "愤怒", "悲伤"],
    "HTML": ["<b>", "&amp;", '"', "</svg>"],
}


def opened(data):
    with PIL.Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def of_names(names):
    """Every chart that shows class names."""
    matrix = np.arange(16).reshape(4, 4)
    sorted_labels = [Sorted(None, made_record(np.arange(80) % 4, 4, flipped=np.arange(80) % 5 == 0))]
    gains = [Difference(points, 1.0) for points in (4.0, -2.0, 1.0, 3.0)]
    return {
        "confusion": confusion_figure({"first teacher": matrix}, names),
        "change": change_figure(matrix, matrix.T, names),
        "gains": gains_figure(names, gains, "gains"),
        "occlusion": class_occlusion_figure(made(classes=4), names),
        "subsets": class_subsets_figure(sorted_labels[0], names),
        "thresholds": thresholds_figure(sorted_labels, names),
        "purity": class_purity_figure(sorted_labels, names),
    }


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", ODD)
def test_charts_are_as_good_with_any_names_as_with_plain_ones(kind):
    plain = of_names(PLAIN)
    for name, data in of_names(ODD[kind]).items():
        odd, usual = opened(data), opened(plain[name])
        assert odd.shape[1] == usual.shape[1]
        coloured, before = (np.ptp(image, axis=-1) > 30 for image in (odd, usual))  # bars, maps, lines; no letters
        assert 3 * coloured.sum() > before.sum(), name


def test_a_long_name_is_shortened_and_every_sign_is_itself():
    assert shortened("happiness") == "happiness"
    assert shortened("a class of an endless name") == "a class of an e…"
    assert shortened("happiness", 5) == "happ…"
    assert line_label("/" * 80) == "/" * 55 + "…"
    assert literal("happiness") == "happiness"
    assert literal("$x$") == r"\$x\$"
    assert class_label("_" * 20) == "\N{ZERO WIDTH SPACE}" + "_" * 15 + "…"


def test_no_name_is_missing_from_a_legend(monkeypatch):
    monkeypatch.setattr("pasm_aug.report.partition_figures.png", lambda figure: figure.legends[0].get_texts())
    shown = thresholds_figure([Sorted(None, made_record(np.arange(80) % 4, 4))], ODD["hidden"])
    assert [text.get_text() for text in shown] == [class_label(name) for name in ODD["hidden"]]
    monkeypatch.setattr("pasm_aug.report.figures.png", lambda figure: figure.legends[0].get_texts())
    first = network("teacher", 0, 700)
    shown = accuracy_figure({"_run": [first], "$1": [first]}, ("val",), {})  # of runs, by their folders
    assert [text.get_text() for text in shown] == ["\N{ZERO WIDTH SPACE}_run", r"\$1"]


def test_a_sign_is_taken_from_a_further_font_where_one_is_installed(monkeypatch, caplog):
    caplog.set_level(logging.WARNING)
    drawn = []
    for fonts in ((), ("No Such Font",), ("No Such Font", "STIXGeneral")):
        monkeypatch.setattr(charts, "CJK", fonts)
        drawn.append(gains_figure(["\N{WATCH}"], [Difference(1.0, 1.0)], ""))  # not of DejaVu Sans
    assert caplog.text == ""
    assert drawn[0] == drawn[1]
    assert drawn[1] != drawn[2]


def test_whole_numbers_have_signs_of_one_width():
    assert [whole(value) for value in (-6.4, -0.4, 0.0, 3.6)] == ["−6", "0", "0", "4"]
    assert [whole(value, "+") for value in (-6.4, -0.4, 0.0, 3.6)] == ["−6", "0", "0", "+4"]
