"""All items of a data set in order, decoded by several processes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from pasm_aug.core.image_content import to_uint8_tensor
from pasm_aug.core.items import unpacked
from pasm_aug.core.progress import progress_bar


class _Arrays(Dataset):
    """Items as arrays: what worker processes send without a file descriptor for each."""

    def __init__(self, base: Any) -> None:
        self.base = base

    def __len__(self) -> int:
        return len(self.base)

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        image, label = unpacked(self.base[index])[:2]
        return to_uint8_tensor(image).numpy(), int(label)


def decoded_items(dataset: Any, workers: int, name: str, progress: bool) -> Iterator[tuple[np.ndarray, int]]:
    """Images (C, H, W) uint8 and labels of all items in order, decoded by ``workers`` processes."""
    loader = DataLoader(
        _Arrays(dataset),
        batch_size=None if workers == 0 else 8,
        num_workers=workers,
        collate_fn=_as_they_are,
        generator=torch.Generator(),  # else it draws from the global one
    )
    with progress_bar(total=len(dataset), name=f"decoding {name}", shown=progress) as bar:
        for batch in loader:
            batch = [batch] if workers == 0 else batch
            yield from batch
            bar.update(len(batch))


def _as_they_are(batch: Any) -> Any:
    return batch
