"""`pasm-aug evaluate`: a network whose predictions are known, scored on data sets of other classes."""

import io
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from pasm_aug.cli.entry import main
from pasm_aug.cli.evaluate import FILLS
from pasm_aug.data.registry import open_dataset
from pasm_aug.models import build_model, save_model
from pasm_aug.training import occluders

pytestmark = [
    pytest.mark.filterwarnings("ignore:RAF-DB:UserWarning"),
    pytest.mark.filterwarnings("ignore:CK:UserWarning"),
    pytest.mark.filterwarnings("ignore:part .* has no:UserWarning"),
]

CLASSES = ["happiness", "anger", "surprise", "fear"]  # in an order that no data set has
OTHERS = ["disgust", "sadness", "neutral", "cat", "contempt"]
RAF = ["surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral"]


class Shades(nn.Module):
    """Sees class k in an image whose mean is nearest to 40 k."""

    def __init__(self, num_classes):
        super().__init__()
        self.shades = nn.Parameter(40.0 * torch.arange(num_classes))

    def preprocess(self, images):
        return images.float()

    def forward(self, x):
        return -((x.mean((1, 2, 3))[:, None] - self.shades) ** 2) / 40


def shade_of(name, nudge=0):
    return (40 * CLASSES.index(name) if name in CLASSES else 160 + 20 * OTHERS.index(name)) + nudge


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    folder = tmp_path_factory.mktemp("network")
    info = {"architecture": f"{__name__}:Shades", "classes": CLASSES, "mean": None, "image_size": 16, "channels": 3}
    save_model(folder, Shades(len(CLASSES)), info)
    return folder


def write(path, shade, mode="RGB", side=12):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (side, side), shade).convert(mode).save(path, format="PNG")  # lossless, whatever it is called


def write_folder(root):
    """Four test images a class: of "happy" one looks like anger; of "angry" two also stand in the training split."""
    for split in ("train", "val", "test"):
        for folder, name in (("happy", "happiness"), ("angry", "anger"), ("sad", "sadness"), ("7_Cats", "cat")):
            for number in range(4):
                nudge = number + {"train": 5, "val": -6, "test": 0}[split]
                write(root / split / folder / f"{number}.png", shade_of(name, max(nudge, 0) if nudge < 5 else nudge))
    write(root / "test" / "happy" / "3.png", shade_of("anger"))
    for number in (1, 2):
        (root / "train" / "angry" / f"copy{number}.png").write_bytes(
            (root / "test" / "angry" / f"{number}.png").read_bytes()
        )
    return root


def evaluate(network, *words):
    return main(["evaluate", "--checkpoint", str(network), "--quiet", "--device", "cpu", *map(str, words)])


def test_classes_meet_by_name_and_what_the_network_lacks_is_counted(network, tmp_path, capsys):
    root, out = write_folder(tmp_path / "data"), tmp_path / "deep" / "out"
    before = sorted(root.rglob("*"))
    assert evaluate(network, "--data", "folder", "--root", root, "--json", tmp_path / "s.json", "--out", out) == 0
    text = capsys.readouterr().out
    assert "folder test: 87.50% of 8 images right, mean over the classes 87.50%" in text
    assert "left out, for the network does not know their class: 4 sadness, 4 7_Cats" in text
    assert "2 of them also stand in folder's training split; without these: 83.33% of 6 images right" in text
    rows = [line.split() for line in text.splitlines()]
    assert ["happiness", "3", "1", "0", "0", "75.0%"] in rows
    assert ["anger", "0", "4", "0", "0", "100.0%"] in rows
    assert ["fear", "0", "0", "0", "0", "–"] in rows
    scores = json.loads((tmp_path / "s.json").read_text())
    assert scores == json.loads((out / "scores.json").read_text())
    assert scores["confusion"] == [[3, 1, 0, 0], [0, 4, 0, 0], [0] * 4, [0] * 4]
    assert scores["per_class"] == [0.75, 1, None, None]
    assert (scores["accuracy"], scores["mean_per_class"], scores["count"]) == (0.875, 0.875, 8)
    assert scores["left_out"] == {"sadness": 4, "7_Cats": 4}
    rest = scores["without_overlap"]
    assert (rest["count"], rest["confusion"][:2]) == (6, [[3, 1, 0, 0], [0, 2, 0, 0]])
    assert rest["accuracy"] == pytest.approx(5 / 6)
    with Image.open(out / "confusion.png") as image:
        image.verify()
        assert image.format == "PNG"
    assert {path.name for path in out.iterdir()} == {"scores.json", "confusion.png"}
    assert sorted(root.rglob("*")) == before


