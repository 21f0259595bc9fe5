"""The law of the windows: what they hold is what a plain forward of the painted image holds there, and outside of them
nothing changed."""

from functools import lru_cache

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, fx
from torch.utils.flop_counter import FlopCounterMode

from pasm_aug.search.incremental.graph import Network
from pasm_aug.search.incremental.influence import Axis, Influence
from pasm_aug.search.incremental.windows import Maps
from tests.search.incremental.test_graph import LARGE, NETWORKS, SMALL, inputs, network, sizes, traced

IMAGES = 3
SIZES = ((17, 23), (16, 16), (9, 32), (24, 8))  # (height, width)
Change = tuple[int, float, float, int]  # image, y and x in 0…1, seed of the colour


@lru_cache(maxsize=64)
def influence(name: str, height: int, width: int, dtype: torch.dtype = torch.float64) -> Influence:
    return Influence.of(traced(name, height, width, dtype), height, width)


@lru_cache(maxsize=64)
def clean_maps(name: str, height: int, width: int, dtype: torch.dtype = torch.float64) -> Maps:
    """Of three images, with all that windows up to the last layer need."""
    found = influence(name, height, width, dtype)
    return Maps(found, inputs(IMAGES, height, width).to(dtype), found.network.split_layers[-1])


@lru_cache(maxsize=64)
def plain_maps(name: str, height: int, width: int) -> dict[str, Tensor]:
    return forward(traced(name, height, width), inputs(IMAGES, height, width))


def forward(found: Network, x: Tensor) -> dict[str, Tensor]:
    """The input and every layer's output (N, C, H, W) of a whole forward."""
    names = [layer.name for layer in found.layers]
    return {found.source: x} | dict(zip(names, found.maps(names)(x.clone()), strict=False))


