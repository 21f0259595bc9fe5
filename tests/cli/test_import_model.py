"""Somebody's weights become a folder that loads as any other; what does not fit is told in one line."""

import json

import pytest
import torch

from pasm_aug.cli.entry import main
from pasm_aug.models import IMAGENET_MEAN, IMAGENET_STD, build_model, load_model
from tests.shapes import own_net

NAMES = ["--classes", "cat,dog,emu"]


@pytest.fixture
def file(tmp_path):
    """A checkpoint with averaged weights beside others."""
    state, averaged = (build_model("small", 3, seed=seed).state_dict() for seed in (1, 2))
    torch.save({"state_dict": state, "state_dict_ema": averaged, "epoch": 3}, tmp_path / "w.pt")
    return tmp_path / "w.pt"


def test_a_folder_is_made_that_says_what_it_is(file, tmp_path, capsys):
    words = ["import-model", str(file), "--model", "small", *NAMES, "--image-size", "24", "--out"]
    assert main([*words, str(tmp_path / "mine")]) == 0
    out = capsys.readouterr().out
    assert "all 56 tensors of 'state_dict_ema'" in out
    assert f"pasm-aug evaluate --checkpoint {tmp_path}/mine" in out
    model = load_model(tmp_path / "mine")
    assert torch.equal(model.fc.weight, build_model("small", 3, seed=2).fc.weight)
    assert model.info == json.loads((tmp_path / "mine" / "model.json").read_text())
    assert model.info.pop("sha256")
    assert model.info == {
        "architecture": "small",
        "classes": ["cat", "dog", "emu"],
        "mean": pytest.approx(IMAGENET_MEAN),
        "std": pytest.approx(IMAGENET_STD),
        "image_size": 24,
        "channels": 3,
        "imported": {"file": "w.pt", "keys": ["state_dict_ema"], "prefix": ""},
    }
    assert main([*words, str(tmp_path / "mine")]) == 2
    assert "holds a network already" in capsys.readouterr().err
    assert main([*words, str(tmp_path / "other"), "--key", "state_dict"]) == 0
    assert torch.equal(load_model(tmp_path / "other").fc.weight, build_model("small", 3, seed=1).fc.weight)


def test_a_factory_keeps_its_preprocessing_unless_another_is_given(tmp_path):
    torch.save(own_net(1).state_dict(), tmp_path / "w.pt")
    (tmp_path / "names.txt").write_text("square\ncross\n\nring\n")
    words = ["import-model", str(tmp_path / "w.pt"), "--model", "tests.shapes:OwnNet", "--image-size", "20"]
    words += ["--classes", str(tmp_path / "names.txt"), "--channels", "1", "--out"]
    images = torch.randint(0, 256, (2, 1, 20, 20), dtype=torch.uint8)
    assert main([*words, str(tmp_path / "a")]) == 0
    model = load_model(tmp_path / "a")
    assert model.info["classes"] == ["square", "cross", "ring"]
    assert model.info["mean"] is None
    assert torch.equal(model.preprocess(images), own_net().preprocess(images))
    assert main([*words, str(tmp_path / "b"), "--mean", "0.25", "--std", "0.5"]) == 0
    model = load_model(tmp_path / "b")
    torch.testing.assert_close(model.preprocess(images), (images / 255 - 0.25) / 0.5)
    assert model(model.preprocess(images)).shape == (2, 3)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "small", "--classes", "a,b"], "2 of another shape"),
        (["--model", "resnet18", *NAMES], "does not fit the ResNet: "),
        (["--model", "resnet1234", *NAMES], "got 'resnet1234'"),
        (["--model", "small", *NAMES, "--key", "swa"], "has no key 'swa': it holds state_dict, state_dict_ema, epoch"),
        (["--model", "small", *NAMES, "--mean", ".5"], "--mean and --std go together, got --mean alone"),
        (["--model", "small", *NAMES, "--mean", ".5,.5", "--std", "1,1"], "must be 1 or 3 numbers each"),
        (["--model", "small", *NAMES, "--mean", "1,1,1", "--std", "1,0,1"], "--std above 0"),
        (["--model", "small:net", *NAMES], "small:net"),
    ],
)
def test_a_mistake_is_one_line_and_makes_no_folder(file, tmp_path, words, message, capsys):
    assert main(["import-model", str(file), *words, "--out", str(tmp_path / "mine")]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert len(err) < 500
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize("words", [["--classes", "a"], ["--classes", "a,b,a"], ["--mean", "x"], ["--channels", "2"]])
def test_what_is_no_value_is_refused_by_the_parser(file, words, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["import-model", str(file), "--model", "small", *NAMES, *words, "--out", str(tmp_path / "mine")])
    assert stop.value.code == 2
    assert words[0] in capsys.readouterr().err


def test_a_whole_pickled_model_is_refused_with_the_way_to_save_it(tmp_path, capsys):
    torch.save(build_model("small", 3), tmp_path / "w.pt")
    words = ["import-model", str(tmp_path / "w.pt"), "--model", "small", *NAMES, "--out", str(tmp_path / "mine")]
    assert main(words) == 2
    assert "torch.save(model.state_dict(), 'weights.pt')" in capsys.readouterr().err
