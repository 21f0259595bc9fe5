import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pasm_aug.models import build_model
from pasm_aug.search.cam import class_activation_maps
from tests.shapes import Shapes, own_net
from tests.small_teachers import conv_net


def make_images(count, channels=3, side=32, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (count, channels, side, side), dtype=np.uint8))


def scaled(images):
    return images.float() / 255


def test_behind_average_pooling_they_are_the_weighted_maps_of_zhou_et_al():
    net = build_model("small", 5, seed=2).eval()
    images, labels = make_images(4), torch.tensor([0, 3, 1, 4])
    maps = class_activation_maps(net, images, labels, preprocess=scaled)
    with torch.no_grad():
        x = F.relu(net.bn1(net.conv1(scaled(images))))
        features = net.layer3(net.layer2(net.layer1(x)))
        cam = torch.einsum("bchw,bc->bhw", features, net.fc.weight[labels]).clamp(min=0)
    torch.testing.assert_close(maps, (cam / cam.amax((1, 2), keepdim=True)).nan_to_num(0), atol=1e-5, rtol=1e-4)
    highest = maps.amax((1, 2))
    torch.testing.assert_close(highest, (highest > 0).float())
    assert highest.sum() >= 2


@pytest.mark.parametrize("inplace", [True, False])
def test_a_network_that_writes_in_place_has_the_same_maps(inplace):
    net = conv_net()
    for module in net.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = inplace
    plain = conv_net()
    for i, module in enumerate(plain):
        if isinstance(module, nn.ReLU):
            plain[i] = nn.ReLU()
    images, labels = make_images(3), torch.tensor([0, 1, 2])
    one, other = (class_activation_maps(m, images, labels, preprocess=scaled) for m in (net, plain))
    torch.testing.assert_close(one, other)


def test_the_peak_is_where_the_evidence_is():
    class Bright(nn.Module):
        """Speaks for class 1 by how bright any place is, for class 0 by how dark."""

        def __init__(self):
            super().__init__()
            self.pool, self.head = nn.AvgPool2d(4), nn.Linear(1, 2, bias=False)
            self.head.weight.data = torch.tensor([[-1.0], [1.0]])

        def forward(self, x):
            return self.head(self.pool(x).mean((2, 3)))

    image = torch.zeros(2, 1, 24, 32, dtype=torch.uint8)
    image[:, :, 8:12, 20:24] = 255
    maps = class_activation_maps(Bright(), image, torch.tensor([1, 0]), preprocess=scaled)
    assert maps.shape == (2, 6, 8)
    assert maps[0].flatten().argmax() == 2 * 8 + 5
    assert maps[1].max() == 0  # nothing speaks for class 0


def test_any_network_with_feature_maps_and_no_other():
    data = Shapes(6)
    images = torch.from_numpy(data.images)[:, None]
    assert class_activation_maps(own_net(), images, torch.from_numpy(data.labels)).shape[0] == 6
    vgg = build_model("vgg11", 3)
    assert class_activation_maps(vgg, make_images(1, side=64), torch.tensor([2])).shape == (1, 7, 7)
    flat = nn.Sequential(nn.Flatten(), nn.Linear(48, 3))
    with pytest.raises(ValueError, match="feature maps"):
        class_activation_maps(flat, make_images(2, side=4), torch.tensor([0, 1]), preprocess=scaled)
    with pytest.raises(ValueError, match="preprocess is missing"):
        class_activation_maps(flat, make_images(2, side=4), torch.tensor([0, 1]))


def test_the_model_is_left_as_it_was():
    net = conv_net().train()
    next(net.parameters()).requires_grad_(False)
    before, state = copy.deepcopy(net.state_dict()), torch.get_rng_state()
    flags = [p.requires_grad for p in net.parameters()]
    class_activation_maps(net, make_images(2), torch.tensor([0, 1]), preprocess=scaled)
    assert net.training
    assert [p.requires_grad for p in net.parameters()] == flags
    assert all(p.grad is None for p in net.parameters())
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert not any(m._forward_hooks for m in net.modules())
    assert torch.equal(torch.get_rng_state(), state)
