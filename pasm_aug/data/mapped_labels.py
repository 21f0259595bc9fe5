"""Data whose classes are not quite the network's: classes meet by name, what the network lacks is left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image
from torch.utils.data import Dataset

from pasm_aug.core.errors import UserError
from pasm_aug.core.image_content import AnyImage, as_uint8
from pasm_aug.data.base import Labelled


class MappedLabels(Dataset[tuple[Any, int]]):
    """The items of ``dataset`` whose class the network knows, with the network's labels.

    Args:
        dataset (Dataset): items (image, label), with ``classes`` and ``labels``.
        classes (sequence of str): names in the order of the network's outputs.
        channels (int, optional): of the images that the network takes; 1 makes coloured ones grey.

    Attributes:
        indices (ndarray): (N,) int64, of the items that are kept.
        labels (ndarray): (N,) int64, the network's.
        dropped (dict): class → number of the items left out.

    Raises:
        ValueError: If the two have no class in common, or none of the items is of one.
    """

    def __init__(self, dataset: Labelled, classes: Sequence[str], *, channels: int | None = None) -> None:
        shared = {name: list(classes).index(name) for name in dataset.classes if name in classes}
        if not shared:
            raise UserError(
                f"the network knows {', '.join(classes)}, the data have {', '.join(dataset.classes)}: nothing in common"
            )
        to_network = np.array([shared.get(name, -1) for name in dataset.classes])
        labels = to_network[np.asarray(dataset.labels)]
        self.dataset, self.classes, self.channels = dataset, list(classes), channels
        self.indices = np.flatnonzero(labels >= 0)
        self.labels = labels[self.indices]
        counts = np.bincount(np.asarray(dataset.labels)[labels < 0], minlength=len(dataset.classes)).tolist()
        self.dropped = {name: count for name, count in zip(dataset.classes, counts, strict=True) if count}
        if not len(self.indices):
            raise UserError(f"none of the {len(labels):,} images is of a class that the network knows")

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        image = self.dataset[int(self.indices[index])][0]
        return grey(image) if self.channels == 1 else image, int(self.labels[index])


def grey(image: AnyImage) -> np.ndarray:
    """An image as uint8 (1, H, W), weighing the colours as Pillow does."""
    array = as_uint8(image)
    return array if len(array) == 1 else np.asarray(Image.fromarray(array.transpose(1, 2, 0)).convert("L"))[None]
