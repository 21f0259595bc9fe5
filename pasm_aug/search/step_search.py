"""One batch of the adversary inside the training step: candidates, queries, the square that is erased."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pasm_aug.core.checks import check_probability, check_size, check_size_range
from pasm_aug.core.errors import UserError
from pasm_aug.search.adversary import Network, Squares, choose
from pasm_aug.search.fills import FILLS, corner_fills, fills_of
from pasm_aug.search.in_step import rectangle_sides, square_sides
from pasm_aug.search.place_table import Memory, PlaceTable

OBJECTIVES = ("patch", "true_prob")
HARDNESS = ("worst", "drawn")
_OWN_DRAWS = 3  # of each image: whether to erase, its size, which of those tried; behind them three a place


@dataclass(frozen=True)
class StepOptions:
    """Options of :class:`~pasm_aug.search.online.OnlineAdversarialErase`, which explains them."""

    size: float | int
    size_range: Sequence[float] | None
    scale: Sequence[float] | None
    ratio: Sequence[float]
    value: str | float | Sequence[float]
    budget: int
    objective: str
    p: float
    hardness: str | float
    fresh: bool | None
    seed: int

    def __post_init__(self) -> None:
        if isinstance(self.budget, bool) or not isinstance(self.budget, int) or self.budget < 0:
            raise UserError(f"budget must be a number of queries, 0 or more, got {self.budget!r}")
        if self.objective not in OBJECTIVES:
            raise UserError(f"objective must be one of {', '.join(OBJECTIVES)}, got {self.objective!r}")
        if self.hardness not in HARDNESS and not (isinstance(self.hardness, float) and 0 < self.hardness < 1):
            raise UserError(f"hardness must be worst, drawn or a probability in (0, 1), got {self.hardness!r}")
        if isinstance(self.value, str) and self.value not in FILLS:
            raise UserError(f"value must be one of {', '.join(FILLS)} or numbers, got {self.value!r}")
        own: dict[str, Any] = {"size": check_size("size", self.size), "p": check_probability(self.p)}
        if self.size_range is not None:
            own["size_range"] = check_size_range(self.size_range)
        for name, value in own.items():  # numpy's numbers are Python's from here on
            object.__setattr__(self, name, value)
        if self.scale is not None and not (_is_pair(self.scale) and 0 < self.scale[0] <= self.scale[1] <= 1):
            raise UserError(f"scale must be two shares of the area in (0, 1], low first, got {self.scale!r}")
        if not (_is_pair(self.ratio) and 0 < self.ratio[0] <= self.ratio[1]):
            raise UserError(f"ratio must be two positive numbers, low first, got {self.ratio!r}")

    @property
    def places(self) -> int:
        """Candidates of an image."""
        return max(1, self.budget)

    @property
    def again(self) -> int:
        """How many of the places tried, the worst, are tried again in the next epoch; the others follow a gradient."""
        return self.budget // 2

    @property
    def averages(self) -> bool:
        """Whether the gradients of several epochs are averaged.

        Where nothing is tried, they find the hard place far more often than one. Where some are tried, they do too, but
        students learned less from it (benchmarks/README.md): the same few squares came again and again.
        """
        return self.budget == 0

    def takes_gradient(self, index: Tensor | None) -> bool:
        """Whether the search takes a gradient of its own."""
        return index is None if self.fresh is None else self.fresh

    def asks(self, index: Tensor | None) -> bool:
        """Whether the network is asked anything."""
        return self.budget > 0 or self.takes_gradient(index)

    @property
    def draws(self) -> int:
        """Random numbers of an image."""
        return _OWN_DRAWS + 3 * self.places + 1  # the last: its ratio


@dataclass
class Batch:
    """Images that are all erased.

    Attributes:
        images: (B, C, H, W). labels: (B,) int64. index: (B,) int64 of the samples, or ``None``. keys: (B,) int64, names
            of the images. draws: (B, D) in [0, 1). others: (B, C, H, W), another image of each, where they are the
            fill; else ``None``.
    """

    images: Tensor
    labels: Tensor
    index: Tensor | None
    keys: Tensor
    draws: Tensor
    others: Tensor | None

    def rows(self, kept: Tensor) -> Batch:
        """Some of them."""
        parts: dict[str, Any] = {name: part if part is None else part[kept] for name, part in vars(self).items()}
        return Batch(**parts)


@dataclass
class Found:
    """What a search found.

    Attributes:
        erased: (B, C, H, W). area: pixels of all squares. squares: of what was tried. worst: (B, …, 3) places that are
            tried again. maps: (B, F, 12, 12) effects of the epochs before; ``None`` without an index.
    """

    erased: Tensor
    area: Tensor
    squares: Squares
    worst: Tensor
    maps: Tensor | None


def _is_pair(value: object) -> bool:
    return isinstance(value, Sequence) and len(value) == 2


def search_step(options: StepOptions, network: Network, batch: Batch, table: PlaceTable, seed: int) -> Found:
    """Find and erase the squares of a batch, and note in ``table`` which places are tried again.

    Args:
        seed: of random fills, with the images' keys.
    """
    images, shorter = batch.images, min(batch.images.shape[-2:])
    sides = square_sides(options.size, options.size_range, batch.draws[:, 1], shorter)
    if options.scale is not None:
        sides = rectangle_sides(options.scale, options.ratio, batch.draws[:, [1, -1]], *images.shape[-2:])
    fill = fills_of(images, options.value, batch.keys, seed) if batch.others is None else batch.others[:, None]
    shown = tried = Squares(images, batch.labels, fill, sides)
    if options.objective == "true_prob":
        tried = Squares(images, batch.labels, corner_fills(images), torch.ones_like(sides))
    fills = tried.fills.shape[1] if options.averages else 0
    memory = None if batch.index is None else table.recall(batch.index, images, fills)
    places = _candidates(options, network, tried, batch, memory)
    chosen, worst = places[:, :1], places[:, :0]
    if options.budget:
        losses = tried.losses(network, places)
        chosen = _taken(places, choose(losses, options.hardness, batch.draws[:, 2])[:, None])
        worst = _taken(places, losses.argsort(dim=1, descending=True, stable=True))[:, : options.again]
    if options.budget and batch.index is not None and memory is not None:
        room = options.places - worst.shape[1]
        table.keep(batch.index, images, F.pad(worst, (0, 0, 0, room), value=-1), memory.maps)
    if tried is not shown and options.value != "point":
        chosen = F.pad(chosen[..., 1:], (1, 0))  # the pixel's colour is not what fills the square
    with torch.set_grad_enabled(images.requires_grad):
        erased = shown.filled(chosen)[:, 0]
    return Found(erased, sides.prod(1).sum(), tried, worst, None if memory is None else memory.maps)


def _candidates(options: StepOptions, network: Network, tried: Squares, batch: Batch, memory: Memory | None) -> Tensor:
    """(B, K, 3) places to try: remembered, of a gradient, or random ones."""
    height, width = tried.images.shape[-2:]
    own = batch.draws[:, _OWN_DRAWS:-1].unflatten(1, (options.places, 3))
    ends = (tried.fills.shape[1], 2 * height, 2 * width)
    places = torch.stack([(own[..., axis] * end).long() for axis, end in enumerate(ends)], -1)
    again = 0
    if memory is not None:
        places, again = torch.where(memory.places >= 0, memory.places, places), options.again
    if options.takes_gradient(batch.index):
        fill = tried.images.float().mean((2, 3), keepdim=True).to(tried.images.dtype)
        effects = tried.effects(network, network.gradient(tried.images, tried.labels, fill))
        hints = tried.hints(effects, options.places - again, places[:, :again])
        places = torch.cat([places[:, :again], hints], 1)
    return places


def _taken(places: Tensor, order: Tensor) -> Tensor:
    """(B, N, 3): places (B, K, 3) in the order (B, N)."""
    return places.gather(1, order[..., None].expand(-1, -1, 3))
