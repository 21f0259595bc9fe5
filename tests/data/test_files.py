"""Image files: found by whatever Pillow reads, through links, and decoded the same way by everybody."""

import csv
import warnings

import numpy as np
import pytest
from PIL import Image

from pasm_aug.cli.entry import main
from pasm_aug.core.image_content import as_uint8
from pasm_aug.data.align.warp import read_photograph
from pasm_aug.data.files import as_seen, find_images, image_extensions, list_folders, read_image
from pasm_aug.data.folder import ExpressionFolder
from pasm_aug.models import build_model, save_model
from pasm_aug.training.evaluation import evaluate

RAMP = np.linspace(0, 255, 16 * 24).reshape(16, 24).astype(np.uint8)
COLOUR = np.stack([RAMP, RAMP[::-1], RAMP[:, ::-1]], -1)


def write(path, mode, exif=None):
    """An image of a mode, and what people see of it, uint8 (H, W) or (H, W, 3)."""
    seen = COLOUR
    if mode == "I;16":
        image, seen = Image.fromarray(RAMP.astype(np.uint16) * 257), RAMP
    elif mode == "L":
        image, seen = Image.fromarray(RAMP), RAMP
    elif mode in ("RGBA", "LA"):
        alpha = np.where(np.arange(24) < 12, 255, 0)[None].repeat(16, 0).astype(np.uint8)
        image = Image.fromarray(COLOUR).convert("RGB")
        image.putalpha(Image.fromarray(alpha))
        image = image.convert(mode)
        below = np.asarray(image.convert("RGBA"))[..., :3]
        seen = np.where(alpha[..., None] > 0, below, 255)
    else:
        image = Image.fromarray(COLOUR).convert(mode)
        seen = np.asarray(image.convert("RGB"))
    if exif:
        tags = Image.Exif()
        tags[0x0112] = exif
        image.save(path, exif=tags)
    else:
        image.save(path)
    return seen


@pytest.mark.parametrize("mode", ["L", "RGB", "P", "RGBA", "LA", "CMYK", "I;16"])
def test_all_ways_to_read_a_file_see_the_same(tmp_path, mode):
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    seen = write(path, mode)
    image = read_image(path)
    assert image.mode == ("L" if mode in ("L", "I;16") else "RGB")
    assert image.info["mode"] == mode
    np.testing.assert_array_equal(np.asarray(image), seen)
    np.testing.assert_array_equal(np.asarray(read_photograph(path)), np.asarray(image.convert("RGB")))
    np.testing.assert_array_equal(np.asarray(as_seen(image)), seen)
    assert as_uint8(image).shape == (1 if image.mode == "L" else 3, 16, 24)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_the_image_for_everybody(tmp_path, orientation):
    upright = Image.fromarray(COLOUR)
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # orientation → PIL's Transpose that a camera applied
    laid = upright if orientation == 1 else upright.transpose(Image.Transpose(undo[orientation]))
    tags = Image.Exif()
    tags[0x0112] = orientation
    laid.save(tmp_path / "a.png", exif=tags)
    for read in (read_image, read_photograph):
        np.testing.assert_array_equal(np.asarray(read(tmp_path / "a.png")), COLOUR)


@pytest.fixture
def tree(tmp_path):
    """Two classes of twelve JPEG files, ten each of .jfif and .avif, and five in a linked folder."""
    for number, name in enumerate(("happy", "sad")):
        folder, elsewhere = tmp_path / "data" / name, tmp_path / "elsewhere" / name
        folder.mkdir(parents=True)
        elsewhere.mkdir(parents=True)
        images = [Image.fromarray(np.full((8, 8, 3), 100 * number + 2 * i, np.uint8)) for i in range(37)]
        for i in range(12):
            images[i].save(folder / f"{i}.jpg")
        for i in range(12, 22):
            images[i].save(folder / f"{i}.jfif", format="JPEG")
            images[i + 10].save(folder / f"{i}.webp")
        for i in range(5):
            images[32 + i].save(elsewhere / f"{i}.png")
        (folder / "batch2").symlink_to(elsewhere)
    return tmp_path / "data"


