"""AffectNet in its three layouts, whole and malformed. The files are made here."""

import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pasm_aug.data.affectnet import AffectNet
from pasm_aug.data.affectnet_files import COLUMNS
from pasm_aug.data.listed import look_alikes
from pasm_aug.data.registry import open_dataset

pytestmark = pytest.mark.filterwarnings("ignore:AffectNet:UserWarning")

CLASSES = ["neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt"]
TRAIN = [(f"{i}.jpg", i % 11) for i in range(66)]  # 48 with an emotion, 18 with none
VAL = [(f"{i}.jpg", i % 8) for i in range(100, 116)]
EMOTIONS = {name: label for name, label in TRAIN + VAL if label < 8}


def write_image(path: Path, name: str) -> None:
    """An image whose only colour tells its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (int(name.split(".")[0]), 0, 0)).save(path, format="PNG")


def write_annotations(root: Path) -> None:
    """Labels as they occur: a text, an integer, a float, of no dimension or of one."""
    for folder, listed in (("train_set", TRAIN), ("val_set", VAL)):
        (root / folder / "annotations").mkdir(parents=True)
        for i, (name, label) in enumerate(listed):
            write_image(root / folder / "images" / name, name)
            values = (np.array(str(label)), np.array(label), np.array(float(label)), np.array([label]))
            stem = root / folder / "annotations" / name.split(".")[0]
            np.save(f"{stem}_exp.npy", values[i % 4], allow_pickle=False)
            np.save(f"{stem}_val.npy", np.array("0.5"), allow_pickle=False)


def write_manifest(root: Path, headless: bool = False, images: str = "Manually_Annotated_Images") -> None:
    for file, folder, listed in (("training.csv", 12, TRAIN), ("validation.csv", 7, VAL)):
        lines = [] if headless and file == "validation.csv" else [",".join(COLUMNS)]
        for name, label in listed:
            write_image(root / images / str(folder) / name, name)
            lines.append(f"{folder}/{name},1,1,6,6,{';'.join(['2.5'] * 136)},{label},-0.1,0.2")
        (root / file).write_bytes("\r\n".join([*lines, ""]).encode())


def write_folders(root: Path, test: str = "val") -> None:
    for folder, listed in (("train", TRAIN), (test, VAL)):
        for name, label in listed:
            if label < 8:
                write_image(root / folder / str(label) / name, name)


LAYOUTS = {
    "annotations": write_annotations,
    "manifest": write_manifest,
    "manifest without a header": lambda root: write_manifest(root, True, "."),
    "folders": write_folders,
    "folders with test": lambda root: write_folders(root, "test"),
}


def held(dataset: AffectNet) -> dict[str, int]:
    """Name → label, as told by the images themselves."""
    return {f"{image.getpixel((0, 0))[0]}.jpg": label for image, label in dataset}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(tmp_path, layout):
    LAYOUTS[layout](tmp_path)
    test = AffectNet(tmp_path, "test")
    assert test.classes == CLASSES
    assert held(test) == dict(VAL)
    train, val = (AffectNet(tmp_path, split, val_fraction=0.2, seed=3) for split in ("train", "val"))
    assert not held(train).keys() & held(val).keys()
    assert held(train) | held(val) == {name: label for name, label in TRAIN if label < 8}
    assert set(val.labels) == set(range(8))
    assert train.left_out == ({} if "folders" in layout else {"none": 6, "uncertain": 6, "no face": 6})
    assert [path.name for path in train.paths] == list(held(train))
    again = open_dataset("affectnet", tmp_path, "val", seed=3, val_fraction=0.2)
    assert again.paths == val.paths
    assert pickle.loads(pickle.dumps(val))[0][1] == val[0][1]


@pytest.mark.parametrize("layout", ["annotations", "folders"])
def test_seven_classes(tmp_path, layout):
    LAYOUTS[layout](tmp_path)
    test = AffectNet(tmp_path, "test", contempt=False)
    assert test.classes == CLASSES[:7]
    assert held(test) == {name: label for name, label in VAL if label < 7}
    assert test.left_out == {"contempt": 2}


def test_duplicates_stay_on_one_side(tmp_path):
    write_folders(tmp_path)
    for folder in (tmp_path / "train").iterdir():
        images = sorted(folder.iterdir())
        for one, other in zip(images[::2], images[1::2], strict=True):
            other.write_bytes(one.read_bytes())
    for seed in range(3):
        parts = [AffectNet(tmp_path, split, val_fraction=0.3, seed=seed) for split in ("train", "val")]
        sides = [{path.read_bytes() for path in part.paths} for part in parts]
        assert not sides[0] & sides[1]
        assert len(sides[0] | sides[1]) == 24


def test_three_folders_are_as_they_are_named(tmp_path):
    write_folders(tmp_path)
    write_folders(tmp_path, "test")
    for image in sorted((tmp_path / "val").rglob("*.jpg"))[1::2]:
        image.unlink()
    assert [len(AffectNet(tmp_path, split)) for split in ("train", "val", "test")] == [48, 8, 16]


def test_counts_are_compared_with_the_published_ones(tmp_path, monkeypatch):
    write_folders(tmp_path)
    with pytest.warns(UserWarning, match="official train split: 48 found, published 287,651"):
        AffectNet(tmp_path)
    monkeypatch.setattr("pasm_aug.data.affectnet.PUBLISHED", {("train", True): (48,), ("test", True): (17, 16)})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for split in ("train", "val", "test"):
            AffectNet(tmp_path, split, val_fraction=0.2)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.array("11"), "label must be a whole number in 0 .. 10, got '11'"),
        (np.array("-1"), "label must be a whole number"),
        (np.array(0.5), "label must be a whole number"),
        (np.array("happy"), "must hold one label"),
        (np.arange(2), "must hold one label"),
        (np.array({"a": 1}, dtype=object), "must hold one label: .*[Pp]ickle|allow_pickle"),
        (b"", "must hold one label"),
    ],
)
def test_malformed_annotations(tmp_path, content, message):
    write_annotations(tmp_path)
    path = tmp_path / "train_set" / "annotations" / "5_exp.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.save(path, content, allow_pickle=True)
    with pytest.raises(ValueError, match=message) as caught:
        AffectNet(tmp_path)
    assert str(path) in str(caught.value)


def test_missing_annotations_and_images(tmp_path):
    with pytest.raises(FileNotFoundError, match="no AffectNet in"):
        AffectNet(tmp_path / "missing")
    write_annotations(tmp_path)
    annotation = tmp_path / "train_set" / "annotations" / "7_exp.npy"
    content = annotation.read_bytes()
    annotation.unlink()
    with pytest.raises(FileNotFoundError, match=r"names 66 images, 1 of them missing, the first: .*7_exp\.npy"):
        AffectNet(tmp_path)
    annotation.write_bytes(content)
    (tmp_path / "train_set" / "images" / "9.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 annotations have no image in .*first: .*9_exp\.npy"):
        AffectNet(tmp_path)
    (tmp_path / "val_set" / "images" / "100.png").write_bytes(b"")
    with pytest.raises(ValueError, match="the image '100' stands there twice"):
        AffectNet(tmp_path, "test")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("12/1.jpg,1,1,6,6,0,11,0,0", "line 3: expression must be an integer in 0 .. 10, got '11'"),
        ("12/1.jpg,1,1,6,6,0,,0,0", "line 3: expression must be an integer in 0 .. 10, got ''"),
        ("12/1.jpg,1,1,6,6,0,1,0", "line 3: expected 9 columns .*got 8"),
        ("12/0.jpg,1,1,6,6,0,1,0,0", "line 3: the image '12/0.jpg' stands already in line 2"),
    ],
)
def test_malformed_manifest(tmp_path, line, message):
    write_manifest(tmp_path)
    path = tmp_path / "training.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:2], line, *lines[3:]]))
    with pytest.raises(ValueError, match=message) as caught:
        AffectNet(tmp_path)
    assert str(path) in str(caught.value)


def test_manifest_with_missing_images_or_columns(tmp_path):
    write_manifest(tmp_path)
    (tmp_path / "Manually_Annotated_Images" / "12" / "1.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"names 48 images, 1 of them missing, the first: .*12/1\.jpg"):
        AffectNet(tmp_path)
    path = tmp_path / "training.csv"
    path.write_text(path.read_text().replace("expression", "emotion"))
    with pytest.raises(ValueError, match="line 1: column 'expression' is missing, got subdirectory_filepath, face_x"):
        AffectNet(tmp_path)


def test_class_folders_that_are_wrong(tmp_path):
    write_folders(tmp_path)
    (tmp_path / "train" / "3").rename(tmp_path / "train" / "3_surprised")
    AffectNet(tmp_path)
    (tmp_path / "train" / "3_surprised").rename(tmp_path / "train" / "4_surprised")
    with pytest.raises(ValueError, match="4_surprised is none of the classes: 0 neutral"):
        AffectNet(tmp_path)
    (tmp_path / "train" / "4_surprised").rename(tmp_path / "train" / "happy")
    with pytest.raises(ValueError, match="two folders for class 'happiness'"):
        AffectNet(tmp_path)


def test_look_alikes(tmp_path):
    contents = [b"a" * 9000, b"a" * 8000, b"a" * 9000, b"b" * 9000, b"", b"c", b"c", b"", b"a" * 8999 + b"b"]
    paths = [tmp_path / str(i) for i in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    keys = look_alikes(paths).tolist()
    together = [[i for i, other in enumerate(keys) if other == key] for key in keys]
    # The last differs only outside its middle: harmlessly together with the first.
    assert together == [[0, 2, 8], [1], [0, 2, 8], [3], [4, 7], [5, 6], [5, 6], [4, 7], [0, 2, 8]]


def test_one_name_in_two_class_folders_is_no_reason_to_refuse(tmp_path):
    write_folders(tmp_path)
    train = tmp_path / "train"
    first, second = sorted(folder for folder in train.iterdir() if folder.is_dir())[:2]
    write_image(first / "same.jpg", "201")
    write_image(second / "same.jpg", "202")
    assert (
        sum(path.name == "same.jpg" for path in AffectNet(tmp_path).paths)
        + sum(path.name == "same.jpg" for path in AffectNet(tmp_path, "val").paths)
        == 2
    )