def test_without_looking_for_overlaps_and_on_the_training_split(network, tmp_path, capsys):
    root, file = write_folder(tmp_path / "data"), tmp_path / "scores.json"
    for words, count in ((["--no-overlap"], 8), (["--split", "train"], 10)):
        assert evaluate(network, "--data", "folder", "--root", root, *words, "--json", file) == 0
        assert "training split" not in capsys.readouterr().out
        scores = json.loads(file.read_text())
        assert "without_overlap" not in scores
        assert scores["count"] == count


def test_a_split_of_which_nothing_is_left_and_one_without_overlap(network, tmp_path, capsys):
    root, file = write_folder(tmp_path / "data"), tmp_path / "scores.json"
    assert evaluate(network, "--data", "folder", "--root", root, "--split", "val", "--json", file) == 0
    assert "training split" not in capsys.readouterr().out
    scores = json.loads(file.read_text())
    assert scores["without_overlap"]["count"] == scores["count"] == 8
    for path in (root / "test").rglob("*.png"):
        (root / "train" / path.parent.name / f"again-{path.name}").write_bytes(path.read_bytes())
    assert evaluate(network, "--data", "folder", "--root", root, "--json", file) == 0
    assert "8 of them also stand in folder's training split; without these: nothing" in capsys.readouterr().out
    assert json.loads(file.read_text())["without_overlap"] is None


def test_limit_and_overlap_speak_of_the_same_images(network, tmp_path):
    """Each test image of a shade that no other has, every second one in training too."""
    for split, numbers in (("train", range(0, 20, 2)), ("test", range(20))):
        for name in ("anger", "fear"):
            for number in numbers:
                write(tmp_path / split / name / f"{number}.png", shade_of(name, number - 10))
    for name in ("anger", "fear"):
        write(tmp_path / "val" / name / "0.png", 255)
    for limit in (5, 8, 13):
        file = tmp_path / "scores.json"
        words = ["--data", "folder", "--root", tmp_path, "--limit", limit, "--json", file]
        assert evaluate(network, *words) == 0
        drawn = open_dataset("folder", tmp_path, "test", limit=limit)
        odd = sum(drawn.image(index).getpixel((0, 0))[0] % 2 for index in range(limit))
        assert 0 < odd < limit
        assert json.loads(file.read_text())["without_overlap"]["count"] == odd


