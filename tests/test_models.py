import pytest
import torch
from torch import nn

from pasm_aug.core.weights import load_weights
from pasm_aug.models import IMAGENET_MEAN, IMAGENET_STD, Preprocess, build_model, load_model, save_model
from pasm_aug.search.fingerprint import describe_state
from tests.shapes import own_net

INFO = {
    "architecture": "small",
    "classes": [str(i) for i in range(5)],
    "mean": list(IMAGENET_MEAN),
    "std": list(IMAGENET_STD),
}


def test_preprocess_normalises_and_fills_three_channels_from_grey():
    images = torch.randint(0, 256, (2, 1, 4, 4), dtype=torch.uint8)
    out = Preprocess()(images)
    assert out.shape == (2, 3, 4, 4)
    expected = (images[:, 0].double() / 255 - IMAGENET_MEAN[1]) / IMAGENET_STD[1]
    assert torch.allclose(out[:, 1].double(), expected, atol=1e-6)
    assert torch.equal(out, Preprocess()(images.expand(-1, 3, -1, -1)))


@pytest.mark.parametrize("name", ["small", "resnet18", "vgg11_bn", "mobilenet_v3_small", "tests.shapes:OwnNet"])
def test_build_model_makes_the_outputs_asked_for_and_leaves_the_random_state(name):
    state = torch.get_rng_state()
    model = build_model(name, 4)
    assert torch.equal(state, torch.get_rng_state())
    size = 20 if "OwnNet" in name else 64
    images = torch.randint(0, 256, (2, 1 if "OwnNet" in name else 3, size, size), dtype=torch.uint8)
    assert model.eval()(model.preprocess(images)).shape == (2, 4)


def test_initial_weights_come_from_the_seed():
    weights = [describe_state(build_model("small", 3, seed=seed))["weights"] for seed in (0, 0, 1)]
    assert weights[0] == weights[1] != weights[2]


@pytest.mark.parametrize(
    ("name", "weights", "message"),
    [
        ("resnet1234", None, "resnet1234"),
        ("no_such_module:net", None, "no_such_module"),
        ("tests.shapes:nothing", None, "nothing"),
        ("small", "imagenet", "no ImageNet weights"),
        ("small", "nowhere.safetensors", r"nowhere\.safetensors"),
    ],
)
def test_build_model_names_the_mistake(name, weights, message):
    with pytest.raises(ValueError, match=message):
        build_model(name, 3, weights=weights)


@pytest.mark.parametrize("classes", [0, "7", 2.0])
def test_a_network_has_a_whole_number_of_classes(classes):
    with pytest.raises(ValueError, match=f"num_classes must be a whole number, at least 1, got {classes!r}"):
        build_model("small", classes)


def test_a_saved_model_comes_back_with_its_preprocessing(tmp_path):
    model = build_model("small", 5, seed=3)
    model.preprocess = Preprocess([0.5] * 3, [0.25] * 3)
    save_model(tmp_path, model, INFO | {"mean": [0.5] * 3, "std": [0.25] * 3})
    again = load_model(tmp_path)
    images = torch.randint(0, 256, (2, 3, 48, 48), dtype=torch.uint8)
    assert torch.equal(again(again.preprocess(images)), model.eval()(model.preprocess(images)))
    assert not again.training
    assert again.info["classes"] == INFO["classes"]


def test_a_preprocessing_of_the_architectures_own_is_kept(tmp_path):
    save_model(tmp_path, own_net(1), {"architecture": "tests.shapes:OwnNet", "classes": [0, 1, 2], "mean": None})
    images = torch.randint(0, 256, (2, 1, 20, 20), dtype=torch.uint8)
    assert torch.equal(load_model(tmp_path).preprocess(images), own_net().preprocess(images))


def test_a_network_of_ones_own_comes_back_into_a_module(tmp_path):
    save_model(tmp_path, own_net(1), {"architecture": None})
    assert describe_state(load_model(tmp_path, model=own_net(2))) == describe_state(own_net(1))
    with pytest.raises(ValueError, match="pass model="):
        load_model(tmp_path)


def test_damaged_and_foreign_weights_are_refused_by_name(tmp_path):
    save_model(tmp_path, build_model("small", 5), INFO)
    good = (tmp_path / "model.safetensors").read_bytes()
    for position in (3, len(good) // 2, len(good) - 1):
        (tmp_path / "model.safetensors").write_bytes(
            good[:position] + bytes([good[position] ^ 1]) + good[position + 1 :]
        )
        with pytest.raises(ValueError, match=r"model\.safetensors"):
            load_model(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(good[:-10])
    with pytest.raises(ValueError, match="damaged"):
        load_model(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="cannot be read"):
        load_model(tmp_path)


def test_a_pickle_is_never_executed(tmp_path):
    marker = tmp_path / "executed"

    class Evil:
        def __reduce__(self):
            return (open, (str(marker), "w"))

    torch.save({"weight": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(ValueError, match="never unpickled"):
        load_weights(nn.Linear(2, 2), tmp_path / "evil.pth")
    assert not marker.exists()


def test_weights_of_other_classes_fill_all_but_the_head(tmp_path):
    old, path = build_model("small", 5, seed=1), tmp_path / "old.pth"
    torch.save(old.state_dict(), path)
    new = build_model("small", 3, weights=str(path))
    assert torch.equal(new.conv1.weight, old.conv1.weight)
    assert new.fc.weight.shape == (3, 96)
    with pytest.raises(ValueError, match=r"fc\.bias"):
        load_weights(build_model("small", 3), path)
