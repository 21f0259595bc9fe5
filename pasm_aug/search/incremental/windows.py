"""Exact incremental forward: what a one-pixel change makes of a feature map, recomputed only where it reaches.

In evaluation mode one pixel touches only a window of each map (Nakandala et al., "Incremental and approximate
inference for faster occlusion-based deep CNN explanations", SIGMOD 2019). With the maps of the clean image at hand, a
layer's window needs a patch of its input: the clean map, overlaid by the input's own window.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from pasm_aug.search.incremental.graph import Edge
from pasm_aug.search.incremental.influence import Corner, Influence, from_pixel
from pasm_aug.search.incremental.layers import Layer
from pasm_aug.search.incremental.patches import along, assemble, shift


class Maps:
    """The feature maps of clean images, and windows of what one-pixel changes make of them.

    Args:
        influence: the network's windows.
        inputs: (B, C, H, W), the network's inputs.
        split_layer: whose maps :meth:`spliced` will return.
        links: layers that :meth:`linear` will be called with. score: logits (B, classes) → (B,), differentiated there.

    Attributes:
        logits: (B, classes) of the clean images.
        gradients: by link and tensor of its frontier, (B, H, W, C); empty without ``links``, or if the network gives no
            gradient.
    """

    def __init__(
        self,
        influence: Influence,
        inputs: Tensor,
        split_layer: str | None,
        links: Sequence[str] = (),
        score: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.influence, network = influence, influence.network
        edges = sorted({edge for link in links for edge in network.frontiers[link]})
        ends = [*links, split_layer] if split_layer else [*links]
        kept = sorted({*influence.needed(ends), *(name for name, _ in edges), *ends})
        with torch.set_grad_enabled(score is not None):
            *found, logits = network.maps(kept, edges)(inputs.detach().requires_grad_(score is not None))
            gradients = _gradients(score(logits), found[len(kept) :]) if score else {}
        self.logits = logits.detach()
        self.maps = {name: _last(x.detach()).contiguous() for name, x in zip(kept, found, strict=False)}
        by_edge = dict(zip(edges, gradients, strict=False))
        self.gradients = {link: _sums(by_edge, network.frontiers[link]) for link in links if by_edge}

    def windows(self, name: str, rows: Tensor, xy: Tensor, values: Tensor) -> dict[str, Tensor]:
        """The windows (N, h, w, C) of all layers up to ``name`` after change n paints pixel ``xy[n]`` of ``rows[n]``.

        Args:
            rows: (N,) int64, which image. xy: (N, 2) int64. values: (N, C), what the network's input holds there then.
        """
        influence = self.influence
        found = {influence.network.source: values[:, None, None, :]}
        corners: dict[str, Corner] = {}

        def corner(of: str) -> Corner:
            if of not in corners:
                corners[of] = influence.corner(of, xy)
            return corners[of]

        for layer in influence.network.trunk(name):
            if from_pixel(layer, influence.axes):
                clean = self.maps[layer.inputs[0]]
                change = found[layer.inputs[0]][:, 0, 0] - clean[rows, xy[:, 1], xy[:, 0]]
                found[layer.name] = shift(
                    self.maps[layer.name], rows, corner(layer.name), _phase(layer, corner(layer.name), xy), layer,
                    change, influence.size(layer.name),
                )  # fmt: skip
                continue
            parts = [found[read] for read in layer.inputs]
            if not influence.direct(layer):
                y, x = corner(layer.name)
                at = (y * layer.stride[0] - layer.padding[0], x * layer.stride[1] - layer.padding[1])
                size, fill, step = influence.patch(layer), layer.fill, layer.step
                parts = [
                    assemble(self.maps[read], rows, at, size, fill, found[read], corner(read), step)
                    for read in layer.inputs
                ]
            found[layer.name] = _last(layer.call(*map(_first, parts))).contiguous()
        return found

    def spliced(self, split_layer: str, rows: Tensor, xy: Tensor, window: Tensor) -> Tensor:
        """Whole maps (N, C, H, W) of ``split_layer`` that hold the windows."""
        maps, at = self.maps[split_layer], self.influence.corner(split_layer, xy)
        origin = (torch.zeros_like(rows), torch.zeros_like(rows))
        return _first(assemble(maps, rows, origin, (maps.shape[1], maps.shape[2]), 0.0, window, at))

    def linear(self, link: str, rows: Tensor, xy: Tensor, values: Tensor) -> Tensor:
        """(N,) by how much the score changes: exact up to ``link``, with one gradient for all behind it."""
        windows = self.windows(link, rows, xy, values)
        return sum(  # type: ignore[return-value]
            along(self.maps[name], gradient, rows, self.influence.corner(name, xy), windows[name])
            for name, gradient in self.gradients[link].items()
        )


def _phase(layer: Layer, corner: Corner, xy: Tensor) -> Corner:
    """Where the pixel lies in the padded input, counted from the first tap of its window's first output."""
    y, x = (
        place + padding - first * stride
        for place, padding, first, stride in zip((xy[:, 1], xy[:, 0]), layer.padding, corner, layer.stride, strict=True)
    )
    return y, x


def _gradients(scores: Tensor, at: Sequence[Tensor]) -> list[Tensor]:
    if not scores.requires_grad:
        return []
    try:
        found = torch.autograd.grad(scores.sum(), list(at), allow_unused=True)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError:  # a part of the network that cannot go backward
        return []
    return [torch.zeros_like(x) if gradient is None else gradient for gradient, x in zip(found, at, strict=True)]


def _sums(gradients: dict[Edge, Tensor], frontier: Sequence[Edge]) -> dict[str, Tensor]:
    """The gradient at each tensor of a frontier, over those of its edges that cross it."""
    sums: dict[str, Tensor] = {}
    for name, reader in frontier:
        gradient = gradients[name, reader]
        sums[name] = sums[name] + gradient if name in sums else gradient
    return {name: _last(gradient).contiguous() for name, gradient in sums.items()}


def _last(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1)


def _first(x: Tensor) -> Tensor:
    return x.permute(0, 3, 1, 2)
