"""FER+ from tables and from folders, its policies, whole and malformed. The files are made here."""

import csv
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from pasm_aug.data.ferplus import FERPlus
from pasm_aug.data.ferplus_votes import CHOICES, CLASSES, decide
from pasm_aug.data.registry import open_dataset

pytestmark = pytest.mark.filterwarnings("ignore:FER:UserWarning")

HEADER = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
USAGES = ("Training", "PublicTest", "PrivateTest")
FOLDERS = dict(zip(USAGES, ("FER2013Train", "FER2013Valid", "FER2013Test"), strict=True))
COUNT = 12  # rows a split: one for each class, then those below


def votes_of(label: int) -> list[int]:
    return [8 if prediction == label else int(prediction == 8) * 2 for prediction in range(10)]


# After the eight classes: a tie, an unknown, a removed image (no name), and outliers that only the majority drops.
SPECIAL = [
    [5, 0, 0, 5, 0, 0, 0, 0, 0, 0],
    [1, 0, 0, 0, 0, 0, 0, 0, 9, 0],
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 10],
    [1, 4, 1, 1, 1, 1, 1, 0, 0, 0],
]
VOTES = [*(votes_of(label) for label in range(8)), *SPECIAL]


def rows() -> list[tuple[str, str, list[int]]]:
    numbered = [(usage, row) for usage in USAGES for row in range(COUNT)]
    return [
        (usage, "" if row == 10 else f"fer{number:07}.png", VOTES[row]) for number, (usage, row) in enumerate(numbered)
    ]


def face(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (48, 48), dtype=np.uint8)


def write_new(path: Path, newline: str = "\n") -> None:
    lines = [",".join([usage, name, *map(str, votes)]) for usage, name, votes in rows()]
    path.write_bytes(("\ufeff" + newline.join([HEADER, *lines, "", ""])).encode())


def write_tables(root: Path, pixels: str = "fer2013.csv", newline: str = "\n") -> None:
    root.mkdir(parents=True, exist_ok=True)
    write_new(root / "fer2013new.csv", newline)
    lines = [f"0,{' '.join(map(str, face(n).ravel()))},{usage}" for n, (usage, _, _) in enumerate(rows())]
    (root / pixels).write_text("\n".join(["emotion,pixels,Usage", *lines]))


def write_folders(root: Path, labels: str) -> None:
    for number, (usage, name, votes) in enumerate(rows()):
        folder = root / FOLDERS[usage]
        folder.mkdir(parents=True, exist_ok=True)
        if name:
            Image.fromarray(face(number)).save(folder / name)
            box = ["(0, 0, 48, 48)"] if labels == "with box" else []
            if labels != "new":
                with (folder / "label.csv").open("a", newline="") as file:
                    csv.writer(file).writerow([name, *box, *votes])
    if labels == "new":
        write_new(root / "fer2013new.csv")


