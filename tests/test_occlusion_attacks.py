"""The benchmark's rectangular occlusion attacks against plain brute force."""

import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from tests.shapes import Shapes, own_net

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from occlusion_attacks import RectangularOcclusion

SIDE = 6


def preprocess(images):
    return images.float() / 255 - 0.5


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return own_net(3).eval()


@pytest.fixture(scope="module")
def batch():
    from pasm_aug.core.image_content import to_uint8_tensor

    items = [Shapes(8)[index] for index in range(8)]
    return torch.stack([to_uint8_tensor(image) for image, _ in items]), torch.tensor([label for _, label in items])


def losses(model, images, labels):
    with torch.no_grad():
        return F.cross_entropy(model(preprocess(images)), labels, reduction="none")


def brute_force(model, images, labels, stride):
    """The grey square of the grid that raises each image's loss most."""
    found, best = images.clone(), torch.full((len(images),), -torch.inf)
    for top in range(0, images.shape[2] - SIDE + 1, stride):
        for left in range(0, images.shape[3] - SIDE + 1, stride):
            tried = images.clone()
            tried[:, :, top : top + SIDE, left : left + SIDE] = 128
            loss = losses(model, tried, labels)
            found[loss > best] = tried[loss > best]
            best = torch.maximum(best, loss)
    return found


@pytest.mark.parametrize("stride", [3, 7])
def test_every_place_is_tried(model, batch, stride):
    erase = RectangularOcclusion(model, preprocess=preprocess, side=SIDE, candidates=None, stride=stride, ascents=0)
    assert torch.equal(erase(*batch), brute_force(model, *batch, stride))


def test_guided_by_the_gradient_it_is_no_worse_than_its_first_place(model, batch):
    def loss(candidates):
        erase = RectangularOcclusion(model, preprocess=preprocess, side=SIDE, candidates=candidates, ascents=0)
        return losses(model, erase(*batch), batch[1])

    one, many = loss(1), loss(6)
    assert (many >= one).all()
    assert (many > one).any()


def test_ascent_writes_inside_the_square_and_hurts_more(model, batch):
    images, labels = batch
    options = {"preprocess": preprocess, "side": SIDE, "candidates": 4}
    grey = RectangularOcclusion(model, ascents=0, **options)(images, labels)
    written = RectangularOcclusion(model, ascents=4, **options)(images, labels)
    outside = (grey != 128).any(1, keepdim=True).expand_as(images)
    assert ((grey != images).any(1).sum((1, 2)) <= SIDE**2).all()
    assert torch.equal(written[outside], images[outside])
    assert losses(model, written, labels).mean() > losses(model, grey, labels).mean()


def test_it_leaves_the_network_and_randomness_alone(model, batch):
    model.train()
    before, state = torch.get_rng_state(), {k: v.clone() for k, v in model.state_dict().items()}
    RectangularOcclusion(model, preprocess=preprocess, side=SIDE)(*batch)
    assert model.training
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    model.eval()
