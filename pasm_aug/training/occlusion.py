"""Accuracy under occlusion: a square at every place of a grid, and the rows of the eyes and of the mouth blacked out.

The share of images that stay right at every place is the accuracy under the attack of Wu, Tong and Vorobeychik,
"Defending against physically realizable attacks on image classification" (ICLR 2020), with squares instead of
rectangles, with fills that are the same for every network instead of optimised ones, and searched exhaustively. The
mean over the places tells what an occlusion costs that nobody chose.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from accelerate.utils import reduce
from torch import Tensor, nn

from pasm_aug.core.errors import UserError
from pasm_aug.core.eval_mode import eval_mode
from pasm_aug.core.image_content import to_uint8_tensor
from pasm_aug.core.items import unpacked
from pasm_aug.core.processes import Device, process_state
from pasm_aug.core.progress import progress_bar
from pasm_aug.models import preprocess_of
from pasm_aug.training.loading import EpochSampler, make_loader
from pasm_aug.training.occluded_network import OccludedNetwork, Part
from pasm_aug.training.occluders import bands_of, squares_of
from pasm_aug.training.occlusion_metrics import BandScores, OcclusionMetrics, square_scores

_READ = 256  # images that are read together: those that worst_only has left of them still fill a forward


def evaluate_occlusion(
    model: nn.Module,
    dataset: Any,
    *,
    sizes: Sequence[float] = (7 / 48, 13 / 48, 19 / 48),
    fills: Sequence[str] = ("black", "mean"),
    places: int = 6,
    stride: float | None = None,
    bands: bool = True,
    worst_only: bool = False,
    windows: bool = True,
    preprocess: Callable[[Tensor], Tensor] | None = None,
    batch_size: int | None = None,
    device: Device | None = None,
    workers: int = 0,
    seed: int = 0,
    progress: bool = False,
) -> OcclusionMetrics:
    """Score ``model`` on ``dataset`` with a part of every image hidden, sharded over the processes; its mode is kept.

    Squares lie wholly inside the image and are painted into its uint8 pixels, before ``preprocess``. Every image is
    read once for all places. Batch size, workers and processes change nothing but the rounding of the forwards.

    Args:
        dataset: items (image, label), images of one height and width: the deterministic head, without random
            transforms. Not only faces.
        sizes: of the squares: a float is a share of the shorter side, an int pixels.
        fills: "black", "grey" (128), "white", "mean" (the image's own mean colour) or "random" (uniform noise, which
            depends on ``seed``, the sample's index and the square's upper left corner alone; grey on a grey image).
        places: squares in a row and in a column, spread evenly from the upper left corner to the lower right one. A
            size that leaves fewer different places is tried at these.
        stride: from one place to the next instead: an int is pixels, a float a share of the shorter side; the last
            place in a row or column is at the border, however near to the one before.
        bands: also black out the rows of the eyes, and those of the mouth, of an aligned face (:data:`BANDS`).
        worst_only: do not try an image again at which the network was wrong once, and give the worst case alone: for a
            fraction of the forwards.
        windows: on a CPU, recompute of the network only what a square reaches, if torch.fx can follow it (which is
            tried out): the same logits but for rounding, for half the time or two thirds of it.
        preprocess: uint8 (B, C, H, W) → network input; default the model's own ``.preprocess``.
        batch_size: images a forward; default 256, and 128 on a CPU, whose caches hold no more.
        seed: of the "random" fill. progress: show a bar.

    Returns:
        :class:`OcclusionMetrics`: for each size and fill the mean and the worst case, by place, class and image; with
        the accuracy on the images as they are.

    Raises:
        ValueError: sizes, fills, places or a stride that cannot be, an empty data set, images of several sizes, labels
            without an output.
        TypeError: a size or a stride that is no number.
    """
    if not len(dataset):
        raise UserError("dataset must not be empty")
    height, width = to_uint8_tensor(unpacked(dataset[0])[0]).shape[1:]
    squares = squares_of(sizes, fills, places, stride, height=height, width=width)
    hidden = bands_of(height, width) if bands else {}
    state, length = process_state(device), len(dataset)
    rank, world = state.process_index, state.num_processes
    at_once = batch_size or (128 if state.device.type == "cpu" else 256)
    network = OccludedNetwork(model.to(state.device), preprocess_of(model, preprocess), at_once, seed)
    if isinstance(network.preprocess, nn.Module):
        network.preprocess = network.preprocess.to(state.device)
    together = max(at_once, _READ) if worst_only else at_once
    sampler = EpochSampler(length, together * world, shuffle=False, rank=rank, world=world)
    loader = make_loader(dataset, sampler, workers=workers)

    def zeros(*shape: int, dtype: torch.dtype = torch.uint8) -> Tensor:
        return torch.zeros(shape, dtype=dtype, device=state.device)

    # Each process fills in what it saw, so that the sum over the processes is the whole.
    labels, told = zeros(length, dtype=torch.int64), zeros(world, 2, dtype=torch.int64)
    clean, banded = zeros(length), [zeros(length) for _ in hidden]
    right = [zeros(length, square.places) for square in squares]
    bar = progress_bar(
        total=(1 + len(hidden) + sum(square.places for square in squares)) * length,
        name="occluding",
        shown=progress and state.is_main_process,
    )
    with bar, torch.no_grad(), eval_mode(model):
        for number, (batch, (images, target)) in enumerate(zip(sampler, loader, strict=True)):
            if images.shape[2:] != (height, width):
                got = f"{height}×{width} and {images.shape[2]}×{images.shape[3]}"
                raise UserError(f"images must have one size, got {got}: resize them in the data set's transform")
            step, index = sampler.size(number), torch.tensor([index for _, index in batch], device=state.device)
            part = Part(images.to(state.device), target.to(state.device), index)
            every = torch.arange(len(index), device=state.device)
            labels[index], clean[index] = part.labels, network.right(part, every)
            bar.update(step)
            for row, box in zip(banded, hidden.values(), strict=True):
                row[index] = network.right(part, every, box)
                bar.update(step)
            if windows and not worst_only and state.device.type == "cpu":
                network.follow(part, squares)
            for square, table in zip(squares, right, strict=True):
                left = every
                for place, box in square.boxes(centre_first=worst_only):  # things stand there: soon wrong
                    found = network.right(part, left, box, square.fill)
                    table[index[left], place] = found
                    left = left[found.bool()] if worst_only else left
                    bar.update(step)
    told[rank, 0], told[rank, 1] = network.classes, network.forwards
    known, seen, unhidden = (reduce(each, "sum").cpu().numpy() for each in (labels, told, clean))
    whole = [reduce(each, "sum").cpu().numpy().astype(bool) for each in (*banded, *right)]
    classes = int(seen[:, 0].max())  # a process without images has seen no outputs
    return OcclusionMetrics(
        clean=float(unhidden.mean()),
        clean_right=unhidden.astype(bool),
        labels=known,
        squares=tuple(
            square_scores(square, table, known, classes, complete=not worst_only)
            for square, table in zip(squares, whole[len(hidden) :], strict=True)
        ),
        bands={
            name: BandScores(box[1], box[3], float(row.mean()), row)
            for (name, box), row in zip(hidden.items(), whole, strict=False)
        },
        size=(height, width),
        classes=classes,
        forwards=int(seen[:, 1].sum()),
    )
