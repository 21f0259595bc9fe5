"""The order and the randomness of an epoch, as pure functions of (seed, epoch, sample).

The sampler hands (epoch, index) pairs to the data set, and the data set seeds a forked random state around everything
it does for that item. So worker count, persistent workers, resuming and the number of processes change nothing.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, get_worker_info

from pasm_aug.core.errors import UserError
from pasm_aug.core.image_content import same_channels, to_uint8_tensor
from pasm_aug.core.items import unpacked
from pasm_aug.core.rng import derive_seed
from pasm_aug.training.guards import SharedMemoryError


@contextmanager
def forked_random_state() -> Iterator[Callable[[int], None]]:
    """Hand out a function that seeds torch's, numpy's and Python's global CPU generators; put them back afterwards."""
    generator = torch.default_generator
    states = generator.get_state(), np.random.get_state(), random.getstate()  # noqa: NPY002

    def seed(value: int) -> None:
        generator.manual_seed(value)
        np.random.seed(value & 0xFFFFFFFF)  # noqa: NPY002
        random.seed(value)

    try:
        yield seed
    finally:
        generator.set_state(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        random.setstate(states[2])


class EpochDataset(Dataset):
    """Items (epoch, index) of ``base``, through ``transform`` under a random state of their own.

    Items may be (epoch, index, note); then the transform gets the note too.

    Args:
        base: map-style data set of (image, label).
        transform: called as ``transform(image, label)``; returns one or more images and the label.
        seed: of the run.
        areas: add to each item how many pixels the transform erased of it, and how many it saw.
    """

    def __init__(
        self, base: Dataset, transform: Callable[..., Any] | None = None, *, seed: int = 0, areas: bool = False
    ) -> None:
        self.base, self.transform, self.seed = base, transform, seed
        self.area = transform.erase.erased_area if areas else None  # type: ignore[union-attr]

    def __getitem__(self, item: tuple[int, ...]) -> tuple[Any, ...]:
        return self.__getitems__([item])[0]

    def __getitems__(self, items: Sequence[tuple[int, ...]]) -> list[tuple[Any, ...]]:
        """A batch at once: saving the random states costs more than the transforms, so it is done once for all."""
        samples = []
        with forked_random_state() as seed:
            for epoch, index, *note in items:
                seed(derive_seed(self.seed, epoch, index))
                sample = unpacked(self.base[index])
                before = self.area(here=True) if self.area else ()
                *images, label = sample if self.transform is None else self.transform(*sample, *note)
                area = (now - then for now, then in zip(self.area(here=True) if self.area else (), before, strict=True))
                samples.append((*(to_uint8_tensor(image) for image in images), int(label), *area))
        return samples


class EpochSampler(Sampler):
    """Batches of (epoch, index) pairs of one epoch; this process's slice of each global batch.

    Nothing is padded or repeated. Set ``epoch`` before each epoch, and ``start`` to leave out its first batches. With
    ``notes`` set, (length,) integers, it yields (epoch, index, note): a word to the transform about each sample.

    Args:
        length: of the data set.
        batch_size: of the global batch, over all processes.
        seed: with the ``epoch`` attribute it decides the order, if ``shuffle``.
        weights: (length,) chances; then an epoch is ``length`` draws with replacement.
        least: a last batch that leaves a process with fewer images is left out; 2 for training, because one image has
            no batch statistics.
        rank, world: this process and how many there are.
    """

    def __init__(
        self,
        length: int,
        batch_size: int,
        *,
        seed: int = 0,
        shuffle: bool = True,
        weights: Tensor | None = None,
        least: int = 0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.batch_size, self.seed, self.shuffle, self.weights = batch_size, seed, shuffle, weights
        self.rank, self.world = rank, world
        rest = length % batch_size
        self.length, self.used = length, length - rest if rest < least * world else length
        self.epoch = self.start = 0
        self.notes: Sequence[int] | None = None

    def __len__(self) -> int:
        return -(-self.used // self.batch_size) - self.start

    def size(self, batch: int) -> int:
        """How many images the epoch's batch of that number holds, over all processes."""
        return min(self.batch_size, self.used - batch * self.batch_size)

    def __iter__(self) -> Iterator[list[tuple[int, ...]]]:
        order = np.arange(self.length)
        generator = torch.Generator().manual_seed(derive_seed(self.seed, self.epoch))
        if self.weights is not None:
            order = torch.multinomial(self.weights, self.length, replacement=True, generator=generator).numpy()
        elif self.shuffle:
            order = torch.randperm(self.length, generator=generator).numpy()
        for start in range(self.start * self.batch_size, self.used, self.batch_size):
            batch = order[start : min(start + self.batch_size, self.used)]
            if len(batch) > self.rank:
                own, notes = batch[self.rank :: self.world].tolist(), self.notes
                yield [(self.epoch, i) if notes is None else (self.epoch, i, int(notes[i])) for i in own]


def make_loader(
    dataset: Dataset,
    sampler: EpochSampler,
    transform: Callable[..., Any] | None = None,
    *,
    workers: int = 0,
    areas: bool = False,
) -> DataLoader:
    """A loader of batches: uint8 (B, C, H, W) images, one or two of them, (B,) labels, and ``areas`` if asked."""
    return DataLoader(
        EpochDataset(dataset, transform, seed=sampler.seed, areas=areas),
        batch_sampler=sampler,
        num_workers=workers,
        persistent_workers=workers > 0,
        collate_fn=collate,
        generator=torch.Generator().manual_seed(sampler.seed),  # else each epoch draws from the global one
        pin_memory=torch.cuda.is_available(),
    )


def collate(samples: list[tuple[Any, ...]]) -> tuple[Tensor, ...]:
    """Stack samples of (image, …, label, …): tensors and numbers.

    In a loader worker the batch is put into shared memory here. Left to the thread that sends it, a shared memory that
    is full (64 MB, docker's default) would be noticed by nobody, and the loader would wait for ever.

    Raises:
        ValueError: images of unequal shapes.
        SharedMemoryError: no room for the batch.
    """
    columns = []
    for column in zip(*samples, strict=True):
        if not isinstance(column[0], Tensor):
            columns.append(torch.tensor(column))
            continue
        shapes = {tuple(image.shape) for image in same_channels(column)}
        if len(shapes) > 1:
            raise UserError(
                f"images of a batch must have one shape, got {sorted(shapes)}: resize them in the data set's transform"
            )
        columns.append(torch.stack(same_channels(column)))
    return tuple(map(_shared, columns)) if get_worker_info() else tuple(columns)


def _shared(batch: Tensor) -> Tensor:
    try:
        return batch.share_memory_()
    except RuntimeError as error:
        raise SharedMemoryError(
            f"shared memory has no room for a batch of {batch.nbytes / 1e6:,.0f} MB from a loader worker: use "
            "workers=0 (--workers 0), fewer workers, a smaller batch, or give it more (docker run --shm-size=2g)"
        ) from error
