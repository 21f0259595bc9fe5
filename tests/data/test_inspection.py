"""`pasm-aug check`: what is wrong with a data set is found and named, and nothing else is touched. Files made here."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from pasm_aug.cli.entry import main
from pasm_aug.data.inspection import check_data, contact_sheet
from pasm_aug.data.registry import open_dataset

pytestmark = pytest.mark.filterwarnings("ignore:RAF-DB:UserWarning")

SPLITS = ("train", "val", "test")
COLOURS = {"anger": (250, 20, 20), "happiness": (20, 240, 40), "cat": (40, 40, 230)}
SIDE, LABEL, COLUMNS = 72, 110, 12  # of the contact sheet


def write(path, colour, size=(10, 10), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).convert(mode).save(path)


@pytest.fixture
def root(tmp_path):
    """Two images a class in each split, all different, except that two of "test" stand in "train" too."""
    for number, split in enumerate(SPLITS):
        for name, (red, green, blue) in COLOURS.items():
            for copy in range(2):
                colour = (red, green + 2 * number + copy, blue)
                write(tmp_path / "data" / split / name / f"{copy}.png", colour, (10 + copy, 12 if copy else 10))
    for name in ("anger", "cat"):
        image = (tmp_path / "data" / "test" / name / "1.png").read_bytes()
        (tmp_path / "data" / "train" / name / "again.png").write_bytes(image)
    return tmp_path / "data"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """The working folder, empty."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def check(*words):
    return main(["check", "--quiet", *map(str, words)])


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def row_of(text, name):
    return next(line.split()[1:] for line in text.splitlines() if line.split()[:1] == [name])


def test_a_sound_folder(root, here, tmp_path, capsys):
    before, out = contents(root), tmp_path / "deep" / "out"
    assert check("--root", root, "--out", out) == 0
    text = capsys.readouterr().out
    assert row_of(text, "anger") == ["3", "2", "2"]
    assert row_of(text, "happiness") == ["2", "2", "2"]
    assert row_of(text, "all") == ["8", "6", "6"]
    assert "train: images of 11×12 (5), 10×10 (3) pixels; modes RGB (8)" in text
    assert "train and test: 2 different images in both (2 of train, 2 of test)" in text
    assert "train and val: 0 different images in both" in text
    found = json.loads((out / "check.json").read_text())
    assert found["splits"]["test"]["counts"] == dict.fromkeys(COLOURS, 2)
    assert found["splits"]["test"]["sizes"] == {"10×10": 3, "11×12": 3}
    assert found["missing"] == {}
    assert all(line in text for line in found["overlaps"])
    assert {path.name for path in out.iterdir()} == {"check.json", "contact-sheet.png"}
    assert contents(root) == before
    assert not list(here.iterdir())


def test_without_out_it_writes_below_runs(root, here):
    assert check("--root", root) == 0
    assert {str(path.relative_to(here)) for path in contents(here)} == {
        "runs/check-folder/check.json",
        "runs/check-folder/contact-sheet.png",
    }


