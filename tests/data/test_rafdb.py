"""RAF-DB in its layouts, the subsets that RAN lists, and lists that are wrong. The files are made here."""

import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pasm_aug.data.files import ImageError
from pasm_aug.data.rafdb import RAFDB
from pasm_aug.data.registry import open_dataset

pytestmark = pytest.mark.filterwarnings("ignore:RAF-DB:UserWarning")

CLASSES = ["surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral"]
TRAIN = [(f"train_{i + 1:05}", i % 7 + 1) for i in range(28)]
TEST = [(f"test_{i + 1:04}", (3 * i) % 7 + 1) for i in range(14)]


def write_image(path: Path, name: str, side: int = 10) -> None:
    """An image of which the first pixel tells the label and the second whose it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", (side, side))
    image.putpixel((0, 0), (dict(TRAIN + TEST)[name] * 30, 0, 0))
    image.putpixel((1, 0), (int(name.rpartition("_")[2]), len(name), 0))
    image.save(path, format="PNG")  # lossless, whatever it is called


def write_official(base: Path, newline: str = "\n", label_folder: str = "EmoLabel") -> Path:
    """``base`` as it comes; the list begins with a byte order mark and ends in blanks."""
    for name, _ in TRAIN + TEST:
        write_image(base / "Image" / "aligned" / f"{name}_aligned.jpg", name)
        write_image(base / "Image" / "original" / f"{name}.jpg", name, 20)
    path = base / label_folder / "list_patition_label.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{name}.jpg {label}" for name, label in TRAIN + TEST]
    path.write_bytes(("\ufeff" + newline.join([*lines, "  ", ""])).replace("00003.jpg 3", "00003.jpg 3  ").encode())
    return path


def write_kaggle(base: Path) -> None:
    for split, listed in (("train", TRAIN), ("test", TEST)):
        for name, label in listed:
            write_image(base / "DATASET" / split / str(label) / f"{name}_aligned.jpg", name)
        lines = [f"{name}_aligned.jpg,{label}" for name, label in listed]
        (base / f"{split}_labels.csv").write_text("\n".join(["image,label", *lines]))


def held(dataset: RAFDB) -> list[tuple[str, int]]:
    """(stem, RAF-DB's own label) of the items, as told by the images themselves."""
    for image, label in dataset:
        assert image.getpixel((0, 0))[0] == 30 * (label + 1)
    return [
        (path.stem.removesuffix("_aligned"), int(label) + 1)
        for path, label in zip(dataset.paths, dataset.labels, strict=True)
    ]


LAYOUTS = {
    "official": lambda root: write_official(root),
    "crlf, in basic": lambda root: write_official(root / "basic", "\r\n"),
    "no EmoLabel": lambda root: write_official(root, label_folder="."),
    "kaggle": write_kaggle,
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(tmp_path, layout):
    LAYOUTS[layout](tmp_path)
    test = RAFDB(tmp_path, "test")
    assert test.classes == CLASSES
    assert sorted(held(test)) == sorted(TEST)
    assert (test[0][0].size, test[0][0].mode) == ((10, 10), "RGB")
    train, val = RAFDB(tmp_path, "train", seed=1), RAFDB(tmp_path, "val", seed=1)
    assert sorted(held(train) + held(val)) == TRAIN
    assert np.bincount(val.labels).tolist() == [1] * 7
    assert held(RAFDB(tmp_path, "val", seed=1)) == held(val) != held(RAFDB(tmp_path, "val", seed=2))
    assert pickle.loads(pickle.dumps(test))[3][1] == test[3][1]


def test_original_images(tmp_path):
    write_official(tmp_path)
    test = RAFDB(tmp_path, "test", aligned=False)
    assert held(test) == TEST
    assert test[0][0].size == (20, 20)
    write_kaggle(tmp_path / "kaggle")
    with pytest.raises(FileNotFoundError, match="aligned images only"):
        RAFDB(tmp_path / "kaggle", aligned=False)


def test_duplicates_stay_on_one_side(tmp_path):
    write_official(tmp_path)
    aligned = tmp_path / "Image" / "aligned"
    for number in range(15, 29):  # every image twice: labels go round by seven
        copy = (aligned / f"train_{number - 14:05}_aligned.jpg").read_bytes()
        (aligned / f"train_{number:05}_aligned.jpg").write_bytes(copy)
    for seed in range(5):
        sides = [{p.read_bytes() for p in RAFDB(tmp_path, split, seed=seed).paths} for split in ("train", "val")]
        assert not sides[0] & sides[1]
        assert len(sides[0] | sides[1]) == 14


def occlusion(rows: list[tuple[str, int]]) -> str:
    return "\n".join(f"{name}_aligned {label - 1} {i % 4 + 1}" for i, (name, label) in enumerate(rows)) + "\n"


def pose(rows: list[tuple[str, int]], header: str = "") -> str:
    return header + "\n".join(f"{label - 1}/{name}_aligned.jpg" for name, label in rows) + "\n"


@pytest.mark.parametrize(
    ("subset", "name", "text"),
    [
        ("occlusion", "rafdb_occlusion_list.txt", occlusion([TEST[4], TEST[2], TEST[9]])),
        ("pose30", "val_raf_db_list.txt", pose([TEST[4], TEST[2], TEST[9]], "1247 7\n")),
        ("pose45", "val_raf_db_list_45.txt", pose([TEST[4], TEST[2], TEST[9]]).replace("\n", "\r\n")),
    ],
)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_subsets(tmp_path, layout, subset, name, text):
    LAYOUTS[layout](tmp_path)
    folder = next(tmp_path.rglob("EmoLabel"), tmp_path)
    (folder / name).write_bytes(text.encode())
    for found in (RAFDB(tmp_path, "test", subset=subset), open_dataset("rafdb", tmp_path, "test", subset=subset)):
        assert held(found) == [TEST[4], TEST[2], TEST[9]]
    (folder / name).rename(tmp_path / "elsewhere")
    assert held(RAFDB(tmp_path, "test", subset=subset, subset_list=tmp_path / "elsewhere"))[2] == TEST[9]
    with pytest.raises(FileNotFoundError, match=rf"no list of the subset '{subset}': looked for {name}"):
        RAFDB(tmp_path, "test", subset=subset)


def test_a_stem_listed_twice_counts_once(tmp_path):
    write_official(tmp_path)
    (tmp_path / "rafdb_occlusion_list.txt").write_text(occlusion([TEST[1], TEST[3], TEST[1]]))
    with pytest.warns(UserWarning, match=r"lists test_0002 \(lines 1 and 3\) twice; it counts once"):
        dataset = RAFDB(tmp_path, "test", subset="occlusion")
    assert held(dataset) == [TEST[1], TEST[3]]


NAME, LABEL = TEST[0]


@pytest.mark.parametrize(
    ("subset", "line", "message"),
    [
        ("occlusion", f"{NAME}_aligned {LABEL - 1}", "line 2: expected 'test_0003_aligned 3 4'"),
        (
            "occlusion",
            f"{NAME}_aligned {LABEL - 1} 5",
            "line 2: kind of occlusion must be an integer in 1 .. 4, got '5'",
        ),
        ("occlusion", f"{NAME}_aligned 7 1", "line 2: label − 1 must be an integer in 0 .. 6, got '7'"),
        ("occlusion", f"{NAME}_aligned {LABEL} 1", f"line 2: label − 1 of '{NAME}' must be {LABEL - 1}.* got {LABEL}"),
        ("occlusion", "test_9999_aligned 0 1", "line 2: 'test_9999' is no image of the test split"),
        ("pose30", f"{LABEL - 1} {NAME}_aligned.jpg", "line 2: expected '0/test_0004_aligned.jpg'"),
        ("pose30", f"x/{NAME}_aligned.jpg", "line 2: label − 1 must be an integer in 0 .. 6, got 'x'"),
        ("pose30", "1247 7", "line 2: expected '0/test_0004_aligned.jpg'"),
    ],
)
def test_malformed_subset_lists(tmp_path, subset, line, message):
    write_official(tmp_path)
    path = tmp_path / "list.txt"
    path.write_text((occlusion if subset == "occlusion" else pose)(TEST[1:2]) + line)
    with pytest.raises(ValueError, match=message) as caught:
        RAFDB(tmp_path, "test", subset=subset, subset_list=path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("train_00002.jpg 0", r"line 2: label must be an integer in 1 .. 7, got '0'"),
        ("train_00002.jpg 8", r"line 2: label must be an integer in 1 .. 7, got '8'"),
        ("train_00002.jpg", r"line 2: expected 'train_00001.jpg 5'"),
        ("valid_00002.jpg 3", r"line 2: expected 'train_00001.jpg 5'"),
        ("train_00001.jpg 1", r"line 2: the image 'train_00001.jpg' stands already in line 1"),
    ],
)
@pytest.mark.parametrize("split", ["train", "test"])
def test_malformed_official_list(tmp_path, line, message, split):
    path = write_official(tmp_path)
    path.write_text(path.read_text(encoding="utf-8-sig").replace("train_00002.jpg 2", line))
    with pytest.raises(ValueError, match=message) as caught:
        RAFDB(tmp_path, split)
    assert str(path) in str(caught.value)


def test_missing_images_and_wrong_requests(tmp_path):
    with pytest.raises(FileNotFoundError, match="no RAF-DB in"):
        RAFDB(tmp_path)
    write_official(tmp_path)
    with pytest.raises(ValueError, match="'pose30' is a part of split='test', got split='train'"):
        RAFDB(tmp_path, subset="pose30")
    with pytest.raises(ValueError, match="subset must be one of occlusion, pose30, pose45, got 'dark'"):
        RAFDB(tmp_path, "test", subset="dark")
    with pytest.raises(ValueError, match="subset_list needs to know"):
        RAFDB(tmp_path, "test", subset_list=tmp_path)
    aligned = tmp_path / "Image" / "aligned"
    (aligned / "test_0001_aligned.jpg").write_bytes(b"no image")
    with pytest.raises(ImageError, match="test_0001_aligned"):
        RAFDB(tmp_path, "test")[0]
    for number in (3, 5):
        (aligned / f"test_{number:04}_aligned.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"names 14 images, 2 of them missing, the first: .*test_0003_aligned"):
        RAFDB(tmp_path, "test")


def test_class_folders_that_are_wrong(tmp_path):
    write_kaggle(tmp_path)
    path = tmp_path / "train_labels.csv"
    path.write_text(path.read_text().replace("train_00002_aligned.jpg,2", "train_00002_aligned.jpg,3"))
    with pytest.raises(ValueError, match=r"train_labels.csv, line 3: .*has label 3, but lies in 2"):
        RAFDB(tmp_path)
    path.unlink()
    train = tmp_path / "DATASET" / "train"
    twin = train / "3" / "train_00002_aligned.png"
    twin.write_bytes((train / "2" / "train_00002_aligned.jpg").read_bytes())
    with pytest.raises(ValueError, match="the image 'train_00002_aligned' stands there twice"):
        RAFDB(tmp_path)
    twin.unlink()
    (train / "8").mkdir()
    with pytest.raises(ValueError, match=r"train/8 is none of the classes: 1 surprise, .*7 neutral"):
        RAFDB(tmp_path)
    (train / "8").rmdir()
    for image in (train / "6").iterdir():
        image.unlink()
    with pytest.raises(ValueError, match="class 'anger' is empty"):
        RAFDB(tmp_path)
    (train / "6").rmdir()
    with pytest.raises(ValueError, match="no training image of anger"):
        RAFDB(tmp_path)


def test_counts_are_compared_with_the_published_ones(tmp_path, monkeypatch):
    write_official(tmp_path)
    with pytest.warns(UserWarning, match="RAF-DB: official test split: 14 found, published 3,068"):
        RAFDB(tmp_path, "test")
    monkeypatch.setattr("pasm_aug.data.rafdb.PUBLISHED", {"train": 28, "test": 14})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for split in ("train", "val", "test"):
            RAFDB(tmp_path, split)
