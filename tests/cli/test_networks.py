"""A file of somebody's weights wherever a command takes a trained network; classes in an order of its own."""

import json

import numpy as np
import pytest
import torch

from pasm_aug.cache.position_cache import PositionCache
from pasm_aug.cli.entry import main
from pasm_aug.core.image_content import to_uint8_tensor
from pasm_aug.data.synthetic.dataset import CLASSES, SyntheticExpressions
from pasm_aug.models import build_model, load_model, save_model

DATA = ["--limit", "21", "--image-size", "24"]
HERE = ["--quiet", "--device", "cpu"]
RUN = ["--epochs", "1", "--batch-size", "8", "--augment", "none", "--rounds", "1", "--baselines", ""]
ORDER = [3, 0, 6, 1, 5, 2, 4]
SYNONYMS = {"anger": "Angry", "happiness": "happy", "fear": "fear"}
THEIRS = ",".join(SYNONYMS.get(CLASSES[row], CLASSES[row]) for row in ORDER)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A network in a folder of ours, and in a checkpoint with its outputs in another order."""
    folder = tmp_path_factory.mktemp("trained")
    model = build_model("small", len(CLASSES), seed=1)
    images = torch.stack([to_uint8_tensor(image) for image, _ in SyntheticExpressions("test", size=24, length=21)])
    with torch.no_grad():  # no class before the others, so that it tells images apart without a training
        model.fc.weight *= 20
        model.fc.bias -= model.eval()(model.preprocess(images)).mean(0)
    save_model(folder / "ours", model, {"architecture": "small", "classes": list(CLASSES), "image_size": 24})
    state = {f"module.{name}": value for name, value in model.state_dict().items()}
    for name in ("module.fc.weight", "module.fc.bias"):
        state[name] = state[name][ORDER]
    torch.save({"state_dict": state, "epoch": 3}, folder / "theirs.pth")
    return folder


@pytest.fixture
def own(trained):
    return [str(trained / "theirs.pth"), "--model", "small", "--classes", THEIRS]


def scores_of(words, file):
    assert main(["evaluate", "--checkpoint", *words, *DATA, *HERE, "--json", str(file)]) == 0
    return json.loads(file.read_text())


def by_name(confusion, classes):
    order = [classes.index(name) for name in CLASSES]
    return np.array(confusion)[np.ix_(order, order)].tolist()


def test_evaluate_and_predict_see_in_it_what_they_see_in_a_folder(trained, own, tmp_path, capsys):
    ours = scores_of([str(trained / "ours")], tmp_path / "ours.json")
    theirs = scores_of(own, tmp_path / "theirs.json")
    assert by_name(theirs["confusion"], [CLASSES[row] for row in ORDER]) == ours["confusion"]
    assert np.linalg.matrix_rank(ours["confusion"]) > 1  # it tells classes apart
    for index, (image, _) in enumerate(SyntheticExpressions("test", size=24, length=4)):
        (tmp_path / "faces").mkdir(exist_ok=True)
        image.save(tmp_path / "faces" / f"{index}.png")
    capsys.readouterr()
    told = []
    for network in ([str(trained / "ours")], [*own, "--image-size", "24"]):
        assert main(["predict", str(tmp_path / "faces"), "--no-align", "--checkpoint", *network, *HERE]) == 0
        told.append(capsys.readouterr().out)
    assert told[0] == told[1] != ""


def test_mining_with_it_finds_the_same_points(trained, own, tmp_path):
    for name, network in (("ours", [str(trained / "ours")]), ("theirs", own)):
        words = ["mine", "--teacher", *network, *DATA, *HERE, "--budget", "4", "--out", str(tmp_path / name)]
        assert main(words) == 0
    one, other = (PositionCache.open(tmp_path / name).to_numpy() for name in ("ours", "theirs"))
    assert np.array_equal(one["xy"], other["xy"])
    assert np.allclose(one["p_clean"], other["p_clean"], atol=1e-6)


def test_a_run_starts_from_it_and_its_classes_become_those_of_the_data(trained, own, tmp_path, capsys):
    out = tmp_path / "out"
    words = ["run", "--teacher", *own, *DATA, *HERE, *RUN, "--out", str(out)]
    assert main(words) == 0
    info = json.loads((out / "round-0" / "model.json").read_text())
    assert (info["classes"], info["parent"]) == (list(CLASSES), str(trained / "theirs.pth"))
    ours, kept = (dict(load_model(folder).named_parameters()) for folder in (trained / "ours", out / "round-0"))
    assert all(torch.equal(kept[name], ours[name]) for name in ours)
    assert "taken over from `theirs.pth`" in (out / "round-0" / "README.md").read_text()
    assert f"\nclasses: {THEIRS}\n" in (out / "run.yaml").read_text()
    (out / "round-1" / "result.json").unlink()
    (out / "round-1" / "SHA256SUMS").unlink()
    capsys.readouterr()
    assert main(["run", "--options", str(out / "run.yaml")]) == 0  # goes on with the same
    assert "going on with the run" in capsys.readouterr().out
    assert main([*words, "--classes", ",".join(CLASSES)]) == 2
    assert "classes was" in capsys.readouterr().err


def test_a_training_is_taught_by_it(own, tmp_path):
    words = ["train", "--teacher", *own, *DATA, *HERE, "--epochs", "1", "--batch-size", "8"]
    assert main([*words, "--out", str(tmp_path)]) == 0
    assert json.loads((tmp_path / "model.json").read_text())["parent"].endswith("theirs.pth")


def test_preview_and_audit_ask_it(trained, own, tmp_path, capsys):
    words = ["--limit", "21", "--image-size", "24", "--device", "cpu", "--network"]
    sheet = ["--augment", "online", "--count", "2", "--draws", "1", "--out", str(tmp_path / "sheet.png")]
    assert main(["preview", *words, *own, *sheet]) == 0
    assert main(["audit", "--split", "train", *words, *own, "--quiet", "--out", str(tmp_path / "audit")]) == 0
    assert "most suspicious of 21" in capsys.readouterr().out


def test_a_run_from_a_teacher_with_another_normalisation_keeps_it(trained, tmp_path, capsys):
    words = ["import-model", str(trained / "theirs.pth"), "--model", "small", "--classes", THEIRS, "--image-size", "24"]
    assert main([*words, "--mean", ".5", "--std", ".25", "--out", str(tmp_path / "mine")]) == 0
    out = tmp_path / "out"
    assert main(["run", "--teacher", str(tmp_path / "mine"), *DATA, *HERE, *RUN, "--out", str(out)]) == 0
    for number in (0, 1):
        info = json.loads((out / f"round-{number}" / "model.json").read_text())
        assert (info["mean"], info["std"]) == ([0.5] * 3, [0.25] * 3)
    kept = json.loads((out / "round-0" / "result.json").read_text())["test"]
    again = scores_of([str(tmp_path / "mine")], tmp_path / "again.json")
    assert kept["confusion"] == by_name(again["confusion"], [CLASSES[row] for row in ORDER])
    assert again["loss"] == pytest.approx(kept["loss"])
    assert again["loss"] != pytest.approx(scores_of([str(trained / "ours")], tmp_path / "ours.json")["loss"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["evaluate", "--checkpoint", "FILE"],
            "FILE is a file of weights, which does not tell what it is: add --model",
        ),
        (["run", "--teacher", "FILE"], "add --model NAME and --classes A,B,… in the order of its outputs"),
        (
            ["mine", "--teacher", "FILE", "--model", "small", "--out", "x"],
            "make a folder of it once by `pasm-aug import",
        ),
        (["run", "--teacher", "FILE", "--classes", "a,b,c,d,e,f,g"], "was trained on the classes a, b, c, d, e, f, g"),
        (["run", "--teacher", "FILE", "--classes", "a,b"], "fc.weight: (7, 96) in the file, (2, 96) in the network"),
        (["run", "--teacher", "none.pt", "--classes", "a,b"], "weights 'none.pt' cannot be read"),
        (["run", "--teacher", "DIR", "--classes", THEIRS], "--classes goes with --teacher or --miner FILE"),
        (["audit", "--classes", THEIRS], "--classes goes with --network FILE"),
        (["mine", "--teacher", "DIR", "--model", "small", "--out", "x"], "--model goes with a file of weights; DIR"),
        (
            ["evaluate", "--checkpoint", "DIR", "--classes", THEIRS],
            "--classes goes with a file of weights; DIR is a fol",
        ),
        (["preview", "--classes", THEIRS], "--classes goes with --augment online"),
        (
            ["run", "--teacher", "DIR", "--model", "resnet18"],
            "--teacher DIR is another network (small) than --model resnet18, which the rounds train: add --model small",
        ),
    ],
)
def test_what_is_wrong_is_told_in_one_line(trained, words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    real = {"FILE": str(trained / "theirs.pth"), "DIR": str(trained / "ours")}
    assert main([*(real.get(word, word) for word in words), "--limit", "21", "--device", "cpu"]) == 2
    err = capsys.readouterr().err.replace(real["FILE"], "FILE").replace(real["DIR"], "DIR")
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
def test_a_file_in_a_folder_of_ours_stands_for_the_folder(trained, name, capsys):
    told = []
    for path in (trained / "ours", trained / "ours" / name):
        assert main(["evaluate", "--checkpoint", str(path), "--limit", "21", *HERE]) == 0
        told.append(capsys.readouterr().out)
    assert told[0] == told[1]
    assert "of 21 images right" in told[0]
