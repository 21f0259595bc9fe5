"""Cutting and pasting against plain loops, on the compiled path and on torch's."""

from collections.abc import Callable
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pasm_aug.search.incremental import patches
from pasm_aug.search.incremental.influence import Corner
from pasm_aug.search.incremental.layers import Layer
from pasm_aug.search.incremental.patches import along, assemble, shift

COUNT = 4
ROWS = torch.tensor([1, 0, 1, 1])


def both(work: Callable[[], Tensor]) -> tuple[Tensor, Tensor]:
    """What the compiled path gives, and what torch's does."""
    compiled = work()
    with patch.object(patches, "_compiled", lambda _: False):
        return compiled, work()


def random(seed: int, *shape: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def corners(draw: st.DataObject, low: tuple[int, int], high: tuple[int, int]) -> Corner:
    """Any within the bounds, both included."""
    y, x = (
        draw.draw(st.lists(st.integers(a, b), min_size=COUNT, max_size=COUNT)) for a, b in zip(low, high, strict=True)
    )
    return torch.tensor(y), torch.tensor(x)


small = st.integers(1, 6)


def pair(values: st.SearchStrategy[int]) -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(values, values)


@settings(max_examples=80, deadline=None)
@given(
    st.data(),
    pair(st.integers(1, 9)),
    pair(small),
    pair(small),
    st.integers(1, 3),
    st.sampled_from([0.0, -np.inf]),
    small,
)
def test_assemble_is_a_loop(
    data: st.DataObject,
    shape: tuple[int, int],
    size: tuple[int, int],
    window: tuple[int, int],
    step: int,
    fill: float,
    channels: int,
) -> None:
    height, width = shape
    h, w = min(window[0], height), min(window[1], width)
    maps, over = random(0, 2, height, width, channels), random(1, COUNT, h, w, channels)
    corner = corners(data, (-8, -8), (height + 3, width + 3))
    at = corners(data, (0, 0), (height - h, width - w))
    expected = np.full((COUNT, *size, channels), fill, dtype=np.float32)
    for n, p, q in np.ndindex(COUNT, *size):
        y, x = int(corner[0][n]) + p * step, int(corner[1][n]) + q * step
        i, j = y - int(at[0][n]), x - int(at[1][n])
        if 0 <= i < h and 0 <= j < w:
            expected[n, p, q] = over[n, i, j]
        elif 0 <= y < height and 0 <= x < width:
            expected[n, p, q] = maps[ROWS[n], y, x]
    before = maps.clone(), over.clone()
    for found in both(lambda: assemble(maps, ROWS, corner, size, fill, over, at, step)):
        assert found.dtype == torch.float32
        np.testing.assert_array_equal(found.numpy(), expected)
    assert torch.equal(maps, before[0])
    assert torch.equal(over, before[1])


@settings(max_examples=60, deadline=None)
@given(
    st.data(), pair(st.integers(1, 4)), pair(st.integers(1, 3)), pair(st.integers(1, 3)), pair(st.integers(1, 4)),
    pair(st.integers(1, 5)),
)  # fmt: skip
def test_shift_is_a_loop(
    data: st.DataObject,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    size: tuple[int, int],
    depth: tuple[int, int],
) -> None:
    inputs, outputs = depth
    weight = random(0, outputs, inputs, *kernel)
    maps, change = random(1, 2, 6, 7, outputs), random(2, COUNT, inputs)
    layer = Layer("c", ("x",), torch.neg, (outputs, 6, 7), kernel, stride, (0, 0), dilation, weight=weight)
    corner = corners(data, (0, 0), (6 - size[0], 7 - size[1]))
    phase = corners(data, (-3, -3), (9, 9))
    expected = np.empty((COUNT, *size, outputs), dtype=np.float32)
    for n, i, j in np.ndindex(COUNT, *size):
        expected[n, i, j] = maps[ROWS[n], corner[0][n] + i, corner[1][n] + j]
        for a, b in np.ndindex(*kernel):  # output i reads its tap a at place i · stride + a · dilation
            reads = (i * stride[0] + a * dilation[0], j * stride[1] + b * dilation[1])
            if reads == (int(phase[0][n]), int(phase[1][n])):
                expected[n, i, j] += weight[:, :, a, b].numpy() @ change[n].numpy()
    before = maps.clone()
    for found in both(lambda: shift(maps, ROWS, corner, phase, layer, change, size)):
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(maps, before)


@settings(max_examples=40, deadline=None)
@given(st.data(), pair(st.integers(1, 5)), small)
def test_along_is_a_loop(data: st.DataObject, size: tuple[int, int], channels: int) -> None:
    maps, gradients = random(0, 2, 6, 7, channels), random(1, 2, 6, 7, channels)
    window, corner = random(2, COUNT, *size, channels), corners(data, (0, 0), (6 - size[0], 7 - size[1]))
    expected = np.zeros(COUNT)
    for n, i, j, c in np.ndindex(COUNT, *size, channels):
        place = (int(ROWS[n]), int(corner[0][n]) + i, int(corner[1][n]) + j, c)
        expected[n] += (float(window[n, i, j, c]) - float(maps[place])) * float(gradients[place])
    for found in both(lambda: along(maps, gradients, ROWS, corner, window)):
        assert found.dtype == torch.float64
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-5)


