import argparse
import re

import numpy as np
import pytest

from pasm_aug.cli import report as job
from pasm_aug.report.comparison import comparable, run_names, write_comparison
from tests.made_runs import made_run, predictions, scores
from tests.shapes import Shapes

DATA = Shapes(30)


def cells(text, section):
    """The rows of the first table of a section."""
    part = text.partition(f'id="{section}"')[2]
    body = part.partition("<tbody>")[2].partition("</tbody>")[0]
    return [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in body.split("</tr>")[:-1]]


def test_runs_stand_side_by_side_with_the_options_that_differ(tmp_path):
    runs = [
        made_run(tmp_path / name, DATA, seed=seed, rise=rise) for name, seed, rise in (("a", 0, 0.05), ("b", 1, 0.15))
    ]
    text = write_comparison(tmp_path / "page.html", runs).read_text()
    rows = cells(text, "runs")
    assert [row[0] for row in rows] == ["a", "b"]
    first, second = (run.main[-1].test.predictions for run in runs)
    right = np.array([first[0] == first[1], second[0] == second[1]])
    n, won, lost = right.shape[1], (right[1] & ~right[0]).sum(), (right[0] & ~right[1]).sum()
    assert won > lost
    up, down = (won + 1) / (n + 2), (lost + 1) / (n + 2)  # Bonett and Price 2012, equation 3
    half = 1.96 * np.sqrt((up + down - (up - down) ** 2) / (n + 2))
    half *= (n + 2) / n  # theirs is around the adjusted difference, which is smaller than the gain by as much
    gain = (won - lost) / n
    assert rows[0][3:5] == ["–", ""]
    assert rows[1][3] == f"{100 * gain:+.1f} ±{100 * half:.1f}"
    assert rows[1][4] == ("a clear gain" if gain > half else "no measurable effect")
    assert rows[0][1].startswith(f"{100 * right[0].mean():.1f} ±")
    assert cells(text, "options") == [["seed", "0", "1"]]
    assert text.count("<img") == 2
    assert "http" not in text
    assert [row[0] for row in cells(text, "costs")] == ["a", "b"]
    assert "Highest on validation: b (PASM, round 2)" in text


@pytest.mark.filterwarnings("error")
def test_runs_of_every_kind_are_compared(tmp_path):
    runs = [
        made_run(tmp_path / "a", DATA, rounds=0, baselines=()),
        made_run(tmp_path / "old", DATA, known=False, config={"lr": 0.1}),
        made_run(tmp_path / "other", Shapes(21), arm="cam-region", config={"data": "<b>"}),
    ]
    for metrics in (tmp_path / "a").glob("*/metrics.csv"):
        metrics.unlink()
    text = write_comparison(tmp_path / "page.html", runs).read_text()
    rows = cells(text, "runs")
    assert rows[1][3] != "–"  # the same number of each class: compared, though not image by image
    assert rows[2][3] == "–"  # other images
    assert "&lt;b&gt;" in text
    assert ["lr", "–", "0.1", "–"] in cells(text, "options")


def test_two_different_runs_at_least_are_needed(tmp_path):
    run = made_run(tmp_path, DATA, rounds=0, baselines=())
    for runs in ([run], [run, run]):
        with pytest.raises(ValueError, match="two or more different runs"):
            write_comparison(tmp_path / "page.html", runs)
    assert not (tmp_path / "page.html").exists()


def test_runs_are_named_by_as_much_of_their_path_as_tells_them_apart(tmp_path):
    assert run_names([tmp_path / "a", tmp_path / "b"]) == ["a", "b"]
    assert run_names([tmp_path / "x" / "a", tmp_path / "y" / "a"]) == ["x/a", "y/a"]
    assert run_names([tmp_path / "a", tmp_path / "a" / "a"]) == [f"{tmp_path.name}/a", "a/a"]


def test_only_answers_to_the_same_images_are_compared():
    labels = DATA.labels
    known = [scores(labels, predictions(labels, 0.5, 3, seed), 3) for seed in (0, 1)]
    unknown = scores(labels, predictions(labels, 0.5, 3, 2), 3, predictions=False)
    turned = scores(labels[::-1], labels[::-1], 3)
    assert comparable(*known).paired is not None
    assert comparable(known[0], unknown).paired is None
    assert comparable(known[0], turned) is None
    assert comparable(known[0], None) is None


def test_the_command_reports_one_run_and_compares_several(tmp_path, capsys):
    folders = [tmp_path / "runs" / name for name in ("a", "b")]
    for folder in folders:
        made_run(folder, DATA, rounds=1, baselines=(), config={"data": "folder", "root": "/nowhere"})
    job.report(argparse.Namespace(runs=folders, page=None))
    assert (tmp_path / "runs" / "comparison.html").exists()
    job.report(argparse.Namespace(runs=folders, page=tmp_path / "page.html"))
    assert (tmp_path / "page.html").exists()
    capsys.readouterr()
    job.report(argparse.Namespace(runs=folders[:1], page=tmp_path / "copy.html"))
    said = capsys.readouterr().out
    assert "goes without them" in said  # the images are not there
    assert "Why it stopped: Every round was run." in said
    assert (tmp_path / "copy.html").read_text() == (folders[0] / "report.html").read_text()
