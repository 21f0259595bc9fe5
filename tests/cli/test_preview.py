"""``pasm-aug preview``: one's own images and what the erasing makes of them, by command."""

import re

import numpy as np
import PIL.Image
import pytest

from pasm_aug.cli.entry import main
from pasm_aug.core.contact_sheet import MARK
from pasm_aug.data.synthetic.dataset import CLASSES, SyntheticExpressions
from pasm_aug.models import build_model, save_model
from pasm_aug.search.mine import mine_positions
from pasm_aug.search.point_search import PointSearch
from tests.shapes import Shapes

QUICK = ["--limit", "21", "--device", "cpu"]


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    folder = tmp_path_factory.mktemp("network")
    about = {"architecture": "small", "classes": list(CLASSES), "image_size": 24, "mean": [0.5], "std": [0.25]}
    save_model(folder, build_model("small", 7, seed=0), about)
    return folder


@pytest.fixture(scope="module")
def positions(network, tmp_path_factory):
    """Of 21 drawn faces of 24 × 24 pixels."""
    path = tmp_path_factory.mktemp("mined") / "positions.safetensors"
    data = SyntheticExpressions("train", size=24, length=21)
    search = PointSearch(candidates=4)
    mine_positions(build_model("small", 7, seed=0), data, path, search=search, device="cpu", progress=False)
    return path


def marked(path):
    """Whether anything on a sheet is framed in red."""
    with PIL.Image.open(path) as sheet:
        assert sheet.format == "PNG"
        return (np.asarray(sheet.convert("RGB")).astype(int) == np.array(MARK)).all(-1).mean() > 0.001


def test_mined_points_are_found_at_the_size_that_was_mined(positions, tmp_path, capsys):
    out = tmp_path / "new" / "sheet.png"
    assert main(["preview", *QUICK, "--positions", str(positions), "--count", "5", "--out", str(out)]) == 0
    said = f"→ {out}: 5 images, 3 draws each; hit rate 100% of 21 images looked up\n"
    assert capsys.readouterr() == (said, "")
    assert not marked(out)


@pytest.mark.filterwarnings("ignore:.*hit rate 0%")
def test_misses_are_marked_and_counted(positions, tmp_path, capsys):
    out = tmp_path / "sheet.png"
    words = ["preview", *QUICK, "--positions", str(positions), "--image-size", "32", "--out", str(out)]
    assert main(words) == 0
    assert "hit rate 0% of 21 images looked up" in capsys.readouterr().out
    assert marked(out)


def test_without_positions_the_squares_are_random_and_it_says_so(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for split in ("train", "val", "test"):
        data = Shapes(9, seed=len(split))
        for index, (image, label) in enumerate(data):
            folder = tmp_path / "data" / split / f"a class with a long name, {data.classes[label]}"
            folder.mkdir(parents=True, exist_ok=True)
            image.resize((30 + index, 50)).save(folder / f"{index}.png")
    assert main(["preview", "--data", "folder", "--root", "data", "--device", "cpu", "--mask-size", "9"]) == 0
    told = "no --positions, so every square (9 pixels) lies at a random place"
    assert capsys.readouterr().out == f"→ preview.png: 9 images, 3 draws each; {told}\n"
    assert not marked("preview.png")


def test_other_arms(positions, tmp_path, capsys):
    sheets = {}
    for arm, words in {"random": [], "random-matched": ["--positions", str(positions), "--value", "mean"]}.items():
        out = tmp_path / f"{arm}.png"
        assert main(["preview", *QUICK, "--augment", arm, *words, "--draws", "2", "--out", str(out)]) == 0
        sheets[arm] = out.read_bytes()
    assert len(set(sheets.values())) == 2
    first, second = capsys.readouterr().out.splitlines()
    assert "RandomErasing, which erases half of the images" in first
    assert "hit rate 100%" in second


def test_the_adversary_of_the_training_step(network, tmp_path, capsys):
    out = tmp_path / "o.png"
    words = ["preview", *QUICK, "--augment", "online", "--network", str(network), "--count", "4", "--out", str(out)]
    assert main(words) == 0
    assert re.search(r"4 images, 3 draws each; p: the network's probability of the label", capsys.readouterr().out)
    first = out.read_bytes()
    assert main(words) == 0
    assert out.read_bytes() == first
    assert main([*words, "--seed", "1", "--hardness", "drawn"]) == 0
    assert out.read_bytes() != first


def test_open_shows_it_in_the_browser_and_nothing_else_does(tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr("webbrowser.open", shown.append)
    words = ["preview", *QUICK, "--count", "1", "--out", str(tmp_path / "a b.png")]
    assert main(words) == 0
    assert shown == []
    assert main([*words, "--open"]) == 0
    assert shown == [(tmp_path / "a b.png").as_uri()]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--augment", "online"], "--augment online needs --network DIR, the trained network that it hurts"),
        (["--network", "x"], "--network goes with --augment online, got --augment point"),
        (
            ["--augment", "random", "--positions", "x"],
            "goes with --augment point or random-matched, got --augment random",
        ),
        (["--count", "201"], "--count must be at most 200, got 201"),
        (["--out", "sheet.jpg"], "--out must end in .png, got sheet.jpg"),
        (["--positions", "/nowhere"], "/nowhere cannot be read"),
        (["--data", "folder", "--root", "/nowhere"], "/nowhere"),
        (["--augment", "online", "--network", "/nowhere"], "/nowhere/model.json"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(words, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["preview", *words]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
