"""Networks as users have them: what they return, what their state holds, copies of them, their structure in words."""

import functools
import json
import subprocess
import sys
from collections import Counter
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

from pasm_aug.core.networks import (
    architecture_of,
    check_state,
    copied,
    from_tensors,
    plain_state,
    take_logits,
    to_tensors,
    weights_digest,
)
from pasm_aug.models import Preprocess, build_model, carry
from tests.shapes import own_net

LOGITS = torch.arange(6.0).reshape(2, 3)


@pytest.mark.parametrize(
    "outputs",
    [LOGITS, {"logits": LOGITS, "loss": 1}, (LOGITS, None), [LOGITS], SimpleNamespace(logits=LOGITS, hidden=())],
    ids=["tensor", "mapping", "tuple", "list", "attribute"],
)
def test_logits_are_taken_from_whatever_holds_them(outputs):
    assert take_logits(outputs) is LOGITS


@pytest.mark.parametrize(
    ("outputs", "got"),
    [
        (None, "NoneType"),
        (LOGITS[0], r"\(3,\)"),
        ({"scores": LOGITS}, "dict of scores"),
        ((), "an empty tuple"),
        (("a", LOGITS), "tuple of str"),
        (SimpleNamespace(logits=LOGITS[None]), "SimpleNamespace"),
    ],
)
def test_anything_else_is_refused_with_the_way_out(outputs, got):
    with pytest.raises(ValueError, match=rf"logits \(B, classes\).*got {got}.*wrap it"):
        take_logits(outputs)


class Tied(nn.Module):
    """One weight under two names, one module under two names, a view, a shared buffer, and state that is no tensor."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)
        self.b.weight = self.a.weight
        self.again = self.a
        self.register_buffer("whole", torch.arange(6.0))
        self.register_buffer("part", self.whole[2:4])
        self.register_buffer("turned", self.whole.view(2, 3).t())
        self.version = {"version": 2, "names": ("a", None)}

    def get_extra_state(self):
        return self.version

    def set_extra_state(self, state):
        self.version = state


def test_shared_tensors_and_other_state_survive_a_file_of_tensors():
    from safetensors.torch import load, save

    model = Tied()
    held = load(save(to_tensors(model.state_dict())))
    other = Tied()
    other.version = None
    other.load_state_dict(from_tensors(held))
    assert other.version == model.version
    for name, value in model.state_dict().items():
        found = other.state_dict()[name]
        assert torch.equal(found, value) if isinstance(value, torch.Tensor) else found == value, name


def test_quantised_weights_survive_and_are_told_apart():
    def quantised(value):
        tensor = torch.quantize_per_tensor(torch.full((2, 2), value), 0.1, 0, torch.qint8)
        return {"weight": tensor, "packed": (tensor, None), "dtype": torch.qint8}

    found = from_tensors(to_tensors(quantised(0.5)))
    assert torch.equal(found["packed"][0].dequantize(), torch.full((2, 2), 0.5))
    assert found["dtype"] is torch.qint8
    assert weights_digest(quantised(0.5)) == weights_digest(found) != weights_digest(quantised(0.6))


def test_state_that_only_code_could_read_back_is_refused_by_name():
    model = Tied()
    model.version = own_net()
    with pytest.raises(ValueError, match=r"_extra_state.*OwnNet.*without code"):
        check_state(model)
    check_state(Tied())


class Keeps(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.utils.weight_norm(nn.Linear(4, 3))
        self.seen = []

    def forward(self, x):
        self.last = self.body(x)
        self.seen.append({"features": self.last})
        return self.last


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_what_a_forward_left_in_a_network_does_not_prevent_copying_it():
    model, x = Keeps(), torch.randn(2, 4)
    expected = model(x)
    expected.sum().backward()
    other = copied(model)
    assert torch.equal(other(x), expected)
    assert torch.equal(other.seen[0]["features"], expected)
    assert expected.grad_fn is model.last.grad_fn
    with torch.no_grad():
        for weight in other.parameters():
            weight.zero_()
    assert torch.equal(model(x), expected), "they share nothing"


SCHEDULERS = {
    "StepLR": lambda o: lr_scheduler.StepLR(o, 2),
    "MultiStepLR": lambda o: lr_scheduler.MultiStepLR(o, [2, 2, 5], gamma=0.5),
    "LambdaLR": lambda o: lr_scheduler.LambdaLR(o, lambda epoch: 0.9**epoch),
    "MultiplicativeLR": lambda o: lr_scheduler.MultiplicativeLR(o, lambda epoch: 0.9),
    "ConstantLR": lr_scheduler.ConstantLR,
    "LinearLR": lr_scheduler.LinearLR,
    "ExponentialLR": lambda o: lr_scheduler.ExponentialLR(o, 0.9),
    "PolynomialLR": lambda o: lr_scheduler.PolynomialLR(o, 6),
    "CosineAnnealingLR": lambda o: lr_scheduler.CosineAnnealingLR(o, 5),
    "CosineAnnealingWarmRestarts": lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 3),
    "CyclicLR": lambda o: lr_scheduler.CyclicLR(o, 0.01, 0.1, step_size_up=2, scale_fn=lambda x: 0.9**x),
    "OneCycleLR": lambda o: lr_scheduler.OneCycleLR(o, 0.1, total_steps=9),
    "ReduceLROnPlateau": lambda o: lr_scheduler.ReduceLROnPlateau(o, patience=0),
    "SequentialLR": lambda o: lr_scheduler.SequentialLR(
        o, [lr_scheduler.LinearLR(o, 0.1, total_iters=2), lr_scheduler.MultiStepLR(o, [1, 3])], [2]
    ),
    "ChainedScheduler": lambda o: lr_scheduler.ChainedScheduler(
        [lr_scheduler.ExponentialLR(o, 0.9), lr_scheduler.MultiStepLR(o, [3])], optimizer=o
    ),
}


def test_every_scheduler_of_torch_is_tried():
    known = {
        name
        for name, kind in vars(lr_scheduler).items()
        if isinstance(kind, type) and issubclass(kind, lr_scheduler.LRScheduler) and not name.startswith("_")
    }
    assert known - {"LRScheduler"} <= SCHEDULERS.keys() | {"SWALR"}


@pytest.mark.filterwarnings("ignore:Detected call of")
@pytest.mark.filterwarnings("ignore:The epoch parameter")
@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_scheduler_goes_on_from_what_a_file_kept_of_it(name):
    def fresh():
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1, momentum=0.9)
        return optimizer, SCHEDULERS[name](optimizer)

    def step(scheduler):
        scheduler.step(1.0) if name == "ReduceLROnPlateau" else scheduler.step()

    optimizer, scheduler = fresh()
    rates = []
    for number in range(8):
        if number == 4:
            state = {"optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict()}
            kept = from_tensors(to_tensors({"state": plain_state(state)}))["state"]
        step(scheduler)
        rates.append(optimizer.param_groups[0]["lr"])
    optimizer, scheduler = fresh()
    optimizer.load_state_dict(kept["optimizer"])
    scheduler.load_state_dict(kept["scheduler"])
    again = []
    for _ in range(4, 8):
        step(scheduler)
        again.append(optimizer.param_groups[0]["lr"])
    assert again == rates[4:]
    assert len(set(rates)) > 1


def test_plain_state_keeps_keys_and_kinds_and_drops_what_is_neither_number_nor_container():
    state = {"milestones": Counter({2: 1}), "f": len, "betas": (0.9, [1, len]), 3: {"deep": None}, "x": torch.ones(1)}
    found = plain_state(state)
    assert found["milestones"] == Counter({2: 1})
    assert isinstance(found["milestones"], Counter)
    assert (found["betas"], found[3], "f" in found) == ((0.9, [1, None]), {"deep": None}, False)


ADDRESS = """
import functools, json, sys
from torch import nn
from pasm_aug.core.networks import architecture_of, weights_digest
class Act(nn.Module):
    def __init__(self, f):
        super().__init__()
        self.f = f
    def extra_repr(self):
        return f"f={self.f}"
