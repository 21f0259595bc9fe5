"""Data sets listed in a table: separators, labels, splits, persons, and tables that are wrong."""

import os
import pickle
from pathlib import Path

import pytest
from PIL import Image

from pasm_aug.data.base import SPLITS
from pasm_aug.data.files import ImageError
from pasm_aug.data.manifest import Manifest
from pasm_aug.data.registry import open_dataset

pytestmark = pytest.mark.filterwarnings("ignore:part .* has no:UserWarning")

NAMES = ("Happy", "zebra", "sad")


def write(folder: Path, lines: list[str], name: str = "manifest.csv", images: int = 60, newline: str = "\n") -> Path:
    """The table, and ``images`` different images p00.png, …."""
    (folder / "in").mkdir(parents=True, exist_ok=True)
    for i in range(images):
        Image.new("RGB", (5, 4), (i, 0, 0)).save(folder / "in" / f"p{i:02}.png")
    (folder / name).write_bytes(newline.join(lines).encode())
    return folder / name


def rows(extra=lambda i: "", count: int = 60, label=lambda i: NAMES[i % 3]) -> list[str]:
    return [f"in/p{i:02}.png,{label(i)}{extra(i)}" for i in range(count)]


def shades(dataset: Manifest) -> list[int]:
    return [image.getpixel((0, 0))[0] for image, _ in dataset]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("name", ["manifest.csv", "labels.tsv"])
def test_separators_marks_and_blanks(tmp_path, delimiter, name):
    lines = [line.replace(",", f" {delimiter} ") for line in ["Path,LABEL,note", *rows(lambda i: ',"of, course"')]]
    lines = [line.replace(f" {delimiter} course", ", course") for line in lines]
    path = write(tmp_path, ["\ufeff" + lines[0], "", *lines[1:], "  "], name, newline="\r\n")
    parts = {split: Manifest(tmp_path, split) for split in ("train", "val", "test")}
    assert [len(part) for part in parts.values()] == [48, 6, 6]
    assert sorted(shade for part in parts.values() for shade in shades(part)) == list(range(60))
    for part in parts.values():
        assert part.classes == ["happiness", "sadness", "zebra"]
        wanted = [{"Happy": 0, "sad": 1, "zebra": 2}[NAMES[shade % 3]] for shade in shades(part)]
        assert part.labels.tolist() == [label for _, label in part] == wanted
    assert Manifest(path, "val").paths == parts["val"].paths
    assert Manifest(path, "val", seed=1).paths != parts["val"].paths
    assert open_dataset("manifest", path, "val", seed=1).paths == Manifest(path, "val", seed=1).paths
    assert pickle.loads(pickle.dumps(parts["test"])).paths == parts["test"].paths


def test_the_column_split_is_followed(tmp_path):
    words = ("train", "Training", "VAL", "validation", "test", "PrivateTest")
    write(tmp_path, ["path,label,split", *rows(lambda i: "," + words[i % 6])])
    for split, own in (("train", (0, 1)), ("val", (2, 3)), ("test", (4, 5))):
        assert shades(Manifest(tmp_path, split)) == [i for i in range(60) if i % 6 in own]


def test_without_val_it_is_drawn_from_train(tmp_path):
    write(
        tmp_path, ["path,split,label", *(f"in/p{i:02}.png,{'train' if i < 50 else 'test'},{i % 2}" for i in range(60))]
    )
    train, val, test = (Manifest(tmp_path, split, val_fraction=0.2) for split in ("train", "val", "test"))
    assert (len(train), len(val)) == (40, 10)
    assert sorted(shades(train) + shades(val)) == list(range(50))
    assert shades(test) == list(range(50, 60))
    write(tmp_path, ["path,label,split", *rows(lambda i: ",train")])
    with pytest.raises(FileNotFoundError, match="no row whose split is test"):
        Manifest(tmp_path, "test")


def test_persons_and_duplicates_stay_together(tmp_path):
    path = write(tmp_path, ["path,label,person", *rows(lambda i: f",{'' if i >= 45 else f'S{i // 3}'}")])
    for first, other in ((0, 40), (46, 50)):  # two persons have one image; so have two without a name
        (tmp_path / "in" / f"p{other:02}.png").write_bytes((tmp_path / "in" / f"p{first:02}.png").read_bytes())
    for seed in range(8):
        parts = [Manifest(path, split, seed=seed) for split in ("train", "val", "test")]
        sides = [{person for person in part.persons if person} for part in parts]
        assert sum(map(len, sides)) == len(set().union(*sides)) == 15
        assert any({"S0", "S13"} <= side for side in sides)
        contents = [{file.read_bytes() for file in part.paths} for part in parts]
        assert sum(map(len, contents)) == len(set().union(*contents)) == 58
        assert sum(map(len, parts)) == 60


