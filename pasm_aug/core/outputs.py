"""The order of a classifier's outputs: data sets and networks name the same classes in orders of their own."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pasm_aug.core.errors import UserError
from pasm_aug.core.eval_mode import eval_mode
from pasm_aug.core.networks import take_logits
from pasm_aug.core.pair import Pair


@torch.no_grad()
def reorder_outputs(model: nn.Module, order: Sequence[int], inputs: Tensor) -> None:
    """Make output i what output ``order[i]`` was, in place, by moving the rows of the last layer that allows it.

    Args:
        model: gives logits (B, classes).
        order: of the classes, each once.
        inputs: (B, …) of the network, on which the outcome is checked; no constant images.

    Raises:
        ValueError: no linear layer or convolution has these outputs; the network is as it was.
    """
    if isinstance(model, Pair):
        for network in (model.a, model.b):
            reorder_outputs(network, order, inputs)
        return
    with eval_mode(model):
        wanted = take_logits(model(inputs))[:, order]
        for layer in reversed([one for one in model.modules() if isinstance(one, nn.Linear | nn.Conv2d)]):
            if len(layer.weight) != len(order):
                continue
            _move_rows(layer, order)
            if torch.allclose(take_logits(model(inputs)), wanted, rtol=1e-4, atol=1e-5):
                return
            _move_rows(layer, [list(order).index(row) for row in range(len(order))])
    raise UserError(
        f"the outputs of the {type(model).__name__} cannot be put into another order: none of its layers gives them as "
        "they are"
    )


def _move_rows(layer: nn.Linear | nn.Conv2d, order: Sequence[int]) -> None:
    for tensor in (layer.weight, layer.bias):
        if tensor is not None:
            tensor.copy_(tensor[list(order)].clone())