def test_every_ending_of_pillow_and_every_linked_folder_is_found(tree):
    assert {".jfif", ".jpe", ".jp2", ".png", ".tiff", ".webp"} <= image_extensions()
    assert not {".pdf", ".mpg", ".txt", ".eps"} & image_extensions()
    assert len(find_images(tree).images) == 2 * 37
    assert sum(len(ExpressionFolder(tree, split)) for split in ("train", "val", "test")) == 2 * 37


def test_a_link_to_a_folder_above_ends_and_is_no_second_copy(tree):
    (tree / "happy" / "up").symlink_to(tree)
    (tree / "happy" / "self").symlink_to(tree / "happy")
    assert len(find_images(tree / "happy").images) == 37


def test_what_is_no_image_is_counted_and_what_lies_beside_the_classes_is_named(tree, capsys):
    (tree / "sad" / "clip.mp4").write_bytes(b"no")
    (tree / "sad" / "b.heic").write_bytes(b"no")
    (tree / "notes.txt").write_text("fine")
    Image.new("L", (8, 8)).save(tree / "loose.png")
    dataset = ExpressionFolder(tree)
    assert dataset.left_out == {
        "images beside the class folders, in none of them": 1,
        "files ending in .heic, which Pillow does not read here": 1,
        "files ending in .mp4, which Pillow does not read here": 1,
    }
    assert main(["check", "--data", "folder", "--root", str(tree), "--quiet"]) == 0
    told = capsys.readouterr().out
    assert "left out, files ending in .mp4, which Pillow does not read here: 1" in told
    assert "left out, images beside the class folders, in none of them: 1" in told


def test_what_macos_puts_into_archives_is_no_image_and_no_class(tree):
    before = ExpressionFolder(tree)
    for folder in (tree / "__MACOSX" / "happy", tree / "__MACOSX" / "sad", tree / "happy"):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "._0.jpg").write_bytes(b"\0\5\26\7")
    (tree / "__MACOSX" / "happy" / "0.jpg").write_bytes(b"\0\5\26\7")
    after = ExpressionFolder(tree)
    assert (after.classes, after.paths) == (before.classes, before.paths)
    assert [path.name for path in list_folders(tree)] == ["happy", "sad"]


def test_evaluate_and_predict_see_the_same_photographs(tmp_path, capsys):
    """Of photographs that a telephone laid on their side."""
    classes = ["happiness", "sadness"]
    network = build_model("small", 2, seed=1)
    about = {"architecture": "small", "classes": classes, "image_size": 48, "channels": 3, "mean": [0.5] * 3}
    save_model(tmp_path / "net", network, about | {"std": [0.25] * 3})
    random = np.random.default_rng(0)
    for name in classes:
        for part in ("train", "val"):
            folder = tmp_path / "photos" / part / name
            folder.mkdir(parents=True)
            for i in range(8):
                image = Image.fromarray(random.integers(0, 256, (6, 6, 3), dtype=np.uint8)).resize((48, 48), 0)
                tags = Image.Exif()
                tags[0x0112] = 6
                image.rotate(90).save(folder / f"{i}.png", exif=tags)
    photos = tmp_path / "photos"
    dataset = ExpressionFolder(photos, "train")
    seen = {dataset.paths[i].relative_to(photos).as_posix(): dataset[i][0] for i in range(len(dataset))}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        options = ["--no-align", "--checkpoint", str(tmp_path / "net"), "--out", str(tmp_path / "out"), "--quiet"]
        assert main(["predict", str(photos), *options]) == 0
    with open(tmp_path / "out" / "predictions.csv", newline="") as handle:
        predicted = {row["file"]: row["predicted"] for row in csv.DictReader(handle)}
    from pasm_aug.models import load_model

    model = load_model(tmp_path / "net")
    found = evaluate(model, [(image, 0) for image in seen.values()]).predictions[1]
    assert [classes[label] for label in found] == [predicted[name] for name in seen]
