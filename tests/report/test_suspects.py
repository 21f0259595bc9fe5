"""Findings in words: rows, table, lines, and what is measured against the truth."""

import numpy as np
import pytest

from pasm_aug.report.suspects import Findings

CLASSES = ["anger", "fear", "joy of life and more"]


def findings(**more):
    probabilities = np.array([[0.8, 0.1, 0.1], [0.1, 0.7, 0.2], [0.05, 0.9, 0.05], [0.2, 0.8, 0.0], [0.3, 0.6, 0.1]])
    given = {"split": ["train"] * 3 + ["val"] * 2, "index": [0, 1, 2, 0, 1], "path": ["a", "b", "", "d", "e"]}
    labels = np.array([0, 1, 0, 1, 1])
    return Findings(probabilities.astype(np.float32), labels, CLASSES, place=np.arange(5), **given | more)


def test_rows_in_their_order():
    rows = findings(noise_epochs=np.arange(5), truth=["anger", "fear", "fear", "fear", "fear"]).rows()
    assert [row["rank"] for row in rows] == [1, 2, 3, 4, 5]
    assert rows[0] == {
        "rank": 1, "split": "train", "index": 2, "path": "", "label": "anger", "p_label": "0.05", "predicted": "fear",
        "p_predicted": "0.9", "probably_wrong": "true", "noise_epochs": 2, "true_label": "fear",
    }  # fmt: skip
    assert [row["path"] for row in rows] == ["", "e", "b", "a", "d"]  # equal ones as they stand
    assert [row["probably_wrong"] for row in rows] == ["true"] + ["false"] * 4


def test_what_networks_say_together_ranks_and_must_agree():
    together = np.array([[0.2, 0.7, 0.1], [0.1, 0.8, 0.1], [0.5, 0.4, 0.1], [0.1, 0.9, 0.0], [0.3, 0.6, 0.1]])
    found = findings(together=together.astype(np.float32))
    rows = found.rows()
    assert [row["path"] for row in rows] == ["a", "", "e", "b", "d"]
    assert [row["p_label_together"] for row in rows] == ["0.2", "0.5", "0.6", "0.8", "0.9"]
    assert list(rows[0])[-2:] == ["p_label_together", "probably_wrong"]
    assert rows[1]["p_label"] == "0.05"  # of the network that has not seen it
    assert not found.wrong.any()  # the third was: together the networks see its label


def test_lines_and_captions():
    found = findings()
    assert found.captions(2) == [("1. anger", "→ fear 90.0%"), ("2. fear", "→ fear 60.0%")]
    assert found.top(2).splitlines() == [
        "   1. train 2: anger (p 0.05) → fear 90.0%",
        "   2. e: fear (p 0.6) → fear 60.0%",
    ]


def test_the_table():
    lines = findings(truth=["anger", "fear", "fear", "joy of life and more", "fear"]).table().splitlines()
    assert [line.split() for line in lines[:3]] == [
        ["class", "images", "suspects", "share", "agreed", "p(label)", "wrong", "area"],
        ["anger", "2", "1", "50.0%", "50.0%", "0.43", "1", "1.000"],
        ["fear", "3", "0", "0.0%", "100.0%", "0.70", "1", "0.333"],
    ]
    assert lines[3].split()[-7:] == ["0", *["–"] * 6]
    assert set(lines[4]) == {"─"}
    assert lines[5].split() == ["all", "5", "1", "20.0%", "80.0%", "0.59", "2", "0.700"]
    assert len({len(line) for line in lines}) == 1


def test_measured_against_the_truth():
    assert findings().measured() == ""
    assert "no label is wrong" in findings(truth=["anger", "fear", "anger", "fear", "fear"]).measured()
    text = findings(truth=["anger", "fear", "fear", "joy of life and more", "fear"]).measured()
    assert "0.700 of the ranking (by chance 0.400); of the suspects 100.0% are wrong labels" in text
    assert "of the wrong labels 50.0% are suspects" in text


def test_more_suspects_than_can_be_believed_are_doubted():
    labels = np.arange(28) % 7
    for wrong, doubted in ((14, False), (15, True)):
        seen = np.where(np.arange(28) < wrong, (labels + 1) % 7, labels)
        sure = (np.eye(7, dtype=np.float32)[seen] * 0.93 + 0.01) / 1.0
        where = {"split": ["train"] * 28, "index": range(28), "path": [""] * 28, "place": np.arange(28)}
        found = Findings(sure, labels, [f"class {k}" for k in range(7)], **where)
        assert found.wrong.sum() == wrong
        assert ("53.6% of the labels are suspects, more than can be believed" in found.doubt()) == doubted
        assert bool(found.doubt()) == doubted


def test_networks_that_have_learned_nothing_are_doubted():
    assert findings().doubt() == ""
    even, labels, where = np.full((4, 3), 1 / 3, dtype=np.float32), np.array([0, 1, 2, 1]), np.arange(4)
    blind = Findings(even, labels, CLASSES, place=where, split=["train"] * 4, index=range(4), path=[""] * 4)
    assert (
        "25.0% of the labels are what is seen in the images, and the most frequent class alone has 50.0%"
        in blind.doubt()
    )
    assert blind.wrong.tolist() == [False] * 4
    assert blind.table().splitlines()[-1].split()[:4] == ["all", "4", "0", "0.0%"]
    with pytest.raises(AttributeError):
        blind.labels = None
