"""A classifier as a list of layers whose outputs change only locally when one pixel does.

:func:`trace` follows a network in evaluation mode (torch.fx), folds batch norms into their convolutions, and recognises
what works on windows: convolutions, pooling, element-wise functions, sums and concatenations. A :class:`Trunk` is the
part from the input to one tensor through which everything flows; what lies behind runs as it is.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.utils.flop_counter import FlopCounterMode

Pair = tuple[int, int]
Edge = tuple[str, str]

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
_PURE: dict[Any, Any] = {operator.iadd: operator.add, torch.relu_: torch.relu, "relu_": "relu", "add_": "add"}


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


@dataclass(frozen=True)
class Network:
    """A traced network.

    Attributes:
        graph: the whole network with batch norms folded.
        layers: recognised layers in order. source: name of the input.
        cuts: names of tensors (C, H, W) that everything behind depends on alone, shallow to deep.
        frontiers: by layer, the edges (tensor, its reader) that lead from what is computed when that layer has been to
            what is not: of a cut just those of the cut, inside a residual block also those of the shortcut.
        flops: of a forward of one image.
    """

    graph: fx.GraphModule
    layers: tuple[Layer, ...]
    source: str
    cuts: tuple[str, ...]
    frontiers: dict[str, tuple[Edge, ...]]
    flops: int

    def trunk(self, cut: str) -> tuple[Layer, ...]:
        """The layers up to and including ``cut``."""
        names = [layer.name for layer in self.layers]
        return self.layers[: names.index(cut) + 1]

    def maps(self, names: Sequence[str], edges: Sequence[Edge] = ()) -> fx.GraphModule:
        """input → (tensors of the given names …, what flows along the given edges …, logits)."""
        graph = fx.Graph()
        copies: dict[fx.Node, fx.Node] = {}
        flows: dict[Edge, fx.Node] = {}
        for node in _body(self.graph.graph):
            for read in node.all_input_nodes:
                if (read.name, node.name) in edges:
                    copy = copies[read]
                    flows[read.name, node.name] = graph.call_method("view_as", (copy, copy))
            reads = {n: flows.get((n.name, node.name), copies[n]) for n in node.all_input_nodes}
            copies[node] = graph.node_copy(node, reads.__getitem__)
        by_name = {node.name: copy for node, copy in copies.items()}
        found = [*(by_name[name] for name in names), *(flows[edge] for edge in edges)]
        graph.output((*found, copies[_result(self.graph.graph)]))
        return _module(self.graph, graph)

    def rest(self, cut: str) -> fx.GraphModule:
        """The tensor ``cut`` (N, C, H, W) → logits."""
        graph, behind = fx.Graph(), False
        copies: dict[fx.Node, fx.Node] = {}
        for node in _body(self.graph.graph):
            if node.name == cut:
                copies[node], behind = graph.placeholder("x"), True
            elif behind or node.op == "get_attr":
                copies[node] = graph.node_copy(node, lambda n: copies[n])
        graph.output(copies[_result(self.graph.graph)])
        return _module(self.graph, graph)


def trace(model: nn.Module, example: Tensor) -> Network | None:
    """The layers of ``model`` in evaluation mode; ``None`` where it cannot be followed.

    Args:
        model: a classifier. One that carries hooks is not traced: they would see what they should not.
        example: (1, C, H, W), an input.
    """
    if any(module._forward_hooks or module._forward_pre_hooks for module in model.modules()):
        return None
    try:
        graph = fx.Tracer().trace(model)
        shapes = _Shapes(fx.GraphModule(model, graph))
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            shapes.run(example)
        folded = _fold(_without_writing(fx.GraphModule(model, graph)))
    except Exception:  # whatever tracing trips over (control flow, unpacking, …): such networks run whole
        return None
    layers, cuts, frontiers = _recognise(folded, shapes.of)
    source = next(node.name for node in folded.graph.nodes if node.op == "placeholder")
    return Network(folded, layers, source, cuts, frontiers, int(counter.get_total_flops())) if cuts else None


class _Shapes(fx.Interpreter):
    """Runs a graph and notes the shape of every tensor."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.of: dict[str, tuple[int, ...]] = {}

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if isinstance(value, Tensor):
            self.of[n.name] = tuple(value.shape)
        return value


def _without_writing(module: fx.GraphModule) -> fx.GraphModule:
    """Layers that overwrite their input give a new tensor instead, where nobody else reads that input."""
    for node in module.graph.nodes:
        if node.op == "output" or not node.all_input_nodes or len(node.all_input_nodes[0].users) > 1:
            continue
        if node.op == "call_module" and getattr(module.get_submodule(str(node.target)), "inplace", False):
            part = copy.copy(module.get_submodule(str(node.target)))
            part.inplace = False  # type: ignore[assignment]
            node.target = f"pure_{node.name}"
            module.add_submodule(node.target, part)
        elif node.op != "call_module" and node.target in _PURE:
            node.target = _PURE[node.target]
        if node.kwargs.get("inplace"):
            node.kwargs = {k: v for k, v in node.kwargs.items() if k != "inplace"}
    module.recompile()
    return module


def _fold(module: fx.GraphModule) -> fx.GraphModule:
    for node in list(module.graph.nodes):
        before = node.args[0] if node.op == "call_module" and node.args else None
        if not (isinstance(before, fx.Node) and before.op == "call_module" and len(before.users) == 1):
            continue
        conv, norm = module.get_submodule(str(before.target)), module.get_submodule(str(node.target))
        if type(conv) is nn.Conv2d and type(norm) is nn.BatchNorm2d and norm.running_var is not None:
            name = f"folded_{before.name}"
            module.add_submodule(name, fuse_conv_bn_eval(conv, norm))
            before.target = name
            node.replace_all_uses_with(before)
            module.graph.erase_node(node)
    module.recompile()
    return module


def _recognise(
    module: fx.GraphModule, shapes: dict[str, tuple[int, ...]]
) -> tuple[tuple[Layer, ...], tuple[str, ...], dict[str, tuple[Edge, ...]]]:
    layers: list[Layer] = []
    cuts: list[str] = []
    frontiers: dict[str, tuple[Edge, ...]] = {}
    known: set[fx.Node] = set()
    for node in _body(module.graph):
        if node.op == "placeholder" and not known:
            known.add(node)
            continue
        shape = shapes.get(node.name, ())
        if not node.all_input_nodes or not set(node.all_input_nodes) <= known or len(shape) != 4:
            break
        layer = _layer(module, node, (shape[1], shape[2], shape[3]))
        if layer is None:
            break
        layers.append(layer)
        known.add(node)
        frontier = [(tensor, reader) for tensor in known for reader in tensor.users if reader not in known]
        if all(tensor is node for tensor, _ in frontier):
            cuts.append(node.name)
        frontiers[node.name] = tuple(sorted((tensor.name, reader.name) for tensor, reader in frontier))
    return tuple(layers), tuple(cuts), frontiers


def _layer(module: fx.GraphModule, node: fx.Node, shape: tuple[int, int, int]) -> Layer | None:
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


def _body(graph: fx.Graph) -> list[fx.Node]:
    return [node for node in graph.nodes if node.op != "output"]


def _result(graph: fx.Graph) -> fx.Node:
    result = next(node for node in graph.nodes if node.op == "output").args[0]
    if not isinstance(result, fx.Node):
        raise ValueError("the network returns more than logits")
    return result


def _module(root: fx.GraphModule, graph: fx.Graph) -> fx.GraphModule:
    graph.lint()
    return fx.GraphModule(root, graph)
