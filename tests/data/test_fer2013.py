"""FER2013 in all its layouts, whole and malformed. The files are made here; none of the real data is needed."""

import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch.utils.data import DataLoader

from pasm_aug.data.fer2013 import CLASSES, FER2013
from pasm_aug.data.files import ImageError

pytestmark = pytest.mark.filterwarnings("ignore:FER2013:UserWarning")

NAMES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
COUNTS = {"Training": 42, "PublicTest": 14, "PrivateTest": 21}
SPLITS = dict(zip(("train", "val", "test"), COUNTS, strict=True))


def faces(usage: str, count: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Random faces (N, 48, 48) and labels (N,)."""
    count = COUNTS[usage] if count is None else count
    rng = np.random.default_rng(list(COUNTS).index(usage))
    return rng.integers(0, 256, (count, 48, 48), dtype=np.uint8), np.arange(count) % 7


def row(face: np.ndarray, label: int, usage: str, order: str) -> str:
    cells = {"emotion": str(label), "pixels": " ".join(map(str, face.ravel())), "usage": usage}
    return ",".join(cells[name.strip().lower()] for name in order.split(","))


def write_csv(path: Path, header: str, usages=tuple(COUNTS), newline: str = "\n") -> None:
    rows = [row(face, label, usage, header) for usage in usages for face, label in zip(*faces(usage), strict=True)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(newline.join([header, *rows, ""]).encode())


def write_tree(root: Path, folders: dict[str, tuple[str, ...]], numbered: bool) -> None:
    for folder, usages in folders.items():
        for usage in usages:
            for i, (face, label) in enumerate(zip(*faces(usage), strict=True)):
                name = f"{label}_{NAMES[label]}" if numbered else NAMES[label]
                (root / folder / name).mkdir(parents=True, exist_ok=True)
                Image.fromarray(face).save(root / folder / name / f"{usage}{i:05d}.png")


def assert_holds(dataset: FER2013, pixels: np.ndarray, labels: np.ndarray) -> None:
    """The same images with the same labels, in any order."""
    wanted = sorted((face.tobytes(), int(label)) for face, label in zip(pixels, labels, strict=True))
    got = [dataset[i] for i in range(len(dataset))]
    assert sorted((image.tobytes(), label) for image, label in got) == wanted
    assert {(image.mode, image.size) for image, _ in got} == {("L", (48, 48))}
    assert dataset.labels.tolist() == [label for _, label in got]
    assert dataset.classes == ["anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral"]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("fer2013.csv", "emotion,pixels,Usage"),
        ("icml_face_data.csv", "emotion, Usage, pixels"),
        ("fer2013/fer2013.csv", "emotion,pixels,Usage"),
        ("train.csv", "emotion,pixels,Usage"),
    ],
)
def test_one_csv(tmp_path, name, header, newline):
    write_csv(tmp_path / name, header, newline=newline)
    for split, usage in SPLITS.items():
        assert_holds(FER2013(tmp_path, split), *faces(usage))
        assert_holds(FER2013(tmp_path / name, split), *faces(usage))


def test_rows_keep_their_order(tmp_path):
    write_csv(tmp_path / "fer2013.csv", "emotion,pixels,Usage")
    val = FER2013(tmp_path, "val")
    pixels, labels = faces("PublicTest")
    assert np.array_equal(np.stack([np.asarray(image) for image, _ in val]), pixels)
    assert val.labels.tolist() == labels.tolist()


def test_quoted_cells_and_byte_order_mark(tmp_path):
    pixels, labels = faces("Training", 7)
    rows = [
        f'"{label}","{" ".join(map(str, face.ravel()))}","Training"' for face, label in zip(pixels, labels, strict=True)
    ]
    (tmp_path / "fer2013.csv").write_text("\ufeff" + "\n".join(['"emotion","pixels","Usage"', *rows]), encoding="utf-8")
    assert_holds(FER2013(tmp_path), pixels, labels)


def test_train_and_test_csv_with_usage(tmp_path):
    write_csv(tmp_path / "train.csv", "emotion,pixels", ("Training",))
    write_csv(tmp_path / "test.csv", "emotion,pixels,Usage", ("PublicTest", "PrivateTest"))
    for split, usage in SPLITS.items():
        assert_holds(FER2013(tmp_path, split), *faces(usage))


def test_train_csv_without_usage_draws_val_and_keeps_duplicates_together(tmp_path):
    pixels, labels = faces("Training", 140)
    pixels[70:] = pixels[:70]  # every face twice, with the same label
    lines = [row(face, label, "", "emotion,pixels") for face, label in zip(pixels, labels, strict=True)]
    (tmp_path / "train.csv").write_text("\n".join(["emotion,pixels", *lines]))
    with pytest.warns(UserWarning, match="no official validation split"):
        train = FER2013(tmp_path, "train")
    val = FER2013(tmp_path, "val")
    assert (len(train), len(val)) == (126, 14)
    sides = [{image.tobytes() for image, _ in part} for part in (train, val)]
    assert not sides[0] & sides[1]
    assert len(sides[0] | sides[1]) == 70
    with pytest.raises(FileNotFoundError, match=r"no test\.csv"):
        FER2013(tmp_path, "test")


def test_kaggles_unlabelled_test_csv(tmp_path):
    write_csv(tmp_path / "train.csv", "emotion,pixels", ("Training",))
    write_csv(tmp_path / "test.csv", "pixels", ("PrivateTest",))
    with pytest.raises(ValueError, match=r"test\.csv, line 1: column 'emotion' is missing.*no labels"):
        FER2013(tmp_path, "test")


@pytest.mark.parametrize("numbered", [True, False])
def test_official_folders(tmp_path, numbered):
    write_tree(tmp_path, {usage: (usage,) for usage in COUNTS}, numbered)
    for split, usage in SPLITS.items():
        assert_holds(FER2013(tmp_path, split), *faces(usage))


def test_folders_with_val(tmp_path):
    write_tree(tmp_path, {"train": ("Training",), "val": ("PublicTest",), "test": ("PrivateTest",)}, False)
    for split, usage in SPLITS.items():
        assert_holds(FER2013(tmp_path, split), *faces(usage))


def test_folders_with_merged_test(tmp_path, monkeypatch):
    write_tree(tmp_path, {"train": ("Training",), "test": ("PublicTest", "PrivateTest")}, False)
    monkeypatch.setattr("pasm_aug.data.fer2013.VAL_FRACTION", 0.2)
    monkeypatch.setattr("pasm_aug.data.fer2013.OFFICIAL_COUNTS", {"train": 42, "val": 14, "test": 17.5})
    with pytest.warns(UserWarning, match="both official test sets merged"):
        test = FER2013(tmp_path, "test")
    assert len(test) == 35
    with pytest.warns(UserWarning, match="val is drawn from the training images"):
        val = FER2013(tmp_path, "val")
    train = FER2013(tmp_path, "train")
    pixels = [np.asarray(image) for part in (train, val) for image, _ in part]
    assert sorted(map(bytes, pixels)) == sorted(map(bytes, faces("Training")[0]))


def test_counts_are_compared_with_the_official_ones(tmp_path, monkeypatch):
    write_csv(tmp_path / "fer2013.csv", "emotion,pixels,Usage")
    with pytest.warns(UserWarning, match="val holds 14 images, officially 3,589"):
        FER2013(tmp_path, "val")
    monkeypatch.setattr("pasm_aug.data.fer2013.OFFICIAL_COUNTS", {"val": 14})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        FER2013(tmp_path, "val")


GOOD = row(faces("Training", 1)[0][0], 0, "Training", "emotion,pixels,Usage")
PIXELS = GOOD.split(",")[1]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f"0,{PIXELS} 7,Training", "line 4: pixels must hold 2304 numbers.*got 2305"),
        ("0,1 2 3,Training", "line 4: pixels must hold 2304 numbers.*got 3"),
        ("0,,Training", "line 4: pixels"),
        (f"0,{PIXELS} x,Training", "line 4: pixels"),
        (f"0,{PIXELS[:-1]}.5,Training", "line 4: pixels"),
        (f"0,256 {PIXELS.split(' ', 1)[1]},Training", r"line 4: pixels must lie in 0 .. 255, got 0 .. 256"),
        (f"0,-1 {PIXELS.split(' ', 1)[1]},Training", "line 4: pixels must lie in 0 .. 255, got -1"),
        (f"7,{PIXELS},Training", "line 4: emotion must be an integer in 0 .. 6, got '7'"),
        (f"-1,{PIXELS},Training", "line 4: emotion .* got '-1'"),
        (f"happy,{PIXELS},Training", "line 4: emotion .* got 'happy'"),
        (f",{PIXELS},Training", "line 4: emotion .* got ''"),
        (f"0,{PIXELS},Testing", "line 4: Usage must be one of Training, PublicTest, PrivateTest, got 'Testing'"),
        (f"0,{PIXELS}", "line 4: expected 3 columns, got 2"),
    ],
)
def test_malformed_row_is_named(tmp_path, line, message):
    path = tmp_path / "fer2013.csv"
    path.write_text("\n".join(["emotion,pixels,Usage", GOOD, GOOD, line, GOOD]))
    with pytest.raises(ValueError, match=message) as caught:
        FER2013(tmp_path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("emotion,Usage\n", "line 1: column 'pixels' is missing, got emotion, usage"),
        ("pixels,Usage\n", "line 1: column 'emotion' is missing"),
        ("", "line 1: column 'pixels' is missing"),
        ("emotion,pixels,Usage\n", "has no rows with Usage Training"),
    ],
)
def test_malformed_header(tmp_path, text, message):
    (tmp_path / "fer2013.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        FER2013(tmp_path)


def test_bad_roots_and_folders(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        FER2013(tmp_path / "missing")
    with pytest.raises(FileNotFoundError, match=r"no FER2013 in .*icml_face_data\.csv"):
        FER2013(tmp_path)
    with pytest.raises(ValueError, match="split must be one of train, val, test, got 'PublicTest'"):
        FER2013(tmp_path, "PublicTest")
    write_tree(tmp_path, {"Training": ("Training",), "PublicTest": ("PublicTest",)}, True)
    with pytest.raises(FileNotFoundError, match="no folder for the split 'test'"):
        FER2013(tmp_path, "test")
    bad = sorted((tmp_path / "Training" / "0_angry").iterdir())[0]
    bad.write_bytes(b"no image")
    with pytest.raises(ImageError, match=str(bad)):
        FER2013(tmp_path)[0]
    (tmp_path / "Training" / "3_bored").mkdir()
    with pytest.raises(ValueError, match=r"class '3_bored' .* none of the known"):
        FER2013(tmp_path)
    (tmp_path / "Training" / "3_bored").rename(tmp_path / "Training" / "4_happy")
    with pytest.raises(ValueError, match="must be numbered 3, FER2013's label of happiness"):
        FER2013(tmp_path)


def test_empty_class_folder(tmp_path):
    write_tree(tmp_path, {"Training": ("Training",), "PublicTest": ("PublicTest",)}, True)
    for path in (tmp_path / "Training" / "2_fear").iterdir():
        path.unlink()
    with pytest.raises(ValueError, match="class 'fear' is empty"):
        FER2013(tmp_path)


def test_pickles_and_serves_worker_processes(tmp_path):
    write_csv(tmp_path / "fer2013.csv", "emotion,pixels,Usage")
    val = FER2013(tmp_path, "val", transform=np.asarray, target_transform=float)
    again = pickle.loads(pickle.dumps(val))
    assert np.array_equal(again[5][0], val[5][0])
    assert again[5][1] == float(val.labels[5])
    batches = list(DataLoader(val, batch_size=7, num_workers=1, multiprocessing_context="forkserver"))
    assert np.array_equal(np.concatenate([pixels.numpy() for pixels, _ in batches]), faces("PublicTest")[0])
    assert len(CLASSES) == len(set(CLASSES)) == 7


def test_a_class_without_training_images_is_named(tmp_path):
    pixels, labels = faces("Training", 6)
    rows = [f"{label},{' '.join(map(str, face.ravel()))},Training" for face, label in zip(pixels, labels, strict=True)]
    (tmp_path / "fer2013.csv").write_text("\n".join(["emotion,pixels,Usage", *rows]))
    with pytest.raises(ValueError, match="no training image of neutral"):
        FER2013(tmp_path)


@pytest.mark.parametrize("val", ["PublicTest", "publictest", "PUBLICTEST"])
def test_folders_named_by_digits_in_any_case(tmp_path, val):
    for usage in COUNTS:
        folder = tmp_path / (val if usage == "PublicTest" else usage.lower())
        for i, (face, label) in enumerate(zip(*faces(usage), strict=True)):
            (folder / str(label)).mkdir(parents=True, exist_ok=True)
            Image.fromarray(face).save(folder / str(label) / f"{i:05d}.png")
    for split, usage in SPLITS.items():
        assert_holds(FER2013(tmp_path, split), *faces(usage))