def placed(changes: list[Change], height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Rows (N,), pixels (N, 2) and the values (N, 3) that they take."""
    rows = torch.tensor([row for row, *_ in changes])
    xy = torch.tensor([[round(x * (width - 1)), round(y * (height - 1))] for _, y, x, _ in changes])
    values = np.stack([np.random.default_rng(seed).uniform(-3, 3, 3) for *_, seed in changes])
    return rows, xy, torch.from_numpy(values)


def paint(x: Tensor, rows: Tensor, xy: Tensor, values: Tensor) -> Tensor:
    painted = x[rows].clone()
    painted[torch.arange(len(rows)), :, xy[:, 1], xy[:, 0]] = values
    return painted


def check_law(name: str, height: int, width: int, changes: list[Change]) -> None:
    """All layers' windows, float64 on torch's path and float32 on the compiled one, against whole forwards."""
    rows, xy, values = placed(changes, height, width)
    full = forward(traced(name, height, width), paint(inputs(IMAGES, height, width), rows, xy, values))
    clean, found = plain_maps(name, height, width), influence(name, height, width)
    last = found.network.split_layers[-1]
    exact = clean_maps(name, height, width).windows(last, rows, xy, values)
    single = clean_maps(name, height, width, torch.float32).windows(last, rows, xy, values.float())
    for layer, expected in full.items():
        (top, left), (tall, wide) = found.corner(layer, xy), found.size(layer)
        outside = clean[layer][rows].clone()
        scale = expected.abs().max()
        for n, (y, x) in enumerate(zip(top.tolist(), left.tolist(), strict=True)):
            assert 0 <= y <= expected.shape[2] - tall
            assert 0 <= x <= expected.shape[3] - wide
            part = expected[n, :, y : y + tall, x : x + wide]
            outside[n, :, y : y + tall, x : x + wide] = part
            torch.testing.assert_close(exact[layer][n].permute(2, 0, 1), part, rtol=1e-8, atol=1e-9, msg=layer)
            torch.testing.assert_close(
                single[layer][n].permute(2, 0, 1).double(), part, rtol=0, atol=2e-5 * float(scale) + 1e-6, msg=layer
            )
        torch.testing.assert_close(outside, expected, rtol=1e-8, atol=1e-9, msg=layer)


unit = st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0, 1))  # borders and corners often
changes = st.lists(st.tuples(st.integers(0, IMAGES - 1), unit, unit, st.integers(0, 99)), min_size=1, max_size=5)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(SMALL), st.sampled_from(SIZES), changes)
def test_windows_are_cut_from_the_painted_forward(name: str, size: tuple[int, int], where: list[Change]) -> None:
    assume((name, size) != ("pools", (24, 8)))  # the network itself needs nine pixels a side
    check_law(name, *size, where)


@pytest.mark.parametrize("name", NETWORKS)
def test_at_borders_and_corners(name: str) -> None:
    changes = [(row, y, x, 7) for row, (y, x) in enumerate([(0, 0), (1, 1), (0.5, 1)])] + [
        (0, 1, 0.4, 1),
        (1, 0.35, 0.6, 2),
    ]
    check_law(name, *sizes(name), changes)


@pytest.mark.parametrize("name", SMALL)
def test_images_smaller_than_the_network_reaches(name: str) -> None:
    check_law(name, 8, 9, [(0, 0, 0, 1), (2, 0.5, 0.5, 2), (1, 1, 1, 3)])


@pytest.mark.parametrize("name", SMALL)
def test_each_cut_alone_has_the_maps_it_needs(name: str) -> None:
    height, width = sizes(name)
    found, x = influence(name, height, width), inputs(IMAGES, height, width)
    rows, xy, values = placed([(0, 0, 0.5, 1), (2, 0.4, 0.4, 2), (2, 1, 1, 3)], height, width)
    full = forward(found.network, paint(x, rows, xy, values))
    for split in found.network.split_layers:
        maps = Maps(found, x, split)
        assert maps.gradients == {}
        window = maps.windows(split, rows, xy, values)[split]
        torch.testing.assert_close(maps.spliced(split, rows, xy, window), full[split], rtol=1e-8, atol=1e-9)
        torch.testing.assert_close(maps.logits, network(name)(x), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", SMALL)
def test_windows_are_no_larger_than_what_a_pixel_reaches(name: str) -> None:
    """A pixel that is not a number corrupts all that depends on it, and nothing else: its influence, from outside."""
    height, width = 9, 11
    pixel = torch.arange(height * width)
    x = inputs(1, height, width).repeat(height * width, 1, 1, 1)
    x[pixel, :, pixel // width, pixel % width] = torch.nan
    found = influence(name, height, width)
    for layer, corrupt in forward(found.network, x).items():
        reached = corrupt.isnan().any(dim=1)
        for axis, touched, start in zip(
            found.axes[layer],
            (reached.any(dim=2), reached.any(dim=1)),
            found.corner(layer, pixels(height, width)),
            strict=True,
        ):
            count, length = touched.shape
            place = torch.arange(length)
            first = torch.where(touched, place, length).amin(dim=1)
            last = torch.where(touched, place, -1).amax(dim=1)
            assert axis.length == length
            assert axis.size == max(1, int((last - first).max()) + 1), layer
            some = touched.any(dim=1)
            assert (start <= first)[some].all()
            assert (start + axis.size > last)[some].all()
            assert len(start) == count


def pixels(height: int, width: int) -> Tensor:
    """(H · W, 2), x and y of every pixel, row by row."""
    place = torch.arange(height * width)
    return torch.stack([place % width, place // width], dim=1)


@pytest.mark.parametrize("name", [*SMALL, "resnet18"])
def test_costs_are_those_that_torch_counts(name: str) -> None:
    height, width = sizes(name)
    found, maps = influence(name, height, width), clean_maps(name, height, width)
    rows, xy, values = placed([(0, 0.3, 0.3, 1), (1, 0.7, 0.1, 2)], height, width)
    names = [layer.name for layer in found.network.layers]
    assert [*found.cost] == names
    assert [*found.rest] == [*found.network.split_layers]
    for layer in names[-3:] if name in LARGE else names[::2]:
        with FlopCounterMode(display=False) as counter:
            maps.windows(layer, rows, xy, values)
        assert found.cost[layer] == pytest.approx(counter.get_total_flops() / 2 / found.network.flops)
    for split, rest in list(found.rest.items())[-3:] if name in LARGE else found.rest.items():
        there = plain_maps(name, height, width)[split][:1].clone()
        with FlopCounterMode(display=False) as counter:
            found.network.rest(split)(there)
        assert rest == pytest.approx(counter.get_total_flops() / found.network.flops)


@pytest.mark.parametrize("name", NETWORKS)
def test_costs_rise_and_rests_fall_with_depth(name: str) -> None:
    found = influence(name, *sizes(name))
    cost, rest = list(found.cost.values()), list(found.rest.values())
    assert cost == sorted(cost)
    assert rest == sorted(rest, reverse=True)
    assert cost[0] >= 0
    assert cost[-1] <= 1
    assert rest[-1] >= 0
    best = found.cheapest()
    total = {split: found.cost[split] + found.rest[split] for split in found.network.split_layers}
    assert total[best] <= 1.01 * min(total.values())


class FromFrontier(fx.Interpreter):
    """Runs a whole network, and gives what lies behind ``link`` copies of their own of the tensors before it."""

    def __init__(self, graph: fx.GraphModule, link: str) -> None:
        super().__init__(graph)
        names = [node.name for node in self.module.graph.nodes]
        self.before = set(names[: names.index(link) + 1])
        self.own: dict[str, Tensor] = {}

    def run_node(self, n: fx.Node) -> object:
        if n.name not in self.before and n.op != "output":
            for read in n.all_input_nodes:
                if read.name in self.before and self.env[read].ndim == 4:
                    self.own.setdefault(read.name, self.env[read].detach().clone().requires_grad_())
            behind = {read: self.own[read.name].clone() for read in n.all_input_nodes if read.name in self.own}
            kept = dict(self.env)
            self.env.update(behind)
            try:
                return super().run_node(n)
            finally:
                self.env.update({read: kept[read] for read in behind})
        return super().run_node(n)


def score(logits: Tensor) -> Tensor:
    return logits[:, 0] - logits[:, 1:].logsumexp(dim=1)


@pytest.mark.parametrize("name", [*SMALL, "resnet18"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_linear_scores_are_the_gradient_times_the_change(name: str, dtype: torch.dtype) -> None:
    height, width = sizes(name)
    found, x = influence(name, height, width, dtype), inputs(IMAGES, height, width)
    rows, xy, values = placed([(2, 0, 0, 1), (0, 0.5, 0.4, 2), (2, 1, 0.7, 3), (1, 0.2, 1, 4)], height, width)
    names = [layer.name for layer in found.network.layers]
    links = names[1::5] if name in LARGE else names
    maps = Maps(found, x.to(dtype), None, links, score)
    assert maps.gradients.keys() == set(links)
    full, clean = forward(traced(name, height, width), paint(x, rows, xy, values)), plain_maps(name, height, width)
    for link in links:
        runner = FromFrontier(traced(name, height, width).graph, link)
        total = score(runner.run(x.clone())).sum()
        gradients = dict(zip(runner.own, torch.autograd.grad(total, list(runner.own.values())), strict=True))
        assert gradients.keys() == maps.gradients[link].keys()
        expected = sum(
            ((full[tensor] - clean[tensor][rows]) * gradient[rows]).sum(dim=(1, 2, 3))
            for tensor, gradient in gradients.items()
        )
        size = sum(
            ((full[tensor] - clean[tensor][rows]).abs() * gradient[rows].abs()).sum()
            for tensor, gradient in gradients.items()
        )
        rounding = 1e-9 if dtype == torch.float64 else 1e-4
        got = maps.linear(link, rows, xy, values.to(dtype))
        torch.testing.assert_close(got, expected, rtol=0, atol=rounding * float(size) + 1e-12, msg=link)


@pytest.mark.parametrize("name", ["small", "pools"])
def test_a_change_that_is_none_scores_nothing(name: str) -> None:
    found, x = influence(name, 17, 23), inputs(IMAGES, 17, 23)
    link = found.network.split_layers[-1]
    maps = Maps(found, x, None, [link], score)
    rows, xy, _ = placed([(0, 0, 0, 1), (2, 0.5, 0.5, 2)], 17, 23)
    same = x[rows, :, xy[:, 1], xy[:, 0]]
    assert maps.linear(link, rows, xy, same).abs().max() < 1e-12


def test_without_a_gradient_there_are_no_gradients() -> None:
    found, x = influence("sequential", 17, 23), inputs(2, 17, 23)
    links = [found.network.split_layers[0]]
    assert Maps(found, x, None, links, lambda logits: logits[:, 0].detach()).gradients == {}
    flat = Maps(found, x, None, links, lambda logits: 0 * logits[:, 0]).gradients
    assert all((gradient == 0).all() for gradients in flat.values() for gradient in gradients.values())


layers = st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(0, 4), st.integers(1, 3))


@given(st.integers(1, 30), st.lists(layers, max_size=5))
def test_axes_against_walking_through_the_taps(length: int, geometry: list[tuple[int, int, int, int]]) -> None:
    """Set by set: an output is reached if any of its taps is."""
    axis = Axis(np.arange(length), np.arange(length), length)
    reached = [{i} for i in range(length)]
    for kernel, stride, padding, dilation in geometry:
        outputs = (axis.length + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
        if outputs < 1:
            break
        axis = axis.through(kernel, stride, padding, dilation, outputs)
        taps = [{o * stride - padding + dilation * t for t in range(kernel)} for o in range(outputs)]
        reached = [{o for o in range(outputs) if taps[o] & places} for places in reached]
        assert axis.length == outputs
    for places, start in zip(reached, axis.start.tolist(), strict=True):
        assert 0 <= start <= axis.length - axis.size
        assert places <= set(range(start, start + axis.size))
