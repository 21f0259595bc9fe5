"""Files of weights: what fits is taken and counted, prefixes are no hindrance, too little is refused."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch.optim.swa_utils import AveragedModel

from pasm_aug.core.networks import to_tensors
from pasm_aug.core.weights import LEAST_FIT, start_from, take_weights
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


@settings(max_examples=30)
@given(
    prefix=st.lists(st.sampled_from(["module", "model", "net", "x1", "_orig_mod"]), max_size=3), seed=st.integers(0, 9)
)
def test_somebodys_weights_are_taken_whole_whatever_stands_before_their_names(tmp_path_factory, prefix, seed):
    old, path, before = own_net(seed), tmp_path_factory.mktemp("theirs") / "w.pt", "".join(f"{p}." for p in prefix)
    beside = {"n_averaged": torch.tensor(3), "criterion.weight": torch.ones(3)} if prefix else {}
    torch.save({before + name: value for name, value in old.state_dict().items()} | beside, path)
    new = own_net(seed + 1)
    taken = take_weights(new, path)
    assert all(torch.equal(a, b) for a, b in zip(new.parameters(), old.parameters(), strict=True))
    assert (taken.tensors, taken.prefix, taken.left_out) == (len(old.state_dict()), before, tuple(beside))
    assert all(name in str(taken) for name in beside)


def test_averaged_weights_of_torch_and_half_precision_are_taken(tmp_path):
    old = own_net(1)
    torch.save(AveragedModel(old).half().state_dict(), tmp_path / "w.pt")
    new = own_net(2)
    assert take_weights(new, tmp_path / "w.pt").left_out == ("n_averaged",)
    assert new.head.weight.dtype == torch.float32
    torch.testing.assert_close(new.head.weight, old.head.weight, rtol=1e-3, atol=1e-4)


def test_old_files_without_the_counters_of_batch_norm_are_taken(tmp_path):
    old = build_model("small", 3, seed=1)
    state = {name: value for name, value in old.state_dict().items() if "num_batches" not in name}
    torch.save(state, tmp_path / "w.pt")
    assert take_weights(build_model("small", 3), tmp_path / "w.pt").tensors == len(state)


def test_of_what_does_not_fit_a_few_are_named_in_one_line(tmp_path):
    torch.save(build_model("resnet34", 5).state_dict(), tmp_path / "w.pt")
    with pytest.raises(ValueError, match="does not fit the ResNet") as error:
        take_weights(build_model("resnet18", 3), tmp_path / "w.pt")  # it holds all names of a resnet18
    text = str(error.value)
    assert text.count("layer") <= 3
    assert "unexpected (layer1.2.conv1.weight, layer1.2.bn1.weight, layer1.2.bn1.bias, …)" in text
    assert "2 of another shape (fc.weight: (5, 512) in the file, (3, 512) in the network, fc.bias: (5,)" in text
    assert "\n" not in text
    new = build_model("small", 3, seed=1)
    with pytest.raises(ValueError, match=r"SmallResNet: \d+ missing \(layer1\.conv1\.weight, "):
        take_weights(new, tmp_path / "w.pt")
    assert torch.equal(new.fc.weight, build_model("small", 3, seed=1).fc.weight)