def test_float64_keeps_its_digits() -> None:
    maps, window = random(0, 2, 6, 7, 3).double() / 3, random(1, COUNT, 2, 2, 3).double() / 3
    zero = (torch.zeros(COUNT, dtype=torch.int64),) * 2
    found = assemble(maps, ROWS, zero, (6, 7), 0.0, window, zero)
    assert found.dtype == torch.float64
    assert torch.equal(found[:, :2, :2], window)
    assert torch.equal(found[:, 2:], maps[ROWS, 2:])
    change = (window - maps[ROWS, :2, :2]).flatten(1)
    gradients = torch.ones_like(maps)
    torch.testing.assert_close(along(maps, gradients, ROWS, zero, window), change.sum(1), rtol=1e-14, atol=1e-14)


def test_no_changes_give_no_patches() -> None:
    maps, none = random(0, 2, 6, 7, 3), torch.zeros(0, dtype=torch.int64)
    for found in both(lambda: assemble(maps, none, (none, none), (3, 2), 0.0, maps[:0, :1, :1], (none, none))):
        assert found.shape == (0, 3, 2, 3)
    for found in both(lambda: along(maps, maps, none, (none, none), maps[:0, :1, :1])):
        assert found.shape == (0,)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gives_what_the_cpu_does() -> None:
    maps, gradients, window = random(0, 2, 6, 7, 3), random(1, 2, 6, 7, 3), random(2, COUNT, 3, 2, 3)
    weight, change = random(3, 3, 4, 3, 3), random(4, COUNT, 4)
    layer = Layer("c", ("x",), torch.neg, (3, 6, 7), (3, 3), (2, 1), weight=weight)
    on_gpu = Layer("c", ("x",), torch.neg, (3, 6, 7), (3, 3), (2, 1), weight=weight.cuda())
    at = (torch.tensor([0, 3, 1, 2]), torch.tensor([5, 0, 2, 2]))
    corner, phase = (at[0] - 2, at[1] - 1), (at[0] - 1, at[1])

    def cuda(where: Corner) -> Corner:
        return where[0].cuda(), where[1].cuda()

    pairs = [
        (
            assemble(maps, ROWS, corner, (4, 3), -np.inf, window, at, 2),
            assemble(maps.cuda(), ROWS.cuda(), cuda(corner), (4, 3), -np.inf, window.cuda(), cuda(at), 2),
        ),
        (
            shift(maps, ROWS, at, phase, layer, change, (3, 2)),
            shift(maps.cuda(), ROWS.cuda(), cuda(at), cuda(phase), on_gpu, change.cuda(), (3, 2)),
        ),
        (
            along(maps, gradients, ROWS, at, window),
            along(maps.cuda(), gradients.cuda(), ROWS.cuda(), cuda(at), window.cuda()),
        ),
    ]
    for cpu, gpu in pairs:
        torch.testing.assert_close(gpu.cpu(), cpu, rtol=1e-5, atol=1e-5)
