"""One process's share of a data set while it is mined: read, searched, acknowledged batch by batch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
import torch.distributed
from accelerate import PartialState
from torch.utils.data import DataLoader, Dataset

from pasm_aug.cache.journal import Journal
from pasm_aug.core.errors import UserError
from pasm_aug.core.image_content import as_uint8, content_key, look
from pasm_aug.core.items import class_of, unpacked
from pasm_aug.core.progress import progress_bar
from pasm_aug.search.result import PointResult

Item = tuple[int, np.ndarray, int, int]  # index, uint8 image (C, H, W), label, content key


class KeyedImages(Dataset):
    """The items of a data set, in ``channels`` channels and with their keys, so that loader workers may decode them."""

    def __init__(self, dataset: Any, channels: int) -> None:
        self.dataset, self.channels = dataset, channels

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Item:
        image, label = unpacked(self.dataset[index])[:2]
        array = as_uint8(image)
        if array.shape[0] > self.channels:
            raise UserError(f"item {index} has 3 channels, earlier ones had 1: convert the images to RGB")
        array = np.broadcast_to(array, (self.channels, *array.shape[1:]))
        return index, array, class_of(label, index), content_key(array)


def claimed(length: int, block: int, name: str, state: PartialState) -> Iterator[int]:
    """Indices that this process takes, block by block, so that nobody waits long for the slowest.

    Args:
        name: of the counter that the processes share; one for each time that work is shared out.
    """
    if state.num_processes == 1:
        yield from range(length)
        return
    store = torch.distributed.distributed_c10d._get_default_store()
    while (start := (store.add(name, 1) - 1) * block) < length:
        yield from range(start, min(start + block, length))


def mine_share(
    find: Callable[..., PointResult],
    images: KeyedImages,
    indices: Iterator[int],
    journal: Journal,
    at_once: int,
    done: set[tuple[int, int]],
    *,
    workers: int = 0,
    progress: bool = True,
    watch: Callable[[], None] = lambda: None,
) -> dict[int, tuple[int, int]]:
    """Search the images of ``indices`` that are not ``done`` by ``find``, ``at_once`` together, then call ``watch``.

    Returns:
        (content key, label) of every index.
    """
    identity: dict[int, tuple[int, int]] = {}
    queries, started = 0, time.perf_counter()
    waiting: dict[tuple[int, ...], list[tuple[np.ndarray, int, int]]] = {}
    bar = progress_bar(total=len(images), name="mining", shown=progress)

    def flush(batch: list[tuple[np.ndarray, int, int]]) -> None:
        nonlocal queries
        pixels = torch.from_numpy(np.stack([image for image, _, _ in batch]))
        labels, keys = (np.array([item[i] for item in batch], dtype=np.int64) for i in (1, 2))
        result = find(pixels, labels, keys=keys)
        journal.append(result.to_rows(keys, labels, [look(image) for image, _, _ in batch]))
        queries += int(result.queries.sum())
        bar.update(len(batch))
        bar.set_postfix_str(f"{queries:,} queries, {queries / (time.perf_counter() - started):,.0f}/s")
        batch.clear()
        watch()

    for index, image, label, key in _stream(images, indices, workers):
        identity[index] = key, label
        if (key, label) in done:
            bar.update()
            continue
        done.add((key, label))
        batch = waiting.setdefault(image.shape, [])
        batch.append((image, label, key))
        if sum(map(len, waiting.values())) == at_once:
            flush(max(waiting.values(), key=len))
    for batch in waiting.values():
        if batch:
            flush(batch)
    bar.close()
    return identity


def _stream(images: KeyedImages, indices: Iterator[int], workers: int) -> Iterator[Item]:
    if not workers:
        return (images[index] for index in indices)
    options: dict[str, Any] = {"num_workers": workers, "collate_fn": _as_is, "generator": torch.Generator()}
    return iter(DataLoader(images, batch_size=None, sampler=_Indices(indices), **options))


class _Indices(torch.utils.data.Sampler[int]):
    """Indices as they come."""

    def __init__(self, indices: Iterator[int]) -> None:
        self.indices = indices

    def __iter__(self) -> Iterator[int]:
        return self.indices


def _as_is(item: Any) -> Any:
    return item