LAYOUTS = {
    "csv": write_tables,
    "crlf": lambda root: write_tables(root, newline="\r\n"),
    "icml": lambda root: write_tables(root, "icml_face_data.csv"),
    "folders": lambda root: write_folders(root, "with box"),
    "folders without box": lambda root: write_folders(root / "data", "without box"),
    "folders and new csv": lambda root: write_folders(root, "new"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_images(tmp_path, layout):
    LAYOUTS[layout](tmp_path)
    for part, split in enumerate(("train", "val", "test")):
        dataset = FERPlus(tmp_path, split)
        kept = [*range(8), 11]
        assert dataset.classes == list(CLASSES)
        assert dataset.labels.tolist() == [*range(8), 1]
        assert dataset.votes.tolist() == [VOTES[row] for row in kept]
        assert [(image.mode, image.size) for image, _ in dataset] == [("L", (48, 48))] * 9
        for position, row in enumerate(kept):
            assert np.array_equal(np.asarray(dataset[position][0]), face(COUNT * part + row))
        if layout.startswith("folders"):
            assert dataset.paths[0] == next(tmp_path.rglob(f"fer{COUNT * part:07}.png"))
        else:
            assert dataset.paths == [None] * 9
        assert dataset.left_out["no majority"] == 2
        assert dataset.left_out.get("removed by FER+", 0) == (0 if "box" in layout or layout == "folders" else 1)
    again = pickle.loads(pickle.dumps(dataset))
    assert again[3][0].tobytes() == dataset[3][0].tobytes()


def test_policies(tmp_path):
    write_tables(tmp_path)
    labels = {policy: FERPlus(tmp_path, policy=policy).labels.tolist() for policy in ("plurality", "argmax")}
    assert labels["plurality"] == [*range(8), 1]  # the tie and the unknown are out
    assert labels["argmax"] == [*range(8), 0, 0, 1]  # the first of a tie, whatever unknown has
    with pytest.raises(ValueError, match="policy must be one of majority, plurality, argmax, got 'most'"):
        FERPlus(tmp_path, policy="most")
    with pytest.warns(UserWarning, match="train: 11 found, published 28,558"):
        open_dataset("ferplus", tmp_path)


def majority_by_hand(votes: list[int]) -> int:
    """The reader of FER+'s authors, told anew: outliers out, more than half, an emotion."""
    kept = [count if count > 1 else 0 for count in votes]
    best = max(kept)
    return kept.index(best) if best > sum(kept) / 2 and kept.index(best) < 8 else -1


@given(arrays(np.int64, (5, 10), elements=st.integers(0, 10)))
def test_laws_of_the_policies(votes):
    majority, plurality, argmax = (decide(votes, policy) for policy in ("majority", "plurality", "argmax"))
    assert majority.tolist() == [majority_by_hand(row) for row in votes.tolist()]
    for row, major, plural, most in zip(votes, majority, plurality, argmax, strict=True):
        assert major in (-1, plural)  # who has the majority has the most votes
        if plural >= 0:
            assert most == plural
            assert (np.delete(row, plural) < row[plural]).all()
        assert (most == -1) == (row[:8].sum() == 0)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("Training,a.png,1,0,0,0,0,0,0,0,0", "line 3: expected 12 columns .*got 11"),
        ("Training,a.png,x,0,0,0,0,0,0,0,0,0", "line 3: votes for neutral must be an integer in 0 .. 100, got 'x'"),
        ("Training,a.png,0,0,0,0,0,0,0,0,0,-1", "line 3: votes for nf .* got '-1'"),
        ("Train,a.png,0,0,0,0,0,0,0,0,0,1", "line 3: Usage must be one of Training, .* got 'Train'"),
        (
            "Training,fer0000000.png,8,0,0,0,0,0,0,0,0,0",
            "line 3: the image 'fer0000000.png' stands already in line 2",
        ),
    ],
)
def test_malformed_rows_are_named(tmp_path, line, message):
    write_tables(tmp_path)
    path = tmp_path / "fer2013new.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:2], line, *lines[3:]]))
    with pytest.raises(ValueError, match=message) as caught:
        FERPlus(tmp_path)
    assert str(path) in str(caught.value)


def test_files_that_do_not_go_together(tmp_path, monkeypatch):
    write_tables(tmp_path)
    monkeypatch.setattr("pasm_aug.data.ferplus._ENOUGH", 5)
    with pytest.raises(ValueError, match=r"labels agree in only .* of Training: one of them is in another order"):
        FERPlus(tmp_path)
    path = tmp_path / "fer2013.csv"
    path.write_text("\n".join(path.read_text().splitlines()[:-1]))
    with pytest.raises(ValueError, match="must go row by row: 11 and 12 rows of PrivateTest"):
        FERPlus(tmp_path, "test")


def test_missing_things_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no FER\+ in .*fer2013new\.csv beside"):
        FERPlus(tmp_path)
    write_folders(tmp_path, "with box")
    (tmp_path / "FER2013Valid" / "fer0000012.png").unlink()
    (tmp_path / "FER2013Valid" / "fer0000013.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"names 11 images, 2 of them missing, the first: .*fer0000012\.png"):
        FERPlus(tmp_path, "val")
    label = tmp_path / "FER2013Test" / "label.csv"
    label.write_text(label.read_text() + "a.png,1,2\n")
    with pytest.raises(ValueError, match=r"label\.csv, line 12: expected a name.* got 3 cells"):
        FERPlus(tmp_path, "test")
    label.unlink()
    with pytest.raises(FileNotFoundError, match=r"FER2013Test has no label\.csv"):
        FERPlus(tmp_path, "test")
    assert len(CHOICES) == 10
