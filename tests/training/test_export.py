"""Exported networks, as the programs that they are for read them: without this package's code."""

import json

import pytest
import torch
from torch import nn

from pasm_aug import Pair
from pasm_aug.training import export
from pasm_aug.training.export import export_network
from tests.shapes import Shapes, own_net

IMAGES = torch.from_numpy(Shapes(7).images)[:, None]
HOW = {"image_size": 20, "channels": 1, "classes": Shapes.classes}


def wanted(model, *, soft=False):
    with torch.no_grad():
        logits = model.eval()(model.preprocess(IMAGES))
    return logits.softmax(1) if soft else logits


def run_onnx(path):
    session = pytest.importorskip("onnxruntime").InferenceSession(str(path))
    (given,) = session.run(None, {"images": IMAGES.numpy()})
    metadata = session.get_modelmeta().custom_metadata_map
    return torch.from_numpy(given), {name: json.loads(value) for name, value in metadata.items()}


def run_program(path):
    about = {"model.json": ""}
    program = torch.export.load(path, extra_files=about)
    with torch.no_grad():
        return program.module()(IMAGES), json.loads(about["model.json"])


@pytest.mark.parametrize("outputs", ["logits", "probabilities"])
def test_the_exported_program_takes_uint8_images_and_says_what_the_network_says(tmp_path, outputs):
    model = own_net().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    difference = export_network(model, tmp_path / "a.pt2", outputs=outputs, **HOW)
    assert model.training
    assert vars(model).keys() == vars(own_net()).keys()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    given, about = run_program(tmp_path / "a.pt2")
    torch.testing.assert_close(given, wanted(model, soft=outputs == "probabilities"))
    assert difference < 1e-5
    assert about == HOW | {"classes": list(Shapes.classes), "outputs": outputs}
    assert [file.name for file in tmp_path.iterdir()] == ["a.pt2"]


def test_the_onnx_file_does_so_too_and_names_the_classes(tmp_path):
    for name in export.ONNX_NEEDS:
        pytest.importorskip(name)
    model = Pair(own_net(), own_net(1))
    assert export_network(model, tmp_path / "a.onnx", outputs="probabilities", **HOW) < 1e-5
    given, about = run_onnx(tmp_path / "a.onnx")
    torch.testing.assert_close(given, wanted(model, soft=True))
    assert about == HOW | {"classes": list(Shapes.classes), "outputs": "probabilities"}


def test_a_preprocessing_may_be_given_and_is_not_moved_or_changed(tmp_path):
    class Scale(nn.Module):
        def forward(self, images):
            return images.double().float() / 255

    scale, model = Scale().train(), own_net()
    export_network(model, tmp_path / "a.pt2", preprocess=scale, **HOW)
    with torch.no_grad():
        torch.testing.assert_close(run_program(tmp_path / "a.pt2")[0], model(scale(IMAGES)))
    assert scale.training


class Branches(nn.Module):
    """What it does depends on what it sees: it cannot be traced."""

    def forward(self, x):
        return x.flatten(1)[:, :3] if x.sum() > 0 else -x.flatten(1)[:, :3]


def test_a_network_that_cannot_be_exported_is_told_in_one_line_and_no_file_appears(tmp_path):
    with pytest.raises(ValueError, match=r"model Branches cannot be exported: .+") as caught:
        export_network(Branches(), tmp_path / "a.pt2", preprocess=lambda x: x / 255, **HOW)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wrong", [lambda logits: logits + 0.01, lambda logits: logits[:1]])
def test_a_file_that_says_something_else_does_not_appear(tmp_path, monkeypatch, wrong):
    (tmp_path / "a.pt2").write_text("the old one")
    read = export._run_program
    monkeypatch.setattr(export, "_run_program", lambda data: lambda images: wrong(read(data)(images)))
    with pytest.raises(ValueError, match="must say what the network says"):
        export_network(own_net(), tmp_path / "a.pt2", **HOW)
    assert [file.read_text() for file in tmp_path.iterdir()] == ["the old one"]


@pytest.mark.parametrize(
    ("file", "options", "message"),
    [
        ("a.pt", {}, r"path must end in .onnx or .pt2, got '.*a.pt'"),
        ("a.pt2", {"outputs": "classes"}, "outputs must be one of logits, probabilities, got 'classes'"),
    ],
)
def test_a_mistake_is_named(tmp_path, file, options, message):
    with pytest.raises(ValueError, match=message):
        export_network(own_net(), tmp_path / file, **HOW, **options)


def test_without_its_packages_onnx_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "find_spec", lambda name: None if name == "onnxscript" else True)
    with pytest.raises(ValueError, match=r"pip install onnxscript$"):
        export_network(own_net(), tmp_path / "a.onnx", **HOW)