model = nn.Sequential(Act(lambda x: x), Act(functools.partial(max, len)))
print(json.dumps([architecture_of(model), weights_digest({"f": {"hook": len, "own": Act}})]))
"""


def test_addresses_are_no_part_of_a_networks_structure():
    runs = [subprocess.run([sys.executable, "-c", ADDRESS], capture_output=True, text=True) for _ in range(2)]
    first, second = (json.loads(run.stdout) for run in runs)
    assert first == second
    assert "0x" not in first[0]
    assert "f=<function <lambda>>" in first[0]


def test_a_carried_preprocessing_is_no_part_of_the_network_and_still_of_its_structure():
    model = build_model("small", 3)
    assert "preprocess" not in dict(model.named_children())
    assert not any("preprocess" in name for name in model.state_dict())
    assert "(preprocess): Preprocess(mean=" in architecture_of(model)
    registered = build_model("small", 3)
    del vars(registered)["preprocess"]
    registered.preprocess = Preprocess()
    assert architecture_of(model) == repr(registered) == architecture_of(registered)
    assert architecture_of(carry(nn.ReLU(), functools.partial(max))) == "ReLU()"


def test_a_sequential_factory_runs_what_it_made():
    model = build_model("tests.core.test_networks:sequential", 4)
    assert [name for name, _ in model.named_children()] == ["0", "1", "2"]
    assert model(model.preprocess(torch.zeros(2, 3, 8, 8, dtype=torch.uint8))).shape == (2, 4)


def sequential(num_classes):
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, num_classes))
