"""What a hidden box changes in a network, recomputed only where it reaches.

In evaluation mode a box touches a window of each feature map (Nakandala et al., "Incremental and approximate inference
for faster occlusion-based deep CNN explanations", SIGMOD 2019). As a batch of images is hidden at one place at a time,
a window is a slice, the same of all of them: the search's windows (:mod:`pasm_aug.search.incremental`), which lie at
another place of every image, are found in the same traced network, but gathered.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from pasm_aug.core.geometry import Box
from pasm_aug.core.networks import take_logits
from pasm_aug.search.incremental.graph import trace
from pasm_aug.search.incremental.influence import Influence
from pasm_aug.search.incremental.layers import Layer
from pasm_aug.training.occluders import Square

Span = tuple[int, int]  # first position and the one behind the last
_WORTH = 0.9  # of a whole forward's operations: windows that save less are not worth their slices
_DEEPER = 1.05  # a layer further is worth it if it saves this factor: small windows are slower an operation
_BYTES = 1 << 29  # of the clean maps of the images that are hidden together


class FollowedNetwork:
    """A network whose logits with a box hidden can be had from windows.

    Args:
        model: in evaluation mode, which has just made a forward. example: (1, C, H, W), an input of it.
        squares: what will be hidden.

    Raises:
        NotFollowedError: it cannot be traced, or does not begin with layers that work on windows.
    """

    def __init__(self, model: nn.Module, example: Tensor, squares: Iterable[Square]) -> None:
        height, width = example.shape[2:]
        self.network = trace(model, example)
        self.influence = Influence.of(self.network, height, width)
        middles = {s.side: ((width - s.side) // 2, (height - s.side) // 2) for s in squares}
        boxes = {side: (x, y, x + side, y + side) for side, (x, y) in middles.items()}
        found = {side: self._cheapest(box) for side, box in boxes.items()}
        self.splits = {side: split for side, split in found.items() if split is not None}
        self.rests = {split: self.network.rest(split) for split in self.splits.values()}
        self.kept: list[str] = sorted(self._kept())
        self.clean = self.network.maps(self.kept)

    def span(self, layer: str, box: Box) -> tuple[Span, Span]:
        """Rows and columns of a layer's output that a box of the input reaches; one at least."""
        left, top, right, bottom = box
        spans = []
        for axis, (start, stop) in zip(self.influence.axes[layer], ((top, bottom), (left, right)), strict=True):
            first = min(int(axis.low[start:stop].min()), axis.length - 1)
            spans.append((first, max(int(axis.high[start:stop].max()), first) + 1))
        return spans[0], spans[1]

    def maps_of(self, inputs: Tensor) -> CleanMaps | None:
        """What is kept of the images of which ``inputs`` (B, C, H, W) are made; ``None``: too much."""
        if not self.splits or len(inputs) * self.influence.map_bytes > 2 * _BYTES:
            return None
        *maps, _ = self.clean(inputs)
        return CleanMaps(self, dict(zip(self.kept, maps, strict=True)))

    def _cheapest(self, box: Box) -> str | None:
        """The layer at which to hand over to the rest of the network, ``None`` to run whole."""
        spent, best, least = 0, None, _WORTH
        for layer in self.network.layers:
            rows, columns = self.span(layer.name, box)
            spent += layer.flops * (rows[1] - rows[0]) * (columns[1] - columns[0])
            if layer.name in self.network.split_layers:
                share = spent / self.network.flops + self.influence.rest[layer.name]
                if share * (_DEEPER if best else 1.0) < least:
                    best, least = layer.name, share
        return best

    def _kept(self) -> set[str]:
        """Of which layers the clean maps are needed: what windows are cut from, and what is put together again."""
        kept = {self.network.source, *self.splits.values()}
        for split in self.splits.values():
            for layer in self.network.trunk(split):
                if not layer.local or len(layer.inputs) > 1:
                    kept.update(layer.inputs)
        return kept


@dataclass(frozen=True)
class CleanMaps:
    """The feature maps (B, C, H, W) of images as they are."""

    followed: FollowedNetwork
    maps: dict[str, Tensor]

    def logits(self, inputs: Tensor, box: Box) -> Tensor | None:
        """(B, classes) for the network's inputs once the box is hidden; ``None`` where it should run whole."""
        followed = self.followed
        split = followed.splits.get(box[2] - box[0])
        if split is None:
            return None
        left, top, right, bottom = box
        source = followed.network.source
        windows, spans = {source: inputs[:, :, top:bottom, left:right]}, {source: ((top, bottom), (left, right))}
        for layer in followed.network.trunk(split):
            own = spans[layer.name] = followed.span(layer.name, box)
            if layer.local and all(spans[read] == own for read in layer.inputs):
                parts = [windows[read] for read in layer.inputs]
            else:
                parts = [self._patch(layer, own, read, windows[read], spans[read]) for read in layer.inputs]
            windows[layer.name] = layer.call(*parts)
        whole, ((up, down), (first, last)) = self.maps[split].clone(), spans[split]
        whole[:, :, up:down, first:last] = windows[split]
        rest: fx.GraphModule = followed.rests[split]
        return take_logits(rest(whole))

    def _patch(self, layer: Layer, own: tuple[Span, Span], read: str, window: Tensor, at: tuple[Span, Span]) -> Tensor:
        """What ``layer`` reads for its outputs ``own``: the clean map, padded, with the window that changed in it."""
        clean = self.maps[read]
        spans: list[Span] = []
        pads: list[int] = []
        for axis, (start, stop) in enumerate(own):
            first = start * layer.stride[axis] - layer.padding[axis]
            last = (stop - 1) * layer.stride[axis] - layer.padding[axis]
            last += layer.dilation[axis] * (layer.kernel[axis] - 1) + 1
            low, high = max(first, 0), min(last, clean.shape[2 + axis])
            spans.append((low, high))
            pads = [low - first, last - high, *pads]  # the last dimension comes first
        (up, down), (left, right) = spans
        patch = clean[:, :, up:down, left:right].clone()
        places, cuts = [], []
        for (low, high), (start, stop) in zip(spans, at, strict=True):
            first, last = max(low, start), max(low, start, min(high, stop))
            places.append(slice(first - low, last - low))
            cuts.append(slice(first - start, last - start))
        patch[:, :, places[0], places[1]] = window[:, :, cuts[0], cuts[1]]
        if any(pads):
            patch = F.pad(patch, pads, value=layer.fill)
        return patch[:, :, :: layer.step, :: layer.step] if layer.step > 1 else patch


def same(found: Tensor, whole: Tensor) -> bool:
    """Equal but for rounding; NaN is not."""
    return found.shape == whole.shape and torch.allclose(found, whole, rtol=1e-3, atol=1e-4 * float(whole.abs().max()))


def equal_outside(before: Tensor, after: Tensor, box: Box) -> bool:
    """Whether two of the network's inputs (B, C, H, W) are equal but for a box: so a preprocess treats pixels alone."""
    if before.shape != after.shape:
        return False
    left, top, right, bottom = box
    outside = torch.ones(before.shape[2:], dtype=torch.bool, device=before.device)
    outside[top:bottom, left:right] = False
    return torch.equal(before[:, :, outside], after[:, :, outside])
