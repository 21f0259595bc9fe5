"""Windows find what the whole network does, and networks that cannot be followed run whole."""

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models import resnet18

from pasm_aug.models import build_model
from pasm_aug.training import occlusion_windows
from pasm_aug.training.occluders import squares_of
from pasm_aug.training.occlusion import evaluate_occlusion
from pasm_aug.training.occlusion_windows import CleanMaps, FollowedNetwork, equal_outside
from tests.shapes import Shapes, own_net


class Odd(nn.Module):
    """Strides that leave pixels out, dilation, padded pooling, a concatenation, a sum of windows of unequal size."""

    def __init__(self):
        super().__init__()
        self.skips = nn.Conv2d(3, 6, 2, 3)
        self.wide = nn.Conv2d(6, 6, 3, 1, 2, dilation=2)
        self.tall = nn.Conv2d(6, 4, (5, 1), 1, (2, 0))
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.short = nn.Conv2d(10, 8, 1, 2)
        self.long = nn.Conv2d(10, 8, 3, 2, 1)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        x = self.skips(x)
        x = torch.relu(self.wide(x) + x)
        x = self.pool(torch.cat([x, self.tall(x)], dim=1))
        return self.head((self.short(x) + self.long(x)).relu().mean((2, 3)))


def seeded(make):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = make()
        for part in model.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.running_mean.normal_(0, 0.3)
                part.running_var.uniform_(0.5, 2)
    return model.eval()


def as_float(images):
    return images.expand(-1, 3, -1, -1).float() / 64 - 2


@pytest.fixture
def used(monkeypatch):
    """Of each batch that was hidden: whether its logits came from windows."""
    found, logits = [], CleanMaps.logits

    def spied(*args):
        answer = logits(*args)
        found.append(answer is not None)
        return answer

    monkeypatch.setattr(CleanMaps, "logits", spied)
    return found


@pytest.mark.parametrize("share", [occlusion_windows._WORTH, 10.0])  # the second: windows even where they cover all
@pytest.mark.parametrize("make", [Odd, lambda: resnet18(num_classes=3), lambda: build_model("small", 3)])
@torch.no_grad()
def test_logits_are_the_whole_networks_at_every_place(make, share, monkeypatch):
    monkeypatch.setattr(occlusion_windows, "_WORTH", share)
    model, rng = seeded(make), np.random.default_rng(0)
    images = torch.from_numpy(rng.integers(0, 256, (3, 1, 45, 70), dtype=np.uint8))
    squares = squares_of([1, 6, 17, 45], ["black"], 4, height=45, width=70)
    followed = FollowedNetwork(model, as_float(images[:1]), squares)
    maps, counted = followed.maps_of(as_float(images)), 0
    for square in squares:
        for _, (left, top, right, bottom) in square.boxes():
            hidden = images.clone()
            hidden[:, :, top:bottom, left:right] = 0
            found = maps.logits(as_float(hidden), (left, top, right, bottom))
            counted += found is not None
            if found is not None:
                whole = model(as_float(hidden))
                assert torch.allclose(found, whole, rtol=1e-4, atol=1e-5 * float(whole.abs().max()))
    assert counted >= (16 if share < 1 else 3 * 16 + 4)


@pytest.mark.parametrize("fill", ["black", "mean", "random"])
def test_an_evaluation_with_windows_is_one_without(fill, used):
    model = build_model("small", 3).train()
    for options in ({"batch_size": 16}, {"batch_size": 7}, {"workers": 1}):
        options |= {"sizes": (3, 6), "fills": (fill,), "places": 4, "device": "cpu"}
        whole = evaluate_occlusion(model, Shapes(40), windows=False, **options)
        assert not used
        found = evaluate_occlusion(model, Shapes(40), **options)
        assert used
        assert all(used)
        used.clear()
        assert found.asdict() == whole.asdict()
        for one, other in zip(found.squares, whole.squares, strict=True):
            assert np.array_equal(one.counts, other.counts)
    assert model.training


class Decides(nn.Module):
    """Looks at the values: torch.fx cannot follow."""

    def __init__(self):
        super().__init__()
        self.network = own_net()

    def forward(self, x):
        return self.network(x if x.max() > 0 else -x)


def standardised(images):
    images = images.float()
    return (images - images.mean((2, 3), keepdim=True)) / 60


def with_hook():
    model = own_net()
    model.features.register_forward_hook(lambda module, args, output: output.roll(1, 1))
    return model


@pytest.mark.parametrize(
    ("make", "preprocess"),
    [
        (Decides, own_net().preprocess),
        (own_net, standardised),
        (own_net, lambda images: nn.functional.interpolate(images[..., 4:, 4:].float() / 60, size=(20, 20))),
        (with_hook, own_net().preprocess),
        (lambda: nn.Sequential(nn.AdaptiveAvgPool2d(20), own_net()), lambda images: images[..., ::2, ::2].float() / 60),
    ],
)
def test_what_cannot_be_followed_runs_whole(make, preprocess, used):
    options = {"sizes": (3, 6), "places": 4, "preprocess": preprocess, "device": "cpu"}
    found = evaluate_occlusion(make(), Shapes(20), **options)
    assert len(used) < 6  # what was tried out, at most
    assert found.asdict() == evaluate_occlusion(make(), Shapes(20), windows=False, **options).asdict()


def test_no_windows_for_the_worst_case_alone_nor_for_maps_that_are_too_large(used, monkeypatch):
    evaluate_occlusion(own_net(), Shapes(8), sizes=(3,), places=2, worst_only=True, device="cpu")
    monkeypatch.setattr(occlusion_windows, "_BYTES", 1000)
    evaluate_occlusion(own_net(), Shapes(8), sizes=(3,), places=2, device="cpu")
    assert not used


def test_inputs_are_compared_outside_of_the_box():
    before = torch.zeros(2, 3, 8, 9)
    after = before.clone()
    after[:, :, 2:5, 3:6] = 1
    assert equal_outside(before, after, (3, 2, 6, 5))
    for box in ((4, 2, 6, 5), (3, 3, 6, 5), (3, 2, 5, 5), (3, 2, 6, 4)):
        assert not equal_outside(before, after, box)
    assert not equal_outside(before, after[:, :1], (3, 2, 6, 5))
