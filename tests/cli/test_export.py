"""`pasm-aug export`: the folder of a network into files that other programs read."""

import json

import pytest
import torch

from pasm_aug.cli.entry import main
from pasm_aug.core.checksums import CHECKSUMS, damaged, resealed
from pasm_aug.models import load_model, save_model
from tests.shapes import Shapes, own_net

IMAGES = torch.from_numpy(Shapes(4).images)[:, None]


@pytest.fixture
def network(tmp_path):
    info = {"architecture": "tests.shapes:OwnNet", "classes": list(Shapes.classes), "image_size": 20, "channels": 1}
    save_model(tmp_path / "net", own_net(2), info)
    return tmp_path / "net"


def test_the_program_lies_in_the_networks_folder_or_where_it_is_wanted(network, tmp_path, capsys):
    assert main(["export", str(network), "--format", "pt2"]) == 0
    assert "uint8 images (B, 1, 20, 20) → logits (B, 3)" in capsys.readouterr().out
    where = ["--out", str(tmp_path / "new" / "folder"), "--outputs", "probabilities"]
    assert main(["export", str(network / "model.json"), "--format", "pt2", *where]) == 0
    model = load_model(network)
    with torch.no_grad():
        logits = model(model.preprocess(IMAGES))
        for folder, expected in ((network, logits), (tmp_path / "new" / "folder", logits.softmax(1))):
            torch.testing.assert_close(torch.export.load(folder / "model.pt2").module()(IMAGES), expected)


def test_the_list_of_a_finished_folder_goes_on_to_be_true_and_hides_no_damage(network):
    with resealed(network):
        (network / "metrics.csv").write_text("whole")
    for outputs in ("logits", "probabilities"):  # the second is another file than the list knows
        assert main(["export", str(network), "--format", "pt2", "--outputs", outputs]) == 0
        assert "model.pt2" in (network / CHECKSUMS).read_text()
        assert damaged(network) == []
    (network / "metrics.csv").write_text("spoilt")
    assert main(["export", str(network), "--format", "pt2"]) == 0
    assert damaged(network) == ["metrics.csv", "model.pt2"]


@pytest.mark.slow
def test_both_files_at_once(network):
    for name in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(name)
    import onnxruntime

    assert main(["export", str(network), "--format", "both"]) == 0
    session = onnxruntime.InferenceSession(str(network / "model.onnx"))
    (logits,) = session.run(None, {"images": IMAGES.numpy()})
    program = torch.export.load(network / "model.pt2").module()
    torch.testing.assert_close(torch.from_numpy(logits), program(IMAGES).detach())
    assert json.loads(session.get_modelmeta().custom_metadata_map["classes"]) == list(Shapes.classes)


def test_a_folder_without_a_network_is_a_mistake_in_one_line(tmp_path, capsys):
    assert main(["export", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    err = capsys.readouterr().err
    assert "model.json cannot be read" in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()