def test_integers_and_the_option_classes(tmp_path):
    path = write(tmp_path, ["path,label", *rows(label=lambda i: (10, 2, 7)[i % 3])])
    assert Manifest(path, "val").classes == ["2", "7", "10"]
    with pytest.raises(ValueError, match="line 2: label must be one of 0, 1, 2, got '10'"):
        Manifest(path, classes=("a", "b", "c"))
    path = write(tmp_path, ["path,label", *rows(label=lambda i: i % 3)])
    named = Manifest(path, classes=("Happy", "sad", "fear"))
    assert named.classes == ["happiness", "sadness", "fear"]
    assert [shade % 3 for shade in shades(named)] == named.labels.tolist()
    path = write(tmp_path, ["path,label", *rows()])
    assert Manifest(path, classes=("zebra", "sadness", "happy")).classes == ["zebra", "sadness", "happiness"]
    with pytest.raises(ValueError, match="line 4: label must be one of zebra, happiness, got 'sad'"):
        Manifest(path, classes=("zebra", "happy"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("in/p02.png", "line 4: expected 3 columns .*got 1"),
        ("in/p02.png,,train", "line 4: label must be a name as in the first row, got ''"),
        ("in/p02.png,3,train", "line 4: label must be a name as in the first row, got '3'"),
        (",sad,train", "line 4: path must not be empty"),
        ("in/p00.png,sad,train", "line 4: 'in/p00.png' stands already in line 2"),
        ("in/./p00.png,sad,train", "line 4: 'in/./p00.png' stands already in line 2"),
        ("in/p02.png,sad,", "line 4: split must be one of train, val, test, got ''"),
        ("in/p02.png,sad,both", "line 4: split must be one of train, val, test, got 'both'"),
    ],
)
def test_malformed_rows(tmp_path, line, message):
    lines = rows(lambda i: ",train")
    path = write(tmp_path, ["path,label,split", *lines[:2], line, *lines[3:]])
    with pytest.raises(ValueError, match=message) as caught:
        Manifest(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label\na.png,x\n", "line 1: column 'path' is missing, got file, label"),
        ("in/p00.png,sad\n", "line 1: column 'path' is missing, got in/p00.png, sad"),
        ("path,label,label\n", "line 1: column 'label' stands there twice"),
        ("", "line 1: column 'path' is missing"),
        ("path,label\n", "lists no image"),
    ],
)
def test_malformed_header(tmp_path, text, message):
    path = write(tmp_path, [text], images=0)
    with pytest.raises(ValueError, match=message):
        Manifest(path)


def test_missing_things_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"root must be a table or a folder with manifest\.csv"):
        Manifest(tmp_path)
    path = write(tmp_path, ["path,label", *rows()])
    for number in (7, 9):
        (tmp_path / "in" / f"p{number:02}.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"names 60 images, 2 of them missing, the first: .*p07\.png"):
        Manifest(path)
    for number in range(60):
        (tmp_path / "in" / f"p{number:02}.png").write_bytes(b"no image %d" % number)
    with pytest.raises(ImageError, match=str(tmp_path)):
        Manifest(path)[0]
    with pytest.raises(ValueError, match=r"val_fraction must lie in \(0, 1\), got 0"):
        Manifest(path, val_fraction=0)
    with pytest.raises(ValueError, match=r"must be less than 1, got 1.2"):
        Manifest(path, val_fraction=0.6, test_fraction=0.6)


def test_names_in_another_encoding_and_absolute_paths(tmp_path):
    path = write(tmp_path, [], images=60)
    for number in (0, 1):
        (tmp_path / "in" / f"p{number:02}.png").rename(tmp_path / "in" / os.fsdecode(b"\xe9%d.png" % number))
    lines = [f"in/é{i}.png,sad" if i < 2 else f"{tmp_path}/in/p{i:02}.png,happy" for i in range(60)]
    path.write_text("\n".join(["path,label", *lines]), encoding="latin-1")
    parts = [Manifest(path, split, test_fraction=0.2) for split in SPLITS]
    assert sorted(shade for part in parts for shade in shades(part)) == list(range(60))
