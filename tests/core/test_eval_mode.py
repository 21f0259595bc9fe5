"""Evaluation mode for a while, of networks that do more in ``train()`` than set a flag."""

import pytest
import torch
from torch import nn

from pasm_aug.core.eval_mode import eval_mode
from pasm_aug.search.frozen import frozen
from pasm_aug.search.online import OnlineAdversarialErase
from tests.small_teachers import random_images, scaled


class Merging(nn.Linear):
    """A low-rank adapter as loralib has it: in evaluation mode its product is merged into the weight."""

    def __init__(self, *shape):
        super().__init__(*shape)
        self.a, self.b = nn.Parameter(torch.ones(2, shape[0])), nn.Parameter(torch.ones(shape[1], 2))
        self.merged = False

    def train(self, mode=True):
        super().train(mode)
        if not mode and not self.merged:
            self.weight.data += self.b @ self.a
        self.merged = not mode
        return self

    def forward(self, x):
        return super().forward(x) if self.merged else super().forward(x) + x @ self.a.T @ self.b.T


@pytest.mark.parametrize("within", [eval_mode, frozen])
def test_every_module_gets_its_own_mode_back_also_after_an_error(within):
    net = nn.Sequential(nn.BatchNorm2d(3), nn.Sequential(nn.Dropout(), nn.ReLU()))
    net[0].eval()
    before = [module.training for module in net.modules()]
    with within(net):
        assert not any(module.training for module in net.modules())
    assert [module.training for module in net.modules()] == before
    with pytest.raises(KeyError), within(net):
        raise KeyError
    assert [module.training for module in net.modules()] == before


def test_a_network_that_merges_weights_in_evaluation_is_left_as_it_is_and_still_learns():
    net = nn.Sequential(nn.Flatten(), Merging(3 * 12 * 12, 4))
    weight = net[1].weight.detach().clone()
    images, labels = random_images(8, 12), torch.arange(8) % 4
    erased = OnlineAdversarialErase(net, size=5, preprocess=scaled)(images, labels)
    assert torch.equal(net[1].weight, weight)
    assert not net[1].merged
    nn.functional.cross_entropy(net(scaled(erased)), labels).backward()
    assert net[1].a.grad.abs().sum() > 0
