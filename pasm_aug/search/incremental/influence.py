"""Where a changed pixel reaches: the window of every layer that it touches, and what recomputing it costs.

Windows of one layer have one size for all pixels, the largest that any pixel needs, and are pushed inside the map at
its borders: they cover more than what changed, never less.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pasm_aug.search.incremental.graph import Network
from pasm_aug.search.incremental.layers import Layer

Corner = tuple[Tensor, Tensor]  # (N,) int64 each: y and x of the top left position, which may lie outside the map
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Axis:
    """Along one axis: which outputs each pixel reaches, and the window that holds them.

    Attributes:
        low, high: (L,) first and last output that pixel i changes. length: of the map.
    """

    low: Ints
    high: Ints
    length: int

    @cached_property
    def size(self) -> int:
        """Of the window."""
        return max(1, int((self.high - self.low).max()) + 1)

    @cached_property
    def one_to_one(self) -> bool:
        """Whether pixel i reaches output i alone."""
        pixels = np.arange(self.length)
        return np.array_equal(self.low, pixels) and np.array_equal(self.high, pixels)

    @cached_property
    def start(self) -> Tensor:
        """(L,) where the window of pixel i begins."""
        return torch.from_numpy(np.clip(self.low, 0, self.length - self.size))

    def through(self, kernel: int, stride: int, padding: int, dilation: int, length: int) -> Axis:
        """Behind a layer of this geometry whose output has ``length`` positions."""
        low = -((-(self.low + padding - dilation * (kernel - 1))) // stride)
        high = (self.high + padding) // stride
        return Axis(low.clip(0, length), high.clip(-1, length - 1), length)

    @staticmethod
    def join(parts: Sequence[Axis]) -> Axis:
        """Reached through any of several inputs of one length."""
        low, high = np.min([p.low for p in parts], axis=0), np.max([p.high for p in parts], axis=0)
        return Axis(low, high, parts[0].length)


@dataclass(frozen=True)
class Influence:
    """Where one pixel's windows lie in the layers of a network, for images of one size.

    Attributes:
        axes: vertical and horizontal :class:`Axis` of every layer's output, by name.
        cost: by layer, the share of a forward that recomputing the windows up to it takes.
        rest: by split layer, the share that the network behind it takes.
    """

    network: Network
    axes: dict[str, tuple[Axis, Axis]]
    cost: dict[str, float]
    rest: dict[str, float]

    @classmethod
    def of(cls, network: Network, height: int, width: int) -> Self:
        """The windows in a network whose input is ``height`` × ``width``."""
        whole = [Axis(np.arange(n), np.arange(n), n) for n in (height, width)]
        axes = {network.source: (whole[0], whole[1])}
        windows, full = 0, 0
        cost, rest = {}, {}
        for layer in network.layers:
            inputs = zip(*(axes[name] for name in layer.inputs), strict=True)
            geometry = zip(layer.kernel, layer.stride, layer.padding, layer.dilation, layer.shape[1:], strict=True)
            y, x = (Axis.join(parts).through(*each) for parts, each in zip(inputs, geometry, strict=True))
            axes[layer.name] = y, x
            each = layer.flops // layer.kernel[0] // layer.kernel[1] if from_pixel(layer, axes) else layer.flops
            windows += each * y.size * x.size
            full += layer.flops * y.length * x.length
            cost[layer.name] = windows / network.flops
            if layer.name in network.split_layers:
                rest[layer.name] = 1 - full / network.flops
        return cls(network, axes, cost, rest)

    def cheapest(self) -> str:
        """The split layer at which to hand over to the rest: the shallowest of those with fewest operations."""
        total = {split: self.cost[split] + self.rest[split] for split in self.network.split_layers}
        return next(split for split, operations in total.items() if operations <= 1.01 * min(total.values()))

    def needed(self, names: Sequence[str]) -> set[str]:
        """The maps of clean images that windows up to the layers ``names`` are taken from."""
        needed = {self.network.source}
        order = [layer.name for layer in self.network.layers]
        for layer in self.network.trunk(max(names, key=order.index)):
            if from_pixel(layer, self.axes):
                needed.update((layer.name, *layer.inputs))
            elif not self.direct(layer):
                needed.update(layer.inputs)
        return needed

    def direct(self, layer: Layer) -> bool:
        """Whether the inputs' windows are the output's: nothing has to be gathered."""
        own = self.axes[layer.name]
        return layer.local and all(
            torch.equal(a.start, b.start) and a.size == b.size
            for name in layer.inputs
            for a, b in zip(self.axes[name], own, strict=True)
        )

    def patch(self, layer: Layer) -> tuple[int, int]:
        """Height and width of the patch of its input that ``layer`` needs."""
        if layer.step > 1:
            return self.size(layer.name)
        numbers = zip(self.size(layer.name), layer.stride, layer.dilation, layer.kernel, strict=True)
        tall, wide = ((n - 1) * stride + d * (k - 1) + 1 for n, stride, d, k in numbers)
        return tall, wide

    def patch_bytes(self, layer: Layer) -> int:
        """Of the largest float32 patch or window that ``layer`` works on, for one change."""
        shapes = {known.name: known.shape for known in self.network.layers}
        inputs = max(shapes[name][0] if name in shapes else 0 for name in layer.inputs)
        return 4 * max(math.prod(self.patch(layer)) * inputs, math.prod(self.size(layer.name)) * layer.shape[0])

    @property
    def map_bytes(self) -> int:
        """Of the float32 maps of one clean image, and as much again for their gradients."""
        return 8 * sum(math.prod(layer.shape) for layer in self.network.layers)

    def corner(self, name: str, xy: Tensor) -> Corner:
        """Where the windows of pixels ``xy`` (N, 2) begin in the map of ``name``."""
        y, x = self.axes[name]
        return y.start.to(xy.device)[xy[:, 1]], x.start.to(xy.device)[xy[:, 0]]

    def size(self, name: str) -> tuple[int, int]:
        """Height and width of the windows in the map of ``name``."""
        return self.axes[name][0].size, self.axes[name][1].size


def from_pixel(layer: Layer, axes: dict[str, tuple[Axis, Axis]]) -> bool:
    """Whether a convolution reads a map where just the changed pixel itself differs."""
    return layer.weight is not None and all(axis.one_to_one for axis in axes[layer.inputs[0]])
