"""Rectangular occlusion attacks in the training step, as a reference (Wu, Tong and Vorobeychik, ICLR 2020).

Their attack has two parts, here as the paper describes them in sections 4.1 and 4.2: a grey square finds its place,
either by trying every place of a grid or by trying the places of the largest input gradient; then projected gradient
ascent writes into that square what raises the loss most.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pasm_aug import OnlineAdversarialErase
from pasm_aug.core.networks import take_logits
from pasm_aug.search.adversary import Network, Squares
from pasm_aug.search.in_step import undisturbed

GREY = 127.5
BATCH = 32  # places tried in one forward of a CPU


class RectangularOcclusion(OnlineAdversarialErase):
    """``erase(images, labels)``: the attack against the network as it is now.

    Args:
        model, preprocess: as the other adversary has them; the images are uint8 (B, C, H, W).
        side: of the square, pixels.
        candidates: places of the largest gradient that are tried; ``None``: all of a grid of ``stride``.
        stride: of the exhaustive grid, pixels.
        ascents: steps of projected gradient ascent inside the square; 0: it stays grey.
        rate: of a step, grey levels.
    """

    def __init__(
        self,
        model: nn.Module | None = None,
        *,
        preprocess: Any = None,
        side: int = 13,
        candidates: int | None = 8,
        stride: int = 5,
        ascents: int = 5,
        rate: float = 32.0,
    ) -> None:
        super().__init__(model, size=side, value=GREY, budget=0, fresh=True, preprocess=preprocess)
        self.attack = {"side": side, "candidates": candidates, "stride": stride, "ascents": ascents, "rate": rate}

    def bound_to(self, model: nn.Module, preprocess: Any, samples: int, seed: int) -> RectangularOcclusion:
        return RectangularOcclusion(model, preprocess=self.preprocess or preprocess, **self.attack)  # nothing is drawn

    def __call__(
        self,
        images: Tensor,
        labels: Tensor,
        *,
        index: Tensor | Sequence[int] | None = None,
        where: Tensor | None = None,
    ) -> Tensor:
        assert self.model is not None
        side, network = self.attack["side"], Network(self.model, self.preprocess, images)
        grey = torch.full((len(images), 1, images.shape[1], 1, 1), round(GREY), dtype=torch.uint8)
        squares = Squares(images, labels, grey, torch.full((len(images), 2), side))
        self.area = torch.tensor([float(len(images) * side**2), float(images[:, 0].numel())], dtype=torch.float64)
        with undisturbed(self.model, images.device):
            places = self._by_gradient(network, squares) if self.attack["candidates"] else self._grid(images)
            with torch.no_grad():
                losses = [squares.losses(network, part) for part in places.split(BATCH, dim=1)]
            worst = torch.cat(losses, 1).argmax(1)
            place = places.gather(1, worst[:, None, None].expand(-1, 1, 3))
            return self._ascended(network, squares, place)

    def _grid(self, images: Tensor) -> Tensor:
        """(B, K, 3): every place of the grid."""
        side, stride = self.attack["side"], self.attack["stride"]
        height, width = images.shape[-2:]
        rows, columns = (torch.arange(0, length - side + 1, stride) for length in (height, width))
        corners = torch.cartesian_prod(torch.zeros(1, dtype=torch.int64), 2 * rows + side, 2 * columns + side)
        return corners.expand(len(images), -1, -1)

    def _by_gradient(self, network: Network, squares: Squares) -> Tensor:
        """(B, K, 3): where the squared gradient, summed over the square, is largest."""
        side = self.attack["side"]
        inputs = network.to_input(squares.images).requires_grad_()
        sums = F.avg_pool2d(_gradient(network, inputs, squares.labels).square().sum(1, keepdim=True), side, 1)
        return squares.hints(F.pad(sums, (0, side - 1, 0, side - 1), value=-torch.inf), self.attack["candidates"])

    def _ascended(self, network: Network, squares: Squares, place: Tensor) -> Tensor:
        """(B, C, H, W) uint8: the square at ``place`` (B, 1, 3), written by signed steps up the loss."""
        erased = squares.filled(place)[:, 0]
        if not self.attack["ascents"]:
            return erased
        top, left = (part[:, :, None] for part in squares.corners(place))
        y, x = torch.arange(erased.shape[2])[None, :, None], torch.arange(erased.shape[3])[None, None]
        side = self.attack["side"]
        inside = ((y >= top) & (y < top + side) & (x >= left) & (x < left + side))[:, None]
        low, high = (network.to_input(torch.full_like(erased, level)) for level in (0, 255))
        inputs = network.to_input(erased)
        for _ in range(self.attack["ascents"]):
            inputs = inputs.detach().requires_grad_()
            step = _gradient(network, inputs, squares.labels).sign() * (high - low) * (self.attack["rate"] / 255)
            inputs = torch.where(inside, (inputs + step).clamp(low, high), inputs)
        levels = ((inputs.detach() - low) / (high - low) * 255).round().to(torch.uint8)
        return torch.where(inside, levels, erased)


def _gradient(network: Network, inputs: Tensor, labels: Tensor) -> Tensor:
    with torch.enable_grad():
        loss = F.cross_entropy(take_logits(network.model(inputs)), labels, reduction="sum")
        return torch.autograd.grad(loss, inputs)[0]
