"""The adversary inside the training step: for each image the square that hurts the network as it is now.

The paper mines with a finished teacher, in a pass of its own, and names a real-time attack as its first open problem
(section V). Here the first-order effect of every square, box sums of *input gradient × (fill - image)*, ranks all
places at once, and a few of the best, spread, are tried exactly. Adversarial training against rectangles (Wu, Tong and
Vorobeychik, ICLR 2020) searches the same places exhaustively, or by gradients at full cost.

Where samples have an index, the gradient is that of the training step itself: each step leaves behind, for the next
epoch, where its gradient points to and what its queries found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from typing import Any

import PIL.Image
import torch
from torch import Tensor, nn

from pasm_aug.core.errors import UserError
from pasm_aug.core.keyed_draws import content_keys, keyed_uniform
from pasm_aug.core.rng import derive_seed
from pasm_aug.search.adversary import Network, Squares
from pasm_aug.search.fills import other_images
from pasm_aug.search.in_step import check_batch, check_index, check_model, check_where, undisturbed
from pasm_aug.search.network_input import Preprocess
from pasm_aug.search.place_table import PlaceTable
from pasm_aug.search.step_search import Batch, StepOptions, search_step


@dataclass
class _Erased:
    """What was erased last, for the gradient that comes in the backward pass.

    Attributes:
        kept: (B',) which images of the batch were erased; ``None``: all. index: (B',) of the samples.
        network: that was searched. squares: what was tried. worst: (B', …, 3) places that are tried again.
        maps: (B', F, 12, 12) effects of the epochs before.
    """

    kept: Tensor | None
    index: Tensor
    network: Network
    squares: Squares
    worst: Tensor
    maps: Tensor


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
        scale (pair of floats, optional): rectangles instead of squares, with the distribution of torchvision's
            RandomErasing: share of the image's area (there (0.02, 0.33)); one that would not fit is cut.
        ratio (pair of floats): height by width of such rectangles.
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
            Floating images are the network's input as they are, and then it must be left out.
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
        scale: Sequence[float] | None = None,
        ratio: Sequence[float] = (0.3, 3.3),
        value: str | float | Sequence[float] = "mean",
        budget: int = 4,
        objective: str = "patch",
        p: float = 1.0,
        hardness: str | float = "worst",
        fresh: bool | None = None,
        preprocess: Preprocess | None = None,
        seed: int = 0,
    ) -> None:
        self.options = StepOptions(size, size_range, scale, ratio, value, budget, objective, p, hardness, fresh, seed)
        self.model, self.preprocess = None if model is None else check_model(model), preprocess
        self.table = PlaceTable(self.options.places)
        self.epoch: int | None = None
        self.calls = 0
        self.area = torch.zeros(2, dtype=torch.float64)  # pixels erased and seen by the last call
        self._last: _Erased | None = None

    def set_epoch(self, epoch: int) -> None:
        """Draw by (seed, ``epoch``, sample) from now on, as a ``DistributedSampler`` does; else calls are counted."""
        self.epoch = epoch

    def __call__(
        self,
        images: Tensor,
        labels: Tensor,
        *,
        index: Tensor | Sequence[int] | None = None,
        where: Tensor | Sequence[bool] | None = None,
    ) -> Tensor:
        """Erase.

        Args:
            images: (B, C, H, W) uint8 or floating, where the network lies. labels: (B,) integers.
            index: (B,) integers ≥ 0 that name the samples in every epoch, or (B, 2) as an ``IndexedDataset`` gives; on
                the CPU, so that nobody waits for a GPU. Memory follows the largest.
            where: (B,) bool: which images may be erased; ``None``: all.

        Returns:
            Tensor like ``images``, which stay as they are. A gradient that they ask for passes outside the square.

        Raises:
            TypeError, ValueError: images, labels, index or where of a wrong type, shape or range; no model; no
                preprocess, or one though the images are floating.
        """
        model, options = check_batch(images, labels, self.model, self.preprocess), self.options
        if torch.is_inference_mode_enabled():  # as where Lightning validates: its tensors can be no part of a gradient
            with torch.inference_mode(False), torch.no_grad():
                return self(images.clone(), labels.clone(), index=index, where=where)
        self.calls, self._last = self.calls + 1, None
        rows = None if index is None else check_index(index, len(images))
        if rows is not None:
            self.reserve(int(rows.max()) + 1 if len(rows) else 0)
            rows = rows.to(images.device, torch.int64, non_blocking=True)
        keys = content_keys(images) if rows is None else rows
        seed = derive_seed(options.seed, self.calls if self.epoch is None else self.epoch)
        draws = keyed_uniform(keys, options.draws, seed)
        images = images if torch.is_grad_enabled() else images.detach()
        others = other_images(images.detach(), keys) if options.value == "image" and len(images) else None
        batch = Batch(images, labels.to(images.device, torch.int64), rows, keys, draws, others)
        may = None if options.p == 1 else draws[:, 0] < options.p
        if where is not None:
            allowed = check_where(where, images)
            may = allowed if may is None else may & allowed
        kept = None if may is None else may.nonzero()[:, 0]
        batch = batch if kept is None else batch.rows(kept)
        self.area = torch.zeros(2, dtype=torch.float64, device=images.device)
        self.area[1] = len(images) * images.shape[-1] * images.shape[-2]
        if not len(batch.images):
            return images.clone()
        network = Network(model, self.preprocess, images)
        with torch.no_grad(), undisturbed(model, images.device) if options.asks(rows) else nullcontext():
            found = search_step(options, network, batch, self.table, seed)
        self.area[0] = found.area
        erased = found.erased if kept is None else images.index_copy(0, kept, found.erased)
        if batch.index is not None and found.maps is not None:
            self._last = _Erased(kept, batch.index, network, found.squares, found.worst, found.maps)
            if erased.is_floating_point() and torch.is_grad_enabled():
                return self.watch(erased)
        return erased

    def watch(self, inputs: Tensor) -> Tensor:
        """Read the gradient of ``inputs``, the network's input made of the images that the last call returned.

        It asks for a gradient from now on, and the backward pass leaves behind where squares of these samples would
        hurt: the candidates of the next epoch.

        Returns:
            Tensor: the same input, for the network; no leaf, so that one that begins in place may have it.
        """
        last = self._last
        if last is None:
            return inputs
        inputs.requires_grad_()
        inputs.register_hook(lambda gradient: self._observe(last, gradient))
        return inputs.clone()

    def _observe(self, last: _Erased, gradient: Tensor) -> None:
        """Take the candidates of the next epoch from the gradient of this one's step."""
        squares = last.squares
        with torch.no_grad():
            gradient = gradient if last.kept is None else gradient[last.kept]
            room = self.options.places - last.worst.shape[1]
            effects, maps = squares.effects(last.network, gradient), last.maps
            if self.options.averages:
                effects, maps = squares.averaged(effects, maps)
            hints = squares.hints(effects, room, last.worst)
            self.table.keep(last.index, squares.images, torch.cat([last.worst, hints], 1), maps)

    def bound_to(self, model: nn.Module, preprocess: Preprocess, samples: int, seed: int) -> OnlineAdversarialErase:
        """One with the same options and an empty table, for a training of ``model`` on so many samples.

        Args:
            seed: of the training; it counts beside the own one.

        Raises:
            ValueError: it is bound to another network already.
        """
        if self.model is not None and self.model is not model:
            raise UserError("model of OnlineAdversarialErase must be None or the network that is trained, got another")
        own = replace(self.options, seed=derive_seed(self.options.seed, seed))
        bound = type(self)(model, preprocess=self.preprocess or preprocess, **vars(own))
        bound.reserve(samples)
        return bound

    def preview(self, images: Tensor, labels: Tensor, **options: Any) -> PIL.Image.Image:
        """A contact sheet of images, and how this would erase them now; no state changes. The options ``classes``,
        ``draws`` and ``seed``: :func:`~pasm_aug.search.online_preview.online_sheet`."""
        from pasm_aug.search.online_preview import online_sheet  # not for training

        return online_sheet(type(self), self.model, self.options, self.preprocess, images, labels, **options)

    def settings(self) -> dict[str, Any]:
        """Its options but for network and preprocessing."""
        return asdict(self.options)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.settings().items())})"

    def synchronise(self) -> None:
        """Share what the processes of a training have found, each for its own samples, since the last time."""
        self.table.synchronise()

    def reserve(self, samples: int) -> None:
        """Make room for so many samples at once; else the table grows as they come."""
        self.table.reserve(samples)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs to go on: the table of places, and the count of calls."""
        return {**self.table.state_dict(), "calls": torch.tensor(self.calls)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """What :meth:`state_dict` gave. Raises a ValueError for the state of another budget."""
        self.table.load_state_dict(state)
        self.calls = int(state["calls"])
