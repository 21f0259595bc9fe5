"""Outputs in another order: the same numbers, moved; where no layer gives them as they are, a word and no change."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from pasm_aug.core.outputs import reorder_outputs
from pasm_aug.core.pair import Pair
from pasm_aug.models import build_model
from tests.shapes import own_net

IMAGES = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


class Sum(nn.Module):
    """Two heads whose logits are added: moving the rows of one is not enough."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(12, 3), nn.Linear(12, 3)

    def forward(self, x):
        return self.first(x[:, 0, 0, :12]) + self.second(x[:, 1, 1, :12])


@pytest.mark.parametrize("name", ["small", "pair:small", "squeezenet1_1", "mobilenet_v3_small"])
def test_every_kind_of_head_is_reordered(name):
    model = build_model(name, 4, seed=1).train()
    with torch.no_grad():
        before = model.eval()(IMAGES)
        reorder_outputs(model, [2, 0, 3, 1], IMAGES)
        torch.testing.assert_close(model(IMAGES), before[:, [2, 0, 3, 1]])
    assert not torch.equal(before, before[:, [2, 0, 3, 1]])


@settings(max_examples=20)
@given(order=st.permutations(range(5)))
def test_the_way_back_is_the_inverse_order(order):
    model = own_net(1, num_classes=5).train()
    weights = [parameter.clone() for parameter in model.parameters()]
    images = torch.randn(2, 1, 20, 20, generator=torch.Generator().manual_seed(0))
    reorder_outputs(model, order, images)
    reorder_outputs(model, [order.index(row) for row in range(5)], images)
    assert all(torch.equal(a, b) for a, b in zip(weights, model.parameters(), strict=True))
    assert model.training


@pytest.mark.parametrize("model", [Sum(), Pair(Sum(), Sum())], ids=["sum", "pair"])
def test_what_cannot_be_reordered_is_named_and_left_as_it_was(model):
    weights = [parameter.clone() for parameter in model.parameters()]
    with pytest.raises(ValueError, match="outputs of the Sum cannot be put into another order"):
        reorder_outputs(model, [2, 0, 1], IMAGES)
    assert all(torch.equal(a, b) for a, b in zip(weights, model.parameters(), strict=True))
