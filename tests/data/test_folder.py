"""Class folders: layouts, drawn splits, names of classes, bad input."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pasm_aug.data.files import ImageError
from pasm_aug.data.folder import ExpressionFolder


def fill(folder: Path, count: int, first: int = 0) -> None:
    """``count`` 8×6 images, different in each class."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(first, first + count):
        Image.new("RGB", (8, 6), (i % 256, i // 256, sum(folder.name.encode()) % 256)).save(folder / f"{i:04d}.png")


def names(dataset: ExpressionFolder) -> set[str]:
    return {str(path) for path in dataset.paths}


def test_plain_class_folders_are_split_80_10_10(tmp_path):
    for number, name in enumerate(("zebra", "Sad", "happy")):
        fill(tmp_path / name, 40, 100 * number)
    parts = {split: ExpressionFolder(tmp_path, split, seed=2) for split in ("train", "val", "test")}
    assert [len(part) for part in parts.values()] == [96, 12, 12]
    assert len(set().union(*map(names, parts.values()))) == 120
    for part in parts.values():
        assert part.classes == ["happiness", "sadness", "zebra"]
        assert len(set(np.bincount(part.labels))) == 1
        for i in (0, -1):
            assert part[i][0].size == (8, 6)
            assert part.paths[i].parent.name.lower()[:3] == part.classes[part[i][1]][:3]
    assert names(parts["val"]) == names(ExpressionFolder(tmp_path, "val", seed=2))
    assert names(parts["val"]) != names(ExpressionFolder(tmp_path, "val", seed=3))


def test_duplicates_stay_on_one_side(tmp_path):
    for name in ("a", "b"):
        fill(tmp_path / name, 30)
        for i in range(0, 30, 3):
            (tmp_path / name / f"copy{i}.png").write_bytes((tmp_path / name / f"{i:04d}.png").read_bytes())
    contents = [
        {path.read_bytes() for path in ExpressionFolder(tmp_path, split).paths} for split in ("train", "val", "test")
    ]
    assert len(set().union(*contents)) == sum(map(len, contents)) == 60
    assert sum(len(ExpressionFolder(tmp_path, split)) for split in ("train", "val", "test")) == 80


def test_split_folders_are_followed(tmp_path):
    for split, count in (("Train", 9), ("valid", 3), ("test", 2)):
        for name in ("cats", "dogs"):
            fill(tmp_path / split / name, count)
    assert [len(ExpressionFolder(tmp_path, split)) for split in ("train", "val", "test")] == [18, 6, 4]
    assert {path.parent.parent.name for path in ExpressionFolder(tmp_path, "val").paths} == {"valid"}


def test_missing_val_is_drawn_from_train_only(tmp_path):
    for name in ("cats", "dogs"):
        fill(tmp_path / "train" / name, 20)
        fill(tmp_path / "test" / name, 5)
    train, val, test = (ExpressionFolder(tmp_path, split, val_fraction=0.2) for split in ("train", "val", "test"))
    assert (len(train), len(val), len(test)) == (32, 8, 10)
    assert not names(train) & names(val)
    assert {path.parent.parent.name for path in val.paths} == {"train"}


def test_images_are_turned_as_people_see_them_and_grey_ones_stay_grey(tmp_path):
    for name in ("cats", "dogs"):
        fill(tmp_path / "train" / name, 3)
    sideways = Image.new("L", (5, 9), 7)
    exif = sideways.getexif()
    exif[0x0112] = 6
    sideways.save(tmp_path / "train" / "cats" / "9.jpg", exif=exif)
    (tmp_path / "train" / "cats" / "notes.txt").write_text("no image")
    (tmp_path / "train" / "cats" / ".hidden.png").write_bytes(b"no image")
    fill(tmp_path / "val" / "cats", 1)
    fill(tmp_path / "val" / "dogs", 1)
    train = ExpressionFolder(tmp_path)
    assert len(train) == 7
    image, label = train[3]
    assert (image.size, image.mode, label) == ((9, 5), "L", 0)


def test_pickles(tmp_path):
    for name in ("cats", "dogs"):
        fill(tmp_path / name, 10)
    train = ExpressionFolder(tmp_path)
    again = pickle.loads(pickle.dumps(train))
    assert np.array_equal(again[3][0], train[3][0])
    assert again.classes == train.classes


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n broken", "cut"])
def test_unreadable_image_is_named(tmp_path, content):
    for name in ("cats", "dogs"):
        fill(tmp_path / "train" / name, 1)
        fill(tmp_path / "val" / name, 1)
    bad = tmp_path / "train" / "cats" / "0000.png"
    bad.write_bytes(bad.read_bytes()[:-30] if content == "cut" else content)
    with pytest.raises(ImageError, match=r"cats.0000\.png"):
        ExpressionFolder(tmp_path)[0]


def test_bad_folders(tmp_path):
    with pytest.raises(FileNotFoundError, match="missing"):
        ExpressionFolder(tmp_path / "missing")
    with pytest.raises(ValueError, match="two or more classes, got none"):
        ExpressionFolder(tmp_path)
    fill(tmp_path / "only", 5)
    with pytest.raises(ValueError, match=r"two or more classes, got .'only'"):
        ExpressionFolder(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="class 'empty' is empty"):
        ExpressionFolder(tmp_path)
    fill(tmp_path / "empty", 2)
    with pytest.raises(ValueError, match=r"class 'empty' must have at least 3 different images.*got 2"):
        ExpressionFolder(tmp_path)
    with pytest.raises(ValueError, match="split must be one of"):
        ExpressionFolder(tmp_path, "dev")
    for options in ({"val_fraction": 0.0}, {"test_fraction": 1.0}, {"val_fraction": 0.6, "test_fraction": 0.5}):
        with pytest.raises(ValueError, match="fraction must"):
            ExpressionFolder(tmp_path, **options)


def test_two_folders_for_one_class(tmp_path):
    for name in ("happy", "happiness"):
        fill(tmp_path / name, 3)
    with pytest.raises(ValueError, match="two folders for class 'happiness'"):
        ExpressionFolder(tmp_path)


def test_bad_split_folders(tmp_path):
    fill(tmp_path / "test" / "cats", 3)
    with pytest.raises(FileNotFoundError, match="none for train"):
        ExpressionFolder(tmp_path)
    fill(tmp_path / "train" / "cats", 12)
    fill(tmp_path / "train" / "dogs", 12)
    fill(tmp_path / "test" / "cows", 3)
    assert len(ExpressionFolder(tmp_path, "train")) == 22
    with pytest.raises(ValueError, match=r"class 'cows' of .* is none of the known ones: cats, dogs"):
        ExpressionFolder(tmp_path, "test")
    for path in (tmp_path / "test").glob("*/*"):
        path.unlink()
    for path in (tmp_path / "test").iterdir():
        path.rmdir()
    with pytest.raises(FileNotFoundError, match="none for test"):
        ExpressionFolder(tmp_path, "test")


def test_a_class_may_be_called_train(tmp_path):
    for name in ("bus", "train"):
        fill(tmp_path / name, 10)
    assert ExpressionFolder(tmp_path).classes == ["bus", "train"]
