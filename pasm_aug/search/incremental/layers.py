"""The layers that work on windows: convolutions, pooling, element-wise functions, sums and concatenations."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

Pair = tuple[int, int]

_POINTWISE_MODULES = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Softplus, nn.Sigmoid,
    nn.Tanh, nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid, nn.Identity, nn.Dropout, nn.Dropout2d, nn.BatchNorm2d,
)  # fmt: skip
_LINEAR_MODULES = (nn.Identity, nn.Dropout, nn.Dropout2d, nn.BatchNorm2d)
_POINTWISE_FUNCTIONS = (
    F.relu, torch.relu, F.relu6, F.leaky_relu, F.elu, F.gelu, F.silu, F.mish, F.hardswish, torch.sigmoid,
    torch.tanh, F.sigmoid, F.tanh, F.dropout,
)  # fmt: skip
_POINTWISE_METHODS = ("relu", "sigmoid", "tanh", "contiguous")
_ADDITIONS = (operator.add, torch.add)


@dataclass(frozen=True)
class Layer:
    """One recognised layer: ``call`` maps input windows (N, C, h, w), already padded, to the output window.

    Attributes:
        name: of its output. inputs: names of what it reads.
        kernel, stride, padding, dilation: (vertical, horizontal). fill: what padding holds.
        linear: whether it is, so that a gradient in front of it says what one behind it would.
        shape: (C, H, W) of its output. flops: floating-point operations for each position of the output.
        weight: a convolution's, else ``None``.
        step: of the patch in the input's map: a strided 1×1 convolution is given just the positions that it reads.
    """

    name: str
    inputs: tuple[str, ...]
    call: Callable[..., Tensor]
    shape: tuple[int, int, int]
    kernel: Pair = (1, 1)
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    fill: float = 0.0
    flops: int = 0
    weight: Tensor | None = None
    step: int = 1
    linear: bool = False

    @property
    def local(self) -> bool:
        """Whether the output at a position depends on that position alone."""
        return self.kernel == (1, 1) and self.stride == (1, 1)


def layer_of(module: fx.GraphModule, node: fx.Node, shape: tuple[int, int, int]) -> Layer | None:
    """The layer of a node, ``None`` if it is of no known kind."""
    inputs = tuple(n.name for n in node.all_input_nodes)
    if node.kwargs.get("inplace"):
        return None
    if node.op == "call_module" and len(node.args) == 1 and not node.kwargs:
        part = module.get_submodule(str(node.target))
        if type(part) is nn.Conv2d:
            return _convolution(part, node.name, inputs, shape)
        if type(part) in (nn.MaxPool2d, nn.AvgPool2d):
            return _pooling(part, node.name, inputs, shape)
        if type(part) is nn.BatchNorm2d and part.running_var is None:
            return None
        if type(part) not in _POINTWISE_MODULES or getattr(part, "inplace", False):
            return None
        return Layer(node.name, inputs, part, shape, linear=type(part) in _LINEAR_MODULES)
    constants = [a for a in (*node.args, *node.kwargs.values()) if not isinstance(a, fx.Node)]
    if node.target in (*_ADDITIONS, "add") and len(inputs) == 2 and not constants:
        return Layer(node.name, inputs, torch.add, shape, linear=True)
    if node.op == "call_function" and node.target is torch.cat and node.args and len(inputs) == len(node.args[0]):  # type: ignore[arg-type]
        dim = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else 0)
        return Layer(node.name, inputs, lambda *x: torch.cat(x, dim=1), shape, linear=True) if dim in (1, -3) else None
    if len(inputs) != 1 or node.args[:1] != (node.all_input_nodes[0],):
        return None
    arguments, named = node.args[1:], node.kwargs
    if node.op == "call_function" and node.target in _POINTWISE_FUNCTIONS:
        function: Any = node.target
        return Layer(node.name, inputs, lambda x: function(x, *arguments, **named), shape)
    if node.op == "call_method" and node.target in _POINTWISE_METHODS:
        keeps = node.target == "contiguous"
        method = (lambda x: x) if keeps else getattr(Tensor, str(node.target))
        return Layer(node.name, inputs, method, shape, linear=keeps)
    return None


def _convolution(part: nn.Conv2d, name: str, inputs: tuple[str, ...], shape: tuple[int, int, int]) -> Layer | None:
    if part.padding_mode != "zeros" or isinstance(part.padding, str):
        return None
    stride, dilation = _pair(part.stride), _pair(part.dilation)
    weight, bias = part.weight.detach(), None if part.bias is None else part.bias.detach()

    kernel = _pair(part.kernel_size)
    step = stride[0] if kernel == (1, 1) and stride[0] == stride[1] else 1

    def call(x: Tensor) -> Tensor:
        return F.conv2d(x, weight, bias, 1 if step > 1 else stride, 0, dilation, part.groups)

    return Layer(
        name, inputs, call, shape, kernel, stride, _pair(part.padding), dilation,
        flops=2 * weight.numel(), weight=weight if part.groups == 1 else None, step=step,
        linear=True,
    )  # fmt: skip


def _pooling(part: Any, name: str, inputs: tuple[str, ...], shape: tuple[int, int, int]) -> Layer | None:
    kernel, stride, padding = _pair(part.kernel_size), _pair(part.stride), _pair(part.padding)
    if part.ceil_mode:
        return None
    if type(part) is nn.MaxPool2d:
        dilation = _pair(part.dilation)
        if part.return_indices:
            return None
        return Layer(
            name, inputs, lambda x: F.max_pool2d(x, kernel, stride, 0, dilation), shape, kernel, stride, padding,
            dilation, fill=-torch.inf,
        )  # fmt: skip
    if part.divisor_override is not None or (padding != (0, 0) and not part.count_include_pad):
        return None
    return Layer(name, inputs, lambda x: F.avg_pool2d(x, kernel, stride), shape, kernel, stride, padding, linear=True)


def _pair(value: int | tuple[int, ...]) -> Pair:
    return (value, value) if isinstance(value, int) else (value[0], value[1])
