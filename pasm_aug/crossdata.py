"""Score a network where the data are not simply its own: other classes, or pictures that it was trained on.

Classes meet by name, and what the network lacks is left out and counted; pictures meet by content.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image
from torch.utils.data import Dataset

from pasm_aug.content import Picture, as_uint8, content_key
from pasm_aug.evaluation import Metrics


class MappedLabels(Dataset):
    """The items of ``dataset`` whose class the network knows, with the network's labels.

    Args:
        dataset: items (image, label), with ``classes`` and ``labels``.
        classes: names in the order of the network's outputs.
        channels: of the pictures that the network takes; 1 makes coloured ones grey.

    Attributes:
        indices: (N,) of the items that are kept.
        dropped: class → number of the items left out.

    Raises:
        ValueError: the two have no class in common, or none of the items is of one.
    """

    def __init__(self, dataset: Any, classes: Sequence[str], *, channels: int | None = None) -> None:
        shared = {name: list(classes).index(name) for name in dataset.classes if name in classes}
        if not shared:
            raise ValueError(
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
            raise ValueError(f"none of the {len(labels):,} pictures is of a class that the network knows")

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        image = self.dataset[int(self.indices[index])][0]
        return grey(image) if self.channels == 1 else image, int(self.labels[index])


def grey(image: Picture) -> np.ndarray:
    """A picture as uint8 (1, H, W), weighing the colours as Pillow does."""
    array = as_uint8(image)
    return array if len(array) == 1 else np.asarray(Image.fromarray(array.transpose(1, 2, 0)).convert("L"))[None]


def shared_pictures(dataset: Any, other: Any) -> np.ndarray:
    """Sorted indices of the items of ``dataset`` whose picture stands in ``other`` too, by content."""
    own, others = (
        np.array([content_key(data[i][0]) for i in range(len(data))], dtype=np.int64) for data in (dataset, other)
    )
    return np.flatnonzero(np.isin(own, others))


def less(whole: Metrics, part: Metrics) -> Metrics | None:
    """The scores on all pictures but ``part`` of them; ``None`` if none is left."""
    count = whole.count - part.count
    if not count:
        return None
    confusion = np.array(whole.confusion) - np.array(part.confusion)
    rows, hits = confusion.sum(1), confusion.diagonal()
    return Metrics(
        accuracy=float(hits.sum() / count),
        loss=(whole.loss * whole.count - part.loss * part.count) / count,
        per_class=[float(hit / row) if row else None for hit, row in zip(hits, rows, strict=True)],
        confusion=confusion.tolist(),
        count=count,
    )
