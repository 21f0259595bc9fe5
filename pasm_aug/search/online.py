"""The adversary inside the training step: for each image the square that hurts the network as it is now.

The paper mines with a finished teacher, in a pass of its own, and names a real-time attack as its first open problem
(section V). Here the first-order effect of every square, box sums of *input gradient × (fill - image)*, ranks all
places at once, and a few of the best, spread, are tried exactly. Adversarial training against rectangles (Wu, Tong and
Vorobeychik, ICLR 2020) searches the same places exhaustively, or by gradients at full cost.

Where samples have an index, the gradient is that of the training step itself: each step leaves behind, for the next
epoch, where its gradient points to and what its queries found.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pasm_aug.core.checks import check_probability, check_size, check_size_range
from pasm_aug.core.errors import UserError
from pasm_aug.core.eval_mode import eval_mode
from pasm_aug.core.geometry import side_in_pixels
from pasm_aug.core.keyed_draws import content_keys, keyed_uniform
from pasm_aug.core.rng import derive_seed
from pasm_aug.search.adversary import Network, Squares, choose
from pasm_aug.search.fills import FILLS, corner_fills, fills_of
from pasm_aug.search.network_input import Preprocess
from pasm_aug.search.place_table import PlaceTable

OBJECTIVES = ("patch", "true_prob")
HARDNESS = ("worst", "drawn")
SETTINGS = ("size", "size_range", "value", "budget", "objective", "p", "hardness", "fresh", "seed")
_OWN_DRAWS = 3  # of each image: whether to erase, its size, which of those tried; behind them three a place


@dataclass
class _Erased:
    """What was erased last, for the gradient that comes in the backward pass.

    Attributes:
        kept: (B',) which images of the batch were erased; ``None``: all. index: (B',) of the samples.
        squares: of them. worst: (B', …, 3) places that queries found.
    """

    kept: Tensor | None
    index: Tensor
    squares: Squares
    worst: Tensor


class OnlineAdversarialErase:
    """Erase in each image of a batch the square that hurts a network now; called in the training loop.

    ``erase(images, labels)`` costs three forwards for a gradient of its own and ``budget`` forwards for its queries.
    ``erase(images, labels, index=index)`` takes the gradient from the training step instead, of the epoch before, and
    costs ``budget`` forwards; so do floating images, whose gradient it sees in the backward pass, and after
    :meth:`watch` uint8 ones.

    Args:
        model (nn.Module, optional): the network that is trained, (B, …) → logits (B, classes), also wrapped by
            DistributedDataParallel, accelerate or ``torch.compile``. :func:`~pasm_aug.training.trainer.train` fills in
            the one that it trains.
        size (float or int): side of the square: a float is a share of the image's shorter side, an int is pixels.
        size_range (pair of these, optional): (low, high), drawn uniformly for each image; replaces ``size``.
        value (str, number or sequence): what fills it: ``"mean"`` of the image, ``"random"`` noise, ``"image"``: the
            same square of another image of the batch, ``"point"``: of black, white and the colours between two
            extremes the one that hurts most, or numbers in the images' own range.
        budget (int): squares that are tried exactly, one forward each; 0: the first-order best is taken untried.
        objective (str): ``"patch"``: the square that lowers the true class's probability most; ``"true_prob"``: the
            pixel that does (the paper, Eq. 2), and the square around it.
        p (float): probability that an image is erased.
        hardness (str or float): which of the tried squares is erased: the ``"worst"``; one ``"drawn"`` in proportion to
            the loss under it; or the first that takes the true class's probability below a number.
        fresh (bool, optional): a gradient of its own, at three forwards; ``None``: where samples have no index.
        preprocess (callable, optional): uint8 (B, C, H, W) → the network's input; default ``model.preprocess``.
            Floating images are the network's input as they are.
        seed (int): of everything random, with the epoch and the sample's index (without one, its content).

    Raises:
        TypeError, ValueError: an argument of a wrong type or out of its range.
    """

    in_step = True  # it needs the network: no transform of a loader

    def __init__(
        self,
        model: nn.Module | None = None,
        *,
        size: float | int = 13 / 48,
        size_range: Sequence[float] | None = None,
        value: str | float | Sequence[float] = "mean",
        budget: int = 4,
        objective: str = "patch",
        p: float = 1.0,
        hardness: str | float = "worst",
        fresh: bool | None = None,
        preprocess: Preprocess | None = None,
        seed: int = 0,
    ) -> None:
        if isinstance(budget, bool) or not isinstance(budget, int) or budget < 0:
            raise UserError(f"budget must be a number of queries, 0 or more, got {budget!r}")
        if objective not in OBJECTIVES:
            raise UserError(f"objective must be one of {', '.join(OBJECTIVES)}, got {objective!r}")
        if hardness not in HARDNESS and not (isinstance(hardness, float) and 0 < hardness < 1):
            raise UserError(f"hardness must be worst, drawn or a probability in (0, 1), got {hardness!r}")
        if isinstance(value, str) and value not in FILLS:
            raise UserError(f"value must be one of {', '.join(FILLS)} or numbers, got {value!r}")
        self.model, self.preprocess, self.seed = model, preprocess, seed
        self.size, self.p = check_size("size", size), check_probability(p)
        self.size_range = None if size_range is None else check_size_range(size_range)
        self.value, self.budget, self.objective = value, budget, objective
        self.hardness, self.fresh = hardness, fresh
        self.table = PlaceTable(max(1, budget))
        self.again = budget // 2  # of the places tried, the worst are tried again in the next epoch
        self.epoch: int | None = None
        self.calls = 0
        self.area = torch.zeros(2, dtype=torch.float64)  # pixels erased and seen by the last call
        self._last: _Erased | None = None

    def set_epoch(self, epoch: int) -> None:
        """Draw by (seed, ``epoch``, sample) from now on, as a ``DistributedSampler`` does; else calls are counted."""
        self.epoch = epoch

    def __call__(self, images: Tensor, labels: Tensor, *, index: Tensor | Sequence[int] | None = None) -> Tensor:
        """Erase.

        Args:
            images: (B, C, H, W) uint8 or floating, where the network lies. labels: (B,) integers.
            index: (B,) integers ≥ 0 that name the samples in every epoch; on the CPU, so that nobody waits for a GPU.

        Returns:
            Tensor like ``images``, which stay as they are.

        Raises:
            TypeError, ValueError: images, labels or index of a wrong type, shape or range; no model; no preprocess.
        """
        model = _check(images, labels, self.model)
        self.calls, self._last = self.calls + 1, None
        rows = None if index is None else torch.as_tensor(index)
        if rows is not None:
            _check_index(rows, len(images))
            self.reserve(int(rows.max()) + 1 if len(rows) else 0, images.device)
            rows = rows.to(images.device, torch.int64, non_blocking=True)
        self.area = torch.zeros(2, dtype=torch.float64, device=images.device)
        self.area[1] = len(images) * images.shape[-1] * images.shape[-2]
        keys = content_keys(images) if rows is None else rows
        seed = derive_seed(self.seed, self.calls if self.epoch is None else self.epoch)
        draws = keyed_uniform(keys, _OWN_DRAWS + 3 * self.table.count, seed)
        labels = labels.to(images.device, torch.int64)
        kept = None if self.p == 1 else (draws[:, 0] < self.p).nonzero()[:, 0]
        if kept is None:
            erased = self._erased(model, images, labels, rows, keys, draws, seed, None)
        else:
            erased = images.clone()
            if len(kept):
                part = (images[kept], labels[kept], None if rows is None else rows[kept], keys[kept], draws[kept])
                erased[kept] = self._erased(model, *part, seed, kept)
        if rows is None or not erased.is_floating_point() or not torch.is_grad_enabled():
            return erased
        self.watch(erased)
        return erased.clone()  # no leaf: what works in place may follow

    def watch(self, inputs: Tensor) -> None:
        """Read the gradient of ``inputs``, the network's input made of the images that the last call returned.

        It asks for a gradient from now on, and the backward pass leaves behind where squares of these samples would
        hurt: the candidates of the next epoch.
        """
        last = self._last
        if last is not None:
            inputs.requires_grad_()
            inputs.register_hook(lambda gradient: self._observe(last, gradient))

    def _observe(self, last: _Erased, gradient: Tensor) -> None:
        """Take the candidates of the next epoch from the gradient of this one's step."""
        squares, network = last.squares, Network(self._model(), self.preprocess, last.squares.images)
        with torch.no_grad(), _undisturbed(network.model, gradient.device):
            gradient = gradient if last.kept is None else gradient[last.kept]
            room = self.table.count - last.worst.shape[1]
            hints = squares.hints(squares.effects(network, gradient), room, last.worst)
            self.table.keep(last.index, squares.images, torch.cat([last.worst, hints], 1))

    def _erased(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor,
        rows: Tensor | None,
        keys: Tensor,
        draws: Tensor,
        seed: int,
        kept: Tensor | None,
    ) -> Tensor:
        """Images (B, C, H, W), all of which are erased."""
        network = Network(model, self.preprocess, images)
        sides = self._sides(draws[:, 1], min(images.shape[-2:]))
        fills = fills_of(images, self.value, keys, seed)
        shown = Squares(images, labels, fills, sides)
        pixel = self.objective == "true_prob"
        tried = Squares(images, labels, corner_fills(images), torch.ones_like(sides)) if pixel else shown
        with torch.no_grad(), _undisturbed(model, images.device):
            places = self._candidates(network, tried, rows, draws)
            best = torch.zeros(len(images), dtype=torch.int64, device=images.device)
            if self.budget:
                losses = tried.losses(network, places)
                best = choose(losses, self.hardness, draws[:, 2])
                order = losses.argsort(dim=1, descending=True, stable=True)
                places_by_loss = places.gather(1, order[..., None].expand(-1, -1, 3))
            worst = places_by_loss[:, : self.again] if self.budget else places[:, :0]
            if rows is not None:
                self._last = _Erased(kept, rows, tried, worst)
                self.table.keep(rows, images, _padded(worst, self.table.count))
            at = places.gather(1, best[:, None, None].expand(-1, 1, 3))
            if pixel and self.value != "point":
                at = at * torch.tensor([0, 1, 1], device=at.device)
            self.area[0] = (shown.sides**2).sum()
            return shown.filled(at)[:, 0]

    def _candidates(self, network: Network, tried: Squares, rows: Tensor | None, draws: Tensor) -> Tensor:
        """(B, K, 3) places to try: remembered, of a gradient, or random ones."""
        count, (height, width) = self.table.count, tried.images.shape[-2:]
        own = draws[:, _OWN_DRAWS:].view(-1, count, 3)
        scale = torch.tensor([tried.fills.shape[1], 2 * height, 2 * width], device=own.device)
        places = (own * scale).long()
        remembered = None if rows is None else self.table.recall(rows, tried.images)
        if remembered is not None:
            places = torch.where(remembered >= 0, remembered, places)
        if self.fresh or (self.fresh is None and rows is None):
            fill = tried.images.float().mean((2, 3), keepdim=True).to(tried.images.dtype)
            gradient = network.gradient(tried.images, tried.labels, fill)
            worst = places[:, : self.again if rows is not None else 0]
            hints = tried.hints(tried.effects(network, gradient), count - worst.shape[1], worst)
            places = torch.cat([worst, hints], 1)
        return places

    def _sides(self, drawn: Tensor, shorter: int) -> Tensor:
        """(B,) int64, from uniform numbers (B,)."""
        if self.size_range is None:
            return torch.full_like(drawn, min(shorter, side_in_pixels(self.size, shorter)), dtype=torch.int64)
        low, high = self.size_range
        if isinstance(low, int):
            return (low + (drawn * (int(high) - low + 1)).long()).clamp(max=shorter)
        return ((low + drawn * (high - low)) * shorter + 0.5).long().clamp(min=1)

    def _model(self) -> nn.Module:
        assert self.model is not None
        return self.model

    def bound_to(self, model: nn.Module, preprocess: Preprocess, samples: int, seed: int) -> OnlineAdversarialErase:
        """One with the same options and an empty table, for a training of ``model`` on so many samples.

        Args:
            seed: of the training; it counts beside the own one.

        Raises:
            ValueError: it is bound to another network already.
        """
        if self.model is not None and self.model is not model:
            raise UserError("model of OnlineAdversarialErase must be None or the network that is trained, got another")
        options = self.settings() | {"seed": derive_seed(self.seed, seed)}
        bound = OnlineAdversarialErase(model, preprocess=self.preprocess or preprocess, **options)
        bound.reserve(samples)
        return bound

    def settings(self) -> dict[str, Any]:
        """Its options but for network and preprocessing, as JSON holds them."""
        return {name: getattr(self, name) for name in SETTINGS}

    def synchronise(self) -> None:
        """Share what the processes of a training have found, each for its own samples, since the last time."""
        self.table.synchronise()

    def reserve(self, samples: int, device: torch.device | None = None) -> None:
        """Make room for so many samples at once; else the table grows as they come."""
        self.table.grow(samples, device or self.table.places.device)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs to go on: the table of places, and the count of calls."""
        return {**self.table.state_dict(), "calls": torch.tensor(self.calls)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """What :meth:`state_dict` gave. Raises a ValueError for the state of another budget."""
        self.table.load_state_dict(state)
        self.calls = int(state["calls"])


def _padded(places: Tensor, count: int) -> Tensor:
    """(B, count, 3), -1 where there is no place."""
    return torch.nn.functional.pad(places, (0, 0, 0, count - places.shape[1]), value=-1)


@contextmanager
def _undisturbed(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Evaluation mode, random states put back afterwards, and nothing of autocast left behind."""
    precision = torch.get_autocast_dtype(device.type)
    cast = torch.autocast(device.type, precision, torch.is_autocast_enabled(device.type), cache_enabled=False)
    gpus = [device] if device.type == "cuda" else []
    with eval_mode(model), torch.random.fork_rng(gpus), cast:  # a cast weight cached here would have no gradient
        yield


def _check(images: Tensor, labels: Tensor, model: nn.Module | None) -> nn.Module:
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    if not isinstance(images, Tensor) or not isinstance(labels, Tensor):
        raise TypeError(f"images and labels must be tensors, got {type(images).__name__} and {type(labels).__name__}")
    if images.dtype != torch.uint8 and not images.is_floating_point():
        raise TypeError(f"images must be uint8 or floating, got {images.dtype}")
    if images.ndim != 4 or labels.shape != images.shape[:1]:
        shapes = f"{tuple(images.shape)} and {tuple(labels.shape)}"
        raise UserError(f"images must have shape (B, C, H, W) and labels (B,), got {shapes}")
    if labels.is_floating_point():
        raise TypeError(f"labels must be integers, got {labels.dtype}: erase before labels are mixed")
    return model


def _check_index(index: Tensor, count: int) -> None:
    if index.shape != (count,) or index.is_floating_point():
        raise UserError(f"index must be {count} integers, one for each image, got {tuple(index.shape)} {index.dtype}")
    if count and int(index.min()) < 0:
        raise UserError(f"index must not be negative, got {int(index.min())}")
