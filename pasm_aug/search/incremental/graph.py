"""A classifier as a list of layers whose outputs change only locally when one pixel does.

:func:`trace` follows a network in evaluation mode (torch.fx), folds batch norms into their convolutions, and recognises
the layers that work on windows (:mod:`pasm_aug.search.incremental.layers`), from the input on. What lies behind runs as
it is.
"""

from __future__ import annotations

import copy
import operator
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.utils.flop_counter import FlopCounterMode

from pasm_aug.core.errors import UserError
from pasm_aug.search.incremental.layers import Layer, layer_of

Edge = tuple[str, str]

_PURE: dict[Any, Any] = {operator.iadd: operator.add, torch.relu_: torch.relu, "relu_": "relu", "add_": "add"}


@dataclass(frozen=True)
class Network:
    """A traced network.

    Attributes:
        graph: the whole network with batch norms folded.
        layers: recognised layers in order. source: name of the input.
        split_layers: names of tensors (C, H, W) that everything behind depends on alone, shallow to deep.
        frontiers: by layer, the edges (tensor, its reader) that lead from what is computed when that layer has been to
            what is not: of a split layer just its own, inside a residual block also those of the shortcut.
        flops: of a forward of one image.
    """

    graph: fx.GraphModule
    layers: tuple[Layer, ...]
    source: str
    split_layers: tuple[str, ...]
    frontiers: dict[str, tuple[Edge, ...]]
    flops: int

    def trunk(self, split_layer: str) -> tuple[Layer, ...]:
        """The layers up to and including ``split_layer``."""
        names = [layer.name for layer in self.layers]
        return self.layers[: names.index(split_layer) + 1]

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

    def rest(self, split_layer: str) -> fx.GraphModule:
        """The tensor ``split_layer`` (N, C, H, W) → logits."""
        graph, behind = fx.Graph(), False
        copies: dict[fx.Node, fx.Node] = {}
        for node in _body(self.graph.graph):
            if node.name == split_layer:
                copies[node], behind = graph.placeholder("x"), True
            elif behind or node.op == "get_attr":
                copies[node] = graph.node_copy(node, lambda n: copies[n])
        graph.output(copies[_result(self.graph.graph)])
        return _module(self.graph, graph)


class NotFollowedError(Exception):
    """A network that has to run whole; the message says why."""


def trace(model: nn.Module, example: Tensor) -> Network:
    """The layers of ``model`` in evaluation mode.

    Its hooks are left out: they would see what they should not, and whoever wants to know whether they change anything
    has to compare with the network itself.

    Args:
        model: a classifier that has just made a forward. example: (1, C, H, W), an input.

    Raises:
        NotFollowedError: it cannot be traced, or does not begin with layers that work on windows.
    """
    try:
        bare = _without_hooks(model, {})
        graph = fx.Tracer().trace(bare)
        shapes = _Shapes(fx.GraphModule(bare, graph))
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            shapes.run(example)
        folded = _fold(_without_writing(fx.GraphModule(bare, graph)))
    except Exception as error:  # whatever tracing trips over: control flow, unpacking, …
        what = " ".join(f"{type(error).__name__}: {error}".split())
        raise NotFollowedError(f"torch.fx cannot trace it ({what[:160]})") from error
    layers, split_layers, frontiers = _recognise(folded, shapes.of)
    source = next(node.name for node in folded.graph.nodes if node.op == "placeholder")
    if not split_layers:
        raise NotFollowedError("it does not begin with layers that work on windows (convolutions, pooling, …)")
    return Network(folded, layers, source, split_layers, frontiers, int(counter.get_total_flops()))


def _without_hooks(module: nn.Module, done: dict[int, nn.Module]) -> nn.Module:
    """The same modules with the same weights, none of which has a hook."""
    if id(module) not in done:
        bare = done[id(module)] = copy.copy(module)
        vars(bare).update({name: OrderedDict() for name in vars(module) if name.endswith("_hooks")})
        vars(bare)["_modules"] = {n: part and _without_hooks(part, done) for n, part in module._modules.items()}
    return done[id(module)]


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
    split_layers: list[str] = []
    frontiers: dict[str, tuple[Edge, ...]] = {}
    known: set[fx.Node] = set()
    for node in _body(module.graph):
        if node.op == "placeholder" and not known:
            known.add(node)
            continue
        shape = shapes.get(node.name, ())
        if not node.all_input_nodes or not set(node.all_input_nodes) <= known or len(shape) != 4:
            break
        layer = layer_of(module, node, (shape[1], shape[2], shape[3]))
        if layer is None:
            break
        layers.append(layer)
        known.add(node)
        frontier = [(tensor, reader) for tensor in known for reader in tensor.users if reader not in known]
        if all(tensor is node for tensor, _ in frontier):
            split_layers.append(node.name)
        frontiers[node.name] = tuple(sorted((tensor.name, reader.name) for tensor, reader in frontier))
    return tuple(layers), tuple(split_layers), frontiers


def _body(graph: fx.Graph) -> list[fx.Node]:
    return [node for node in graph.nodes if node.op != "output"]


def _result(graph: fx.Graph) -> fx.Node:
    """The logits among what the network returns; see :func:`~pasm_aug.core.networks.take_logits`."""
    result = next(node for node in graph.nodes if node.op == "output").args[0]
    if isinstance(result, dict):
        result = result.get("logits")
    elif isinstance(result, tuple | list) and result:
        result = result[0]
    if not isinstance(result, fx.Node):
        raise UserError("the network returns no logits")
    return result


def _module(root: fx.GraphModule, graph: fx.Graph) -> fx.GraphModule:
    graph.lint()
    return fx.GraphModule(root, graph)
