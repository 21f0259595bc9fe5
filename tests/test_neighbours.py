"""The recipes for other packages, in the README of the transforms, run as they stand where the package is at hand."""

import io
import re
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from pasm_aug import PointAdversarialErase, PointSearch, SyntheticExpressions, build_model, mine_positions, save_model
from pasm_aug.cli.entry import main

README = Path(__file__).parents[1] / "pasm_aug" / "transforms" / "README.md"
RECIPES = re.findall(r"```python\n(.*?)```", README.read_text().partition("## Neighbours")[2], re.DOTALL)
PACKAGES = ["datasets", "albumentations", "timm", "kornia", "webdataset", "onnxruntime", "open_tracker"]
COUNT = 14  # images, two of each class
pytestmark = pytest.mark.filterwarnings("ignore")  # of a teacher that has learnt nothing, and of the packages' own


def test_every_recipe_is_run_here():
    assert len(RECIPES) == len(PACKAGES)
    assert all(name in recipe for name, recipe in zip(PACKAGES, RECIPES, strict=True))


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs the recipe of a package, with one epoch where there are many; images and a network lie where it looks."""
    data = SyntheticExpressions("train", length=COUNT)
    for index in range(COUNT):
        image, label = data[index]
        folder = tmp_path / "faces" / "train" / data.classes[label]
        folder.mkdir(parents=True, exist_ok=True)
        image.save(folder / f"{index}.png")
    about = {"architecture": "small", "classes": sorted(data.classes), "mean": [0.5] * 3, "std": [0.25] * 3}
    save_model(tmp_path / "teacher", build_model("small", 7), about | {"image_size": 48})
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)

    def run(package, **names):
        recipe = RECIPES[PACKAGES.index(package)]
        exec(re.sub(r"epochs=\d+", "epochs=1", recipe), names)
        return names

    return run


def share_erased(erase):
    """The share of the images shown to it that it erased, all of which it knew."""
    told = erase.stats()
    assert told["misses"] == 0
    assert told["calls"] >= COUNT
    return told["erased"] / told["calls"]


@pytest.mark.slow
def test_hugging_face(run, tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    pytest.importorskip("transformers")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    names = run("datasets")
    assert sorted(SyntheticExpressions("train", length=7).classes) == names["faces"].features["label"].names
    assert PointAdversarialErase("positions.safetensors").cache.metadata["dataset"]["length"] == COUNT
    assert 0.2 <= share_erased(names["steps"].transforms[1]) <= 0.8
    assert names["batch"]["pixel_values"].shape[1:] == (3, 48, 48)
    assert torch.isfinite(names["loss"])


def test_a_list_of_images_from_hugging_face_is_as_many_samples(run, tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    faces = datasets.load_dataset("imagefolder", data_dir="faces/train", split="train")
    mine_positions(build_model("small", 7), faces, "c", search=PointSearch(budget=4), progress=False)
    erase = PointAdversarialErase("c", p=1.0, on_miss="raise")
    erased = faces.with_transform(erase)[:5]["image"]
    for index, image in enumerate(erased):
        alone = np.asarray(erase(faces[index]["image"]))
        np.testing.assert_array_equal(np.asarray(image), alone)


def test_albumentations(run):
    pytest.importorskip("albumentations")
    names = run("albumentations")
    image, label = names["erased"][0]
    assert (image.shape, image.dtype, label) == ((3, 48, 48), torch.float32, 0)
    for index in range(COUNT):
        names["erased"][index]
    assert 0.2 <= share_erased(names["erase"].transform) <= 0.8


@pytest.mark.slow
def test_timm(run):
    pytest.importorskip("timm")
    names = run("timm")
    images = torch.stack([image for image, _ in names["erased"]])
    assert images.shape == (COUNT, 3, 48, 48)
    assert 0.2 <= share_erased(names["erased"].transform.transforms[1]) <= 0.8


def test_a_network_of_timm_is_scaled_as_its_description_says():
    pytest.importorskip("timm")
    for prefix in ("", "pair:"):
        network = build_model(f"{prefix}timm:test_vit", 7)
        described = (network.a if prefix else network).pretrained_cfg
        assert network.preprocess.mean.flatten().tolist() == pytest.approx(described["mean"])
        assert described["mean"] == (0.5, 0.5, 0.5)


def test_kornia(run):
    pytest.importorskip("kornia")
    names = run("kornia")
    before = build_model("small", 7).state_dict()
    assert any(not torch.equal(value, before[name]) for name, value in names["model"].state_dict().items())
    assert torch.isfinite(names["loss"])


@pytest.fixture
def shards(run):
    """The images in two tar files, as WebDataset has them: KEY.png beside KEY.cls."""
    faces = ImageFolder("faces/train")
    for shard in (0, 1):
        with tarfile.open(f"faces-{shard}.tar", "w") as tar:
            for index in range(shard, COUNT, 2):
                path, label = faces.samples[index]
                for ending, data in (("png", Path(path).read_bytes()), ("cls", str(label).encode())):
                    info = tarfile.TarInfo(f"{index:04}.{ending}")
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))


def test_webdataset(run, shards):
    wds = pytest.importorskip("webdataset")
    names = run("webdataset")
    batches = list(names["loader"])
    assert sum(len(labels) for _, labels in batches) == COUNT
    assert batches[0][0].shape == (COUNT, 3, 48, 48)
    assert 0.2 <= share_erased(names["steps"].transforms[0]) <= 0.8
    every, cache = list(names["samples"]("faces-{0..1}.tar")), "by_key.safetensors"
    mine_positions(names["teacher"], every, cache, search=PointSearch(budget=4), progress=False)
    number = {sample["__key__"]: index for index, sample in enumerate(every)}
    erase = PointAdversarialErase(cache, p=1.0, on_miss="raise", index_getter=lambda sample: number[sample["__key__"]])
    changed = v2.Compose([v2.ColorJitter(0.9, 0.9), erase])
    assert len(list(wds.WebDataset("faces-1.tar", shardshuffle=False).decode("pilrgb").map(changed))) == COUNT // 2
    assert erase.stats()["hits"] == COUNT // 2


@pytest.mark.slow
def test_onnx(run, capsys):
    for name in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(name)
    (words,) = re.findall(r"^pasm-aug (export .*)$", README.read_text(), re.MULTILINE)
    assert main(words.split()) == 0
    names = run("onnxruntime")
    assert names["shares"].sum(1) == pytest.approx(np.ones(2))
    assert names["classes"][names["shares"][0].argmax()] in capsys.readouterr().out
    images = torch.zeros(2, 3, 48, 48, dtype=torch.uint8)
    program = torch.export.load("teacher/model.pt2").module()
    np.testing.assert_allclose(program(images).detach().numpy(), names["shares"], atol=1e-5)


def test_a_tracker(run):
    pytest.importorskip("tensorboard")
    run("open_tracker")
    assert list(Path("runs/faces/tensorboard").glob("events*"))
