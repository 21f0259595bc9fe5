"""Which tensors a file holds, in whatever its program wrapped them; and files that are none, or would run code."""

import argparse

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from pasm_aug.core.weight_files import find_weights, read_weights
from tests.shapes import own_net

STATE = own_net(1).state_dict()
AVERAGED = own_net(2).state_dict()


def kept(path, content):
    torch.save(content, path)
    return path


@pytest.mark.parametrize(
    ("content", "keys"),
    [
        (STATE, []),
        ({"state_dict": STATE, "epoch": 3, "best": torch.tensor(0.5)}, ["state_dict"]),
        ({"model": {"state_dict": STATE}, "optimizer": {"state": {}, "groups": [{"lr": 1}]}}, ["model", "state_dict"]),
        ({"of_the_network": STATE, "epoch": 3}, ["of_the_network"]),
        ({"ema": {"decay": 0.99}, "state_dict": STATE}, ["state_dict"]),
    ],
)
def test_weights_are_found_in_whatever_holds_them(tmp_path, content, keys):
    found, led = find_weights(kept(tmp_path / "c.pt", content))
    assert led == keys
    assert found.keys() == STATE.keys()
    assert all(torch.equal(found[name], STATE[name]) for name in STATE)


@pytest.mark.parametrize("key", ["state_dict_ema", "model_ema", "ema"])
def test_averaged_weights_come_before_others_unless_others_are_asked_for(tmp_path, key):
    inner = {"module": AVERAGED, "updates": 7} if key == "ema" else AVERAGED
    path = kept(tmp_path / "c.pt", {"state_dict": STATE, key: inner})
    assert torch.equal(read_weights(path)["head.bias"], AVERAGED["head.bias"])
    assert torch.equal(read_weights(path, "state_dict")["head.bias"], STATE["head.bias"])
    with pytest.raises(ValueError, match=rf"c\.pt has no key 'swa': it holds state_dict, {key}$"):
        read_weights(path, "swa")


def test_of_several_that_nobody_knows_none_is_guessed(tmp_path):
    path = kept(tmp_path / "c.pt", {"first": STATE, "second": AVERAGED})
    with pytest.raises(ValueError, match=r"c\.pt holds no tensors by name, got first, second$"):
        find_weights(path)
    assert find_weights(path, "second")[1] == ["second"]


def test_safetensors_are_read_as_they_are(tmp_path):
    save_file(STATE, tmp_path / "c.safetensors")
    found, led = find_weights(tmp_path / "c.safetensors")
    assert (found.keys(), led) == (STATE.keys(), [])


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (own_net(), "tests.shapes.OwnNet"),
        ({"state_dict": STATE, "args": argparse.Namespace(lr=1)}, "argparse.Namespace"),
        ({"state_dict": STATE, "best": np.float64(0.5)}, "numpy"),
    ],
)
def test_what_would_run_code_is_refused_with_the_way_to_save_it(tmp_path, content, named):
    with pytest.raises(ValueError, match="is never unpickled") as error:
        find_weights(kept(tmp_path / "c.pt", content))
    assert named in str(error.value)
    assert str(error.value).endswith("save its weights alone: torch.save(model.state_dict(), 'weights.pt')")
    assert "\n" not in str(error.value)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_compiled_script_is_refused_in_the_same_way(tmp_path):
    torch.jit.save(torch.jit.trace(own_net(), torch.zeros(1, 1, 20, 20)), tmp_path / "c.pt")
    with pytest.raises(ValueError, match=r"TorchScript.*never unpickled"):
        find_weights(tmp_path / "c.pt")


@pytest.mark.parametrize("name", ["c.pt", "c.safetensors"])
def test_what_is_no_file_of_weights_is_named(tmp_path, name):
    with pytest.raises(ValueError, match=rf"weights '.*{name}' cannot be read: No such file"):
        find_weights(tmp_path / name)
    whole = (kept if name == "c.pt" else lambda path, state: save_file(state, path) or path)(tmp_path / name, STATE)
    for data in (b"no weights at all", whole.read_bytes()[:500], b""):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ValueError, match=rf"{name} holds no readable weights: [^\n]+$"):
            find_weights(tmp_path / name)
