"""Files of weights: what fits is taken and counted, prefixes are no hindrance, too little is refused."""

import pytest
import torch
from safetensors.torch import save_file

from pasm_aug.core.networks import to_tensors
from pasm_aug.core.weights import LEAST_FIT, start_from
from pasm_aug.models import build_model
from tests.shapes import own_net


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "backbone.", "model.module.", "module.backbone."])
@pytest.mark.parametrize("container", [None, "state_dict", "model_state_dict", "model"])
def test_prefixes_and_containers_are_no_hindrance(tmp_path, prefix, container):
    old, path = own_net(1), tmp_path / "theirs.pth"
    state = {prefix + name: value for name, value in old.state_dict().items()}
    torch.save(state if container is None else {container: state, "epoch": 3}, path)
    new = own_net(2)
    fit = start_from(new, path)
    assert (fit.tensors, fit.of, fit.share, fit.missing) == (len(state), len(state), 1.0, ())
    assert all(torch.equal(a, b) for a, b in zip(new.parameters(), old.parameters(), strict=True))
    assert str(fit) == f"{len(state)} of {len(state)} tensors fit, 100.0% of the parameters"


def test_a_head_of_other_classes_keeps_its_initial_values_and_is_named(tmp_path):
    save_file(to_tensors(build_model("small", 5, seed=1).state_dict()), tmp_path / "old.safetensors")
    new = build_model("small", 3)
    fit = start_from(new, tmp_path / "old.safetensors")
    assert fit.missing == ("fc.weight", "fc.bias")
    assert 0.99 < fit.share < 1
    assert "initial values remain in fc.weight, fc.bias" in str(fit)


def test_a_file_that_hardly_fits_is_refused_and_the_network_left_as_it_was(tmp_path):
    state = build_model("resnet18", 7, seed=1).state_dict()
    other = {name if name == "bn1.num_batches_tracked" else f"theirs_{name}": value for name, value in state.items()}
    torch.save(other, tmp_path / "theirs.pth")
    with pytest.raises(ValueError, match=rf"1 of its 122 tensors, 0\.0% of its parameters.*at least {LEAST_FIT:.0%}"):
        build_model("resnet18", 7, weights=str(tmp_path / "theirs.pth"))
    with pytest.raises(ValueError, match="does not fit"):
        start_from(own_net(), tmp_path / "theirs.pth")


def test_half_a_network_is_told(tmp_path):
    state = build_model("small", 7, seed=1).state_dict()
    torch.save({k: v for k, v in state.items() if not k.startswith(("conv1", "layer1", "layer2"))}, tmp_path / "h.pth")
    with pytest.warns(UserWarning, match="of the parameters; initial values remain in conv1.weight"):
        build_model("small", 7, weights=str(tmp_path / "h.pth"))


def test_what_is_no_state_is_named(tmp_path):
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(ValueError, match=r"list\.pth holds no tensors by name, got a list"):
        start_from(own_net(), tmp_path / "list.pth")