@pytest.fixture
def raf(tmp_path):
    """Two test images and two training ones of each class; the subsets' lists."""
    rows = []
    for split, length in (("train", 14), ("test", 14)):
        for number in range(length):
            label, stem = number % 7, f"{split}_{number + 1:04}"
            write(
                tmp_path / "Image" / "aligned" / f"{stem}_aligned.jpg",
                shade_of(RAF[label], number // 7 + (3 if split == "train" else 0)),
            )
            rows.append((stem, label))
    (tmp_path / "EmoLabel").mkdir()
    lines = [f"{stem}.jpg {label + 1}" for stem, label in rows]
    (tmp_path / "EmoLabel" / "list_patition_label.txt").write_text("\n".join(lines))
    occluded = [rows[14 + i] for i in (0, 2, 3, 5, 7)]  # surprise, disgust, happiness, anger, surprise
    occlusion = "\n".join(f"{stem}_aligned {label} 1" for stem, label in occluded)
    (tmp_path / "EmoLabel" / "rafdb_occlusion_list.txt").write_text(occlusion)
    turned = [rows[14 + i] for i in (1, 4, 6)]  # fear, sadness, neutral
    pose = "\n".join(["3 7", *(f"{label}/{stem}_aligned.jpg" for stem, label in turned)])
    (tmp_path / "EmoLabel" / "val_raf_db_list.txt").write_text(pose)
    return tmp_path


def test_rafdb_and_its_subsets(network, raf, capsys):
    file = raf / "scores.json"
    for words, count, left_out in (
        ([], 8, {"disgust": 2, "sadness": 2, "neutral": 2}),
        (["--subset", "occlusion"], 4, {"disgust": 1}),
        (["--subset", "pose30"], 1, {"sadness": 1, "neutral": 1}),
    ):
        assert evaluate(network, "--data", "rafdb", "--root", raf, *words, "--json", file) == 0
        assert f"rafdb {words[-1] if words else 'test'}: 100.00% of {count} images" in capsys.readouterr().out
        scores = json.loads(file.read_text())
        assert (scores["count"], scores["left_out"]) == (count, left_out)
        if words == ["--subset", "occlusion"]:
            assert np.diag(scores["confusion"]).tolist() == [1, 1, 2, 0]


def test_ckplus(network, tmp_path, capsys):
    for person in range(20):
        for sequence, name in enumerate(("anger", "contempt", "happy"), start=1):
            for frame in (15, 16, 17):
                file = tmp_path / name / f"S{person:03}_{sequence:03}_{frame:08}.png"
                write(file, shade_of({"happy": "happiness"}.get(name, name), frame - 15), "L", 12 + person)
    assert evaluate(network, "--data", "ckplus", "--root", tmp_path, "--no-overlap", "--json", tmp_path / "s.json") == 0
    scores = json.loads((tmp_path / "s.json").read_text())
    assert scores["accuracy"] == 1
    assert scores["per_class"] == [1, 1, None, None]
    assert scores["left_out"]["contempt"] > 0
    assert f"{scores['left_out']['contempt']} contempt" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data", "rafdb", "--root", "/nowhere"], "no RAF-DB in /nowhere"),
        (["--data", "rafdb"], "root must name the folder"),
        (["--subset", "occlusion"], "--subset occlusion is a part of --data rafdb, got --data synthetic"),
        (["--data", "rafdb", "--root", "RAF", "--subset", "occlusion", "--split", "val"], "is a part of split='test'"),
        (["--data", "rafdb", "--root", "RAF", "--subset", "pose45"], "no list of the subset 'pose45'"),
        (["--data", "folder", "--root", "CATS"], "nothing in common"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(network, raf, words, message, capsys):
    for split in ("train", "val", "test"):
        for name in ("cat", "dog"):
            write(raf / "cats" / split / name / "0.png", 9)
    words = [{"RAF": raf, "CATS": raf / "cats"}.get(word, word) for word in words]
    out = raf / "out"
    assert evaluate(network, *words, "--out", out) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.startswith("pasm-aug: error: ")
    assert err.count("\n") == 1
    assert not out.exists()


def test_a_damaged_image_is_named(network, tmp_path, capsys):
    root = write_folder(tmp_path)
    (root / "test" / "angry" / "2.png").write_bytes(b"no image")
    assert evaluate(network, "--data", "folder", "--root", root) == 2
    err = capsys.readouterr().err
    assert str(root / "test" / "angry" / "2.png") in err
    assert err.count("\n") == 1


def evaluated(tmp_path, *more):
    """A real process that scores a network of three classes into ``out``."""
    info = {"architecture": "small", "classes": ["neutral", "anger", "happiness"], "image_size": 24, "channels": 3}
    save_model(tmp_path / "net", build_model("small", 3), info | {"mean": None})
    words = ["evaluate", "--checkpoint", tmp_path / "net", "--limit", "28", "--quiet", "--out", tmp_path / "out", *more]
    command, environment = [sys.executable, "-m", "pasm_aug", *map(str, words)], os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done


def test_a_real_process(tmp_path):
    done = evaluated(tmp_path)
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert f"synthetic test: {scores['accuracy']:.2%} of 12 images right" in done.stdout
    assert scores["left_out"] == {"disgust": 4, "fear": 4, "sadness": 4, "surprise": 4}
    assert Image.open(io.BytesIO((tmp_path / "out" / "confusion.png").read_bytes())).width > 200


def test_occlusion_is_scored_printed_and_drawn(tmp_path):
    done = evaluated(tmp_path, "--occlusion", "--occlusion-fills", "mean,random", "--device", "cpu")
    assert done.stderr == ""  # no bars
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())["occlusion"]
    assert scores["clean"] == json.loads((tmp_path / "out" / "scores.json").read_text())["accuracy"]
    assert [(row["side"], row["fill"]) for row in scores["squares"]] == [
        (side, fill) for side in (4, 7, 10) for fill in ("mean", "random")
    ]
    rows = [line.split() for line in done.stdout.splitlines()]
    lines = (tmp_path / "out" / "occlusion.csv").read_text().splitlines()
    assert lines[0] == "side,share,fill,mean,worst"
    for line, row in zip(lines[1:], scores["squares"], strict=True):
        assert line.split(",") == [str(row[name]) for name in ("side", "share", "fill", "mean", "worst")]
        assert [str(row["side"]), "px", row["fill"], f"{row['mean']:.1%}", f"{row['worst']:.1%}"] in rows
    eyes, mouth = (scores["bands"][name] for name in ("eyes", "mouth"))
    assert f"eyes (rows 6…12) {eyes['accuracy']:.1%}, mouth (rows 16…22) {mouth['accuracy']:.1%}" in done.stdout
    for name in ("occlusion.png", "occlusion_classes.png"):
        with Image.open(tmp_path / "out" / name) as image:
            image.verify()
            assert image.format == "PNG"


def test_fills_of_an_occlusion_are_the_evaluations(network, capsys):
    assert FILLS == occluders.FILLS
    for text in ("pink", "black,", "black mean", ""):
        with pytest.raises(SystemExit) as left:
            evaluate(network, "--occlusion", "--occlusion-fills", text)
        assert left.value.code == 2
        assert f"wanted some of black, grey, white, mean, random, with commas between, got {text!r}" in (
            capsys.readouterr().err
        )