def test_unreadable_files_are_named_and_the_rest_is_reported(root, tmp_path, capsys):
    (root / "train" / "anger" / "0.png").write_bytes(b"no image")
    whole = (root / "test" / "cat" / "0.png").read_bytes()
    (root / "test" / "cat" / "0.png").write_bytes(whole[: len(whole) // 2])
    out = tmp_path / "out"
    assert check("--root", root, "--out", out) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("pasm-aug: error: 2 images of folder cannot be read")
    assert captured.err.count("\n") == 1
    for split, name in (("train", "anger"), ("test", "cat")):
        assert f"{split}: cannot read {root / split / name / '0.png'} as an image" in captured.out
    assert "val: cannot read" not in captured.out
    assert row_of(captured.out, "anger") == ["3", "2", "2"]
    assert "train: images of 11×12 (5), 10×10 (2) pixels; modes RGB (7)" in captured.out
    assert "train and test: 2 different images in both" in captured.out
    found = json.loads((out / "check.json").read_text())["splits"]
    assert [len(found[split]["unreadable"]) for split in SPLITS] == [1, 0, 1]
    assert str(root / "test" / "cat" / "0.png") in found["test"]["unreadable"][0]
    assert (out / "contact-sheet.png").exists()


def test_long_lists_are_cut_in_the_text_but_not_in_the_file(root, tmp_path, capsys):
    for number in range(7):
        write(root / "val" / "cat" / f"size{number}.png", (number, 0, 0), (20 + number, 20))
        (root / "val" / "anger" / f"bad{number}.png").write_bytes(b"")
    assert check("--root", root, "--out", tmp_path / "out") == 2
    text = capsys.readouterr().out
    assert text.count("val: cannot read") == 5
    assert "val: and 2 other unreadable files" in text
    assert "val: images of 10×10 (3), 11×12 (3), 20×20 (1), 21×20 (1), 22×20 (1) and 4 other sizes pixels" in text
    found = json.loads((tmp_path / "out" / "check.json").read_text())["splits"]["val"]
    assert (len(found["unreadable"]), len(found["sizes"])) == (7, 9)


def test_modes_and_images_that_repeat_in_another_mode(root, tmp_path, capsys):
    for mode in ("L", "1", "P", "LA", "RGBA"):
        write(root / "val" / "cat" / f"mode{mode}.png", (255, 255, 255), mode=mode)
    write(root / "val" / "cat" / "cmyk.tif", (255, 255, 255), mode="CMYK")
    assert check("--root", root, "--out", tmp_path / "out") == 0
    found = json.loads((tmp_path / "out" / "check.json").read_text())["splits"]["val"]
    assert found["modes"] == {"RGB": 6, "L": 1, "1": 1, "P": 1, "LA": 1, "RGBA": 1, "CMYK": 1}
    assert "val: 12 images, 5 of them repeat another" in capsys.readouterr().out  # white in six modes is one image


def test_equal_images_of_different_classes_are_told(root, tmp_path, capsys):
    (root / "val" / "anger" / "0.png").write_bytes(b"no image")  # which must not shift the labels of the others
    (root / "val" / "cat" / "0.png").write_bytes((root / "val" / "anger" / "1.png").read_bytes())
    assert check("--root", root, "--out", tmp_path / "out") == 2
    text = capsys.readouterr().out
    assert "val: 5 images, 1 of them repeat another, 1 groups (2 images) with conflicting labels" in text


def test_a_missing_test_split_is_told(root, tmp_path, capsys):
    (root / "test").rename(tmp_path / "elsewhere")
    assert check("--root", root, "--out", tmp_path / "out") == 0
    text = capsys.readouterr().out
    assert "test: none (" in text
    assert "but none for test" in text
    assert row_of(text, "all") == ["8", "6"]
    found = json.loads((tmp_path / "out" / "check.json").read_text())
    assert list(found["splits"]) == ["train", "val"]
    assert list(found["missing"]) == ["test"]


def test_no_read_counts_only(root, tmp_path, capsys):
    (root / "train" / "anger" / "0.png").write_bytes(b"no image")
    assert check("--root", root, "--no-read", "--out", tmp_path / "out") == 0
    text = capsys.readouterr().out
    assert row_of(text, "all") == ["8", "6", "6"]
    for word in ("pixels", "cannot read", "repeat", "in both"):
        assert word not in text
    found = json.loads((tmp_path / "out" / "check.json").read_text())
    assert found["overlaps"] == []
    assert found["splits"]["train"]["sizes"] == {}
    assert (tmp_path / "out" / "contact-sheet.png").exists()  # which leaves the unreadable image out


def test_drawn_faces():
    found, opened = check_data("synthetic", length=21, size=32, progress=False)
    assert [list(split.counts.values()) for split in found.splits.values()] == [[3] * 7] * 3
    assert all(split.sizes == {"32×32": 21} for split in found.splits.values())
    assert found.sound
    assert found.overlaps.summary().count(" 0 different images in both") == 3
    assert contact_sheet(opened).size == (LABEL + COLUMNS * SIDE, 21 * SIDE)


def test_what_the_loader_leaves_out_and_warns_of_is_told(tmp_path):
    write_rafdb(tmp_path)
    found, _ = check_data("rafdb", tmp_path, progress=False)
    assert "train: RAF-DB: official train split: 14 found, published 12,271" in found.text()
    assert "RAF-DB: official test split: 14 found, published 3,068" in found.splits["test"].remarks[0]
    sequences = tmp_path / "ck"
    for person in range(30):
        for sequence, name in enumerate(("anger", "contempt"), start=1):
            write(sequences / name / f"S{person:03}_{sequence:03}_00000015.png", (person, sequence, 0))
    found, _ = check_data("ckplus", sequences, progress=False, contempt=False)
    assert found.splits["train"].left_out["contempt"] > 0
    assert f"train: left out, contempt: {found.splits['train'].left_out['contempt']}" in found.text()
    assert json.loads(json.dumps(found.asdict()))["splits"]["train"]["left_out"] == found.splits["train"].left_out


def write_rafdb(root):
    lines = []
    for split in ("train", "test"):
        for number in range(14):
            stem = f"{split}_{number + 1:04}"
            write(root / "Image" / "aligned" / f"{stem}_aligned.jpg", (15 * number, 0, 99 if split == "test" else 0))
            lines.append(f"{stem}.jpg {number % 7 + 1}")
    (root / "EmoLabel").mkdir()
    (root / "EmoLabel" / "list_patition_label.txt").write_text("\n".join(lines))


def test_a_malformed_line_is_one_line_with_file_and_number(tmp_path, capsys):
    write_rafdb(tmp_path / "raf")
    table = tmp_path / "raf" / "EmoLabel" / "list_patition_label.txt"
    table.write_text(table.read_text().replace("train_0003.jpg 3", "train_0003.jpg 8"))
    assert check("--data", "rafdb", "--root", tmp_path / "raf", "--out", tmp_path / "out") == 2
    captured = capsys.readouterr()
    assert captured.err == f"pasm-aug: error: {table}, line 3: label must be an integer in 1 .. 7, got '8'\n"
    assert not captured.out
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("words", [["--root", "/nowhere"], [], ["--data", "rafdb", "--root", "/nowhere"]])
def test_no_data_set_is_one_line(words, here, capsys):
    assert check(*words) == 2
    err = capsys.readouterr().err
    assert "/nowhere" in err if words else "root must name the folder" in err
    assert err.count("\n") == 1
    assert not list(here.iterdir())


def test_the_contact_sheet_shows_each_class_in_its_row(root):
    for number in range(20):
        write(root / "train" / "happiness" / f"more{number}.png", (0, 255 - number, 0), (40, 30))
    splits = {split: open_dataset("folder", root, split) for split in SPLITS}
    sheet = contact_sheet(splits, seed=3)
    assert sheet.size == (LABEL + COLUMNS * SIDE, 9 * SIDE)
    pixels = np.asarray(sheet).astype(int)
    shown = []
    for row in range(9):
        dataset, label = splits[SPLITS[row // 3]], row % 3
        colours = {dataset.image(int(i)).getpixel((0, 0)) for i in np.flatnonzero(dataset.labels == label)}
        assert (pixels[row * SIDE : (row + 1) * SIDE, :LABEL] < 128).any()  # something is written there
        cells = [pixels[row * SIDE : (row + 1) * SIDE, LABEL + SIDE * c :][:, :SIDE] for c in range(COLUMNS)]
        taken = [tuple(cell[SIDE // 2, SIDE // 2].tolist()) for cell in cells if (cell < 255).any()]
        assert set(taken) <= colours
        assert len(taken) == len(set(taken)) == min(COLUMNS, len(colours))
        for cell, colour in zip(cells, taken, strict=False):
            assert (cell[: SIDE - 2, : SIDE - 2] == colour).all()
            assert (cell[SIDE - 2 :] == 255).all()
        shown.append(taken)
    assert np.array_equal(contact_sheet(splits, seed=3), sheet)
    assert not np.array_equal(contact_sheet(splits, seed=4), sheet)  # another dozen of the 22


def test_a_real_process(root, tmp_path):
    (root / "train" / "anger" / "0.png").write_bytes(b"no image")
    done = subprocess.run(
        [sys.executable, "-m", "pasm_aug", "check", "--root", str(root), "--quiet", "--out", str(tmp_path / "out")],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert str(root / "train" / "anger" / "0.png") in done.stdout
