"""`pasm-aug predict`: on a real photograph (that of matplotlib's wheel), on drawn faces, and on what is no face."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image

from pasm_aug.cli.entry import main
from pasm_aug.data.align.aligner import FaceAligner
from pasm_aug.data.files import ImageError
from pasm_aug.data.synthetic.dataset import SyntheticExpressions
from pasm_aug.models import build_model, load_model, save_model
from pasm_aug.training.prediction import Prediction, annotated, images_of, likeliest, predict, table
from tests.shapes import Shapes, own_net

CLASSES = ["neutral", "anger", "disgust", "fear", "happiness", "sadness", "surprise"]
HOPPER = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
CENTRE = np.array([265, 230])  # of the face in it, by eye
GREEN = (0, 230, 118)


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    folder = tmp_path_factory.mktemp("network")
    info = {"architecture": "small", "classes": CLASSES, "mean": None, "image_size": 48, "channels": 3}
    model = build_model("small", 7, seed=5)
    with torch.no_grad():
        model.fc.weight *= 30  # of an opinion, though untrained
    save_model(folder, model, info)
    return folder


@pytest.fixture
def photograph(tmp_path):
    """Grace Hopper, 512×600, in a folder of its own."""
    if not HOPPER.exists():
        pytest.skip("this matplotlib comes without its sample images")
    path = tmp_path / "photographs" / "hopper.jpg"
    path.parent.mkdir()
    path.write_bytes(HOPPER.read_bytes())
    return path


def run(network, source, *words):
    return main(["predict", str(source), "--checkpoint", str(network), "--quiet", "--device", "cpu", *map(str, words)])


def rows_of(out):
    with (out / "predictions.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def box_of(row):
    return np.array([float(row[side]) for side in ("left", "top", "right", "bottom")])


def shares_of(row, classes=CLASSES):
    return np.array([float(row[name]) for name in classes])


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def predictions(model, images):
    """The network asked directly: (N, classes) probabilities of images that are as it wants them."""
    arrays = [np.atleast_3d(np.asarray(image)).transpose(2, 0, 1) for image in images]
    with torch.no_grad():
        return model.eval()(model.preprocess(torch.from_numpy(np.stack(arrays)))).softmax(1).numpy()


def test_a_photograph(network, photograph, tmp_path, capsys):
    before, out = contents(photograph.parent), tmp_path / "deep" / "out"
    assert run(network, photograph, "--out", out) == 0
    (row,) = rows_of(out)
    assert list(row) == ["file", "left", "top", "right", "bottom", "predicted", *CLASSES]
    assert row["file"] == "hopper.jpg"
    left, top, right, bottom = box_of(row)
    assert np.abs([(left + right) / 2, (top + bottom) / 2] - CENTRE).max() < 25
    assert 100 < right - left < 250
    assert 150 < bottom - top < 300
    shares = shares_of(row)
    assert shares.sum() == pytest.approx(1, abs=1e-5)
    assert row["predicted"] == CLASSES[shares.argmax()]
    (face,) = FaceAligner(112, device="cpu")(Image.open(photograph))
    seen = face.image.resize((48, 48), Image.Resampling.BILINEAR)
    assert shares == pytest.approx(predictions(load_model(network), [seen])[0], abs=1e-5)
    text = capsys.readouterr().out
    assert f"hopper.jpg: {row['predicted']} {shares.max():.1%}, " in text
    assert "no face" not in text
    with Image.open(out / "hopper.jpg.marked.png") as image, Image.open(photograph) as source:
        assert image.size == source.size
        marked, plain = np.asarray(image), np.asarray(source)
    changed = np.argwhere((marked != plain).any(2))[:, ::-1]
    assert (marked[round(bottom) - 1, round(left + right) // 2] == GREEN).all()
    assert (marked[round(top + bottom) // 2, round(left) + 1] == GREEN).all()
    assert (changed.min(0) >= np.floor([left, top]) - (0, 40)).all()  # the words stand above the box
    assert changed[:, 1].max() <= bottom + 1
    assert {path.name for path in out.iterdir()} == {"predictions.csv", "hopper.jpg.marked.png"}
    assert contents(photograph.parent) == before


def test_without_out_nothing_is_written(network, photograph, tmp_path, monkeypatch):
    before = contents(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert run(network, "photographs/hopper.jpg") == 0
    assert contents(tmp_path) == before


def test_two_faces_in_one_image(network, photograph, tmp_path, capsys):
    with Image.open(photograph) as one:
        both = Image.new("RGB", (2 * one.width, one.height))
        both.paste(one, (0, 0))
        both.paste(one, (one.width, 0))
    photograph.unlink()
    both.save(photograph.with_suffix(".png"))
    assert run(network, photograph.parent, "--select", "all", "--out", tmp_path / "all") == 0
    rows = sorted(rows_of(tmp_path / "all"), key=lambda row: box_of(row)[0])
    assert [row["file"] for row in rows] == ["hopper.png"] * 2
    assert box_of(rows[1]) - box_of(rows[0]) == pytest.approx([512, 0, 512, 0], abs=25)
    assert [shares_of(row).sum() for row in rows] == pytest.approx([1, 1], abs=1e-5)
    marked = np.asarray(Image.open(tmp_path / "all" / "hopper.png.marked.png"))
    assert [(half == GREEN).all(2).sum() > 500 for half in np.split(marked, 2, axis=1)] == [True, True]
    assert run(network, photograph.parent, "--select", "largest", "--out", tmp_path / "one") == 0
    assert len(rows_of(tmp_path / "one")) == 1


def test_a_folder_in_which_one_file_is_no_image(network, photograph, tmp_path, capsys):
    root = photograph.parent
    (root / "deeper").mkdir()
    photograph.rename(root / "deeper" / "a.jpg")
    Image.new("RGB", (64, 80), (90, 120, 30)).save(root / "b.png")
    (root / "c.jpg").write_text("no image")
    (root / "notes.txt").write_text("not looked at")
    before = contents(root)
    assert run(network, root, "--out", tmp_path / "out") == 0
    text = capsys.readouterr().out
    assert f"left out: cannot read {root / 'c.jpg'} as an image" in text
    assert "notes" not in text
    assert "deeper/a.jpg: " in text
    assert "b.png: " in text
    assert [row["file"] for row in rows_of(tmp_path / "out")] == ["b.png", "deeper/a.jpg"]
    written = {str(path.relative_to(tmp_path / "out")) for path in contents(tmp_path / "out")}
    assert written == {"predictions.csv", "b.png.marked.png", "deeper/a.jpg.marked.png"}
    assert contents(root) == before


def test_a_image_without_a_face_is_kept_whole_or_skipped(network, photograph, tmp_path, capsys):
    root = photograph.parent
    Image.new("RGB", (64, 80), (90, 120, 30)).save(root / "empty.png")
    assert run(network, root, "--no-face", "keep", "--out", tmp_path / "keep") == 0
    assert "empty.png: " in (text := capsys.readouterr().out)
    assert text.count("(no face found: the whole image)") == 1
    empty, hopper = rows_of(tmp_path / "keep")
    assert [empty[side] for side in ("left", "top", "right", "bottom")] == [""] * 4
    colour = Image.new("RGB", (48, 48), (90, 120, 30))
    assert shares_of(empty) == pytest.approx(predictions(load_model(network), [colour])[0], abs=1e-5)
    assert run(network, root, "--no-face", "skip", "--out", tmp_path / "skip") == 0
    assert rows_of(tmp_path / "skip") == [hopper]
    assert not (tmp_path / "skip" / "empty.png.marked.png").exists()
    capsys.readouterr()
    assert run(network, root / "empty.png", "--no-face", "skip") == 2
    assert capsys.readouterr().err == (
        f"pasm-aug: error: no face in {root / 'empty.png'} was classified: 0 of 1 images unreadable\n"
    )


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_faces_as_trained_on_are_not_aligned(network, tmp_path, capsys, mode):
    faces = [SyntheticExpressions("test", length=7).image(i).convert(mode) for i in range(7)]
    (tmp_path / "faces").mkdir()
    for index, face in enumerate(faces):
        face.save(tmp_path / "faces" / f"{index}.png")
    assert run(network, tmp_path / "faces", "--no-align", "--out", tmp_path / "out") == 0
    assert "no face" not in capsys.readouterr().out
    rows = rows_of(tmp_path / "out")
    assert [row["file"] for row in rows] == [f"{index}.png" for index in range(7)]
    wanted = predictions(load_model(network), [face.convert("RGB") for face in faces])
    assert np.array([shares_of(row) for row in rows]) == pytest.approx(wanted, abs=2e-6)
    assert [row["predicted"] for row in rows] == [CLASSES[best] for best in wanted.argmax(1)]
    assert all(not row["left"] for row in rows)


def test_a_network_of_grey_images_gets_one_channel(tmp_path):
    model, data = own_net(4), Shapes(6)
    info = {"architecture": "tests.shapes:OwnNet", "classes": list(data.classes), "image_size": 20, "channels": 1}
    save_model(tmp_path / "net", model, info)
    images = [data[index][0] for index in range(6)]
    images[4] = Image.merge("RGB", images[:3])
    (tmp_path / "images").mkdir()
    for index, image in enumerate(images):
        image.save(tmp_path / "images" / f"{index}.png")
    assert run(tmp_path / "net", tmp_path / "images", "--no-align", "--out", tmp_path / "out") == 0
    found = np.array([shares_of(row, data.classes) for row in rows_of(tmp_path / "out")])
    assert found == pytest.approx(predictions(model, [image.convert("L") for image in images]), abs=2e-6)


def test_a_photograph_that_the_camera_turned_is_marked_as_it_is_seen(network, photograph, tmp_path):
    with Image.open(photograph) as upright:
        exif = Image.Exif()
        exif[0x0112] = 6  # turn by 90° clockwise to see it
        upright.transpose(Image.Transpose.ROTATE_90).save(photograph, quality=95, exif=exif)
    assert run(network, photograph, "--out", tmp_path / "out") == 0
    (row,) = rows_of(tmp_path / "out")
    assert np.abs(box_of(row).reshape(2, 2).mean(0) - CENTRE).max() < 25
    assert Image.open(tmp_path / "out" / "hopper.jpg.marked.png").size == (512, 600)


def test_predict_yields_an_error_in_its_turn_and_keeps_the_mode(tmp_path):
    model = build_model("small", 7).train()
    Image.new("LA", (30, 60), (200, 0)).save(tmp_path / "a.png")  # fully transparent: white
    (tmp_path / "b.png").write_bytes(b"")
    Image.new("RGB", (50, 20), "white").save(tmp_path / "c.png")
    one, error, two = predict(model, [tmp_path / f"{name}.png" for name in "abc"], image_size=32)
    assert isinstance(error, ImageError)
    assert str(tmp_path / "b.png") in str(error)
    assert (one.file, one.box, two.box) == (tmp_path / "a.png", None, None)
    assert one.probabilities.shape == (7,)
    assert np.array_equal(one.probabilities, two.probabilities)
    assert all(module.training for module in model.modules())
    wanted = predictions(build_model("small", 7), [Image.new("RGB", (32, 32), "white")])[0]
    assert one.probabilities == pytest.approx(wanted, abs=1e-6)


def test_words_table_and_marks(tmp_path):
    shares = np.array([0.25, 0.5, 0.125, 0.125])
    classes = ["a", "b, c", "d", "e"]
    assert likeliest(shares, classes) == "b, c 50.0%, a 25.0%, d 12.5%"
    inside = Prediction(tmp_path / "x" / "1.png", (1.26, -2, 30, 40.5), shares)
    outside = Prediction(Path("/elsewhere/2.png"), None, shares[::-1].copy())
    lines = table([inside, outside], classes, tmp_path).decode().splitlines()
    assert lines[0] == 'file,left,top,right,bottom,predicted,a,"b, c",d,e'
    assert lines[1] == 'x/1.png,1.3,-2.0,30.0,40.5,"b, c",0.250000,0.500000,0.125000,0.125000'
    assert lines[2] == "/elsewhere/2.png,,,,,d,0.125000,0.125000,0.500000,0.250000"
    inside.file.parent.mkdir()
    for size in ((1, 1), (9, 200), (300, 100)):
        Image.new("L", size).save(inside.file)
        assert annotated(inside.file, [inside, outside], classes).size == size


def test_images_of(tmp_path):
    for name in ("b.png", "a.JPG", "sub/c.webp", ".hidden.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert images_of(tmp_path) == [tmp_path / "a.JPG", tmp_path / "b.png", tmp_path / "sub" / "c.webp"]
    assert images_of(tmp_path / "notes.txt") == [tmp_path / "notes.txt"]  # it was named, so it is tried
    (tmp_path / "empty").mkdir()
    for nothing in (tmp_path / "empty", tmp_path / "missing"):
        with pytest.raises(FileNotFoundError, match=f"no image at {nothing}"):
            images_of(nothing)


@pytest.mark.parametrize(
    ("source", "checkpoint", "message"),
    [
        ("missing.jpg", None, "no image at"),
        ("notes.jpg", None, "was classified: 1 of 1 images unreadable"),
        ("notes.jpg", "missing", "missing/model.json cannot be read"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(network, tmp_path, source, checkpoint, message, capsys):
    (tmp_path / "notes.jpg").write_text("no image")
    assert run(checkpoint or network, tmp_path / source) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_a_real_process(network, tmp_path):
    SyntheticExpressions("test", length=1).image(0).save(tmp_path / "face.png")
    words = ["predict", "face.png", "--checkpoint", str(network), "--no-align", "--out", "out"]
    done = subprocess.run(
        [sys.executable, "-m", "pasm_aug", *words],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    (row,) = rows_of(tmp_path / "out")
    assert done.stdout.splitlines()[0].startswith(f"face.png: {row['predicted']} ")


def test_what_is_no_image_is_counted(tmp_path, network, capsys):
    (tmp_path / "clip.mp4").write_bytes(b"no")
    Image.new("RGB", (48, 48), "grey").save(tmp_path / "a.png")
    assert main(["predict", str(tmp_path), "--checkpoint", str(network), "--no-align", "--quiet"]) == 0
    assert "left out, files ending in .mp4, which Pillow does not read here: 1" in capsys.readouterr().out
