"""What lies below a data set that holds or is a part of another one: its items' labels, places and files.

No image is read for it where the data sets tell.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import Subset

from pasm_aug.core.items import unpacked
from pasm_aug.data.decoded_store import DecodedDataset
from pasm_aug.data.in_memory import InMemory


def origin(dataset: Any) -> tuple[Any, np.ndarray]:
    """The data set that the items come from, and the (N,) int64 places that they have in it.

    Images held in memory or in a decoded file lead to their ``source``, whatever has ``dataset`` and ``indices`` (the
    subsets of torch and of this package) to the whole; any other data set is its own origin.
    """
    places = np.arange(len(dataset))
    while True:
        if isinstance(dataset, InMemory | DecodedDataset) and dataset.source is not None:
            dataset = dataset.source
            continue
        whole, indices = getattr(dataset, "dataset", None), getattr(dataset, "indices", None)
        if whole is None or indices is None or len(indices) != len(dataset):
            return dataset, places
        places = np.asarray(indices, dtype=np.int64)[places] % len(whole)  # an index may count from the end
        dataset = whole


def item_paths(dataset: Any) -> list[Path] | None:
    """The file of each item, or ``None`` where not all are known."""
    whole, places = origin(dataset)
    paths = getattr(whole, "paths", None)
    if paths is None or len(paths) != len(whole) or any(path is None for path in paths):
        return None
    return [Path(paths[place]) for place in places]


def item_names(dataset: Any) -> list[str]:
    """The file of each item below the folder that holds all of them, with ``/``; empty where it has none."""
    paths = [path.absolute() for path in item_paths(dataset) or ()]
    if not paths:
        return [""] * len(dataset)
    folder = os.path.commonpath([path.parent for path in paths])
    return [path.relative_to(folder).as_posix() for path in paths]


def labels_of(dataset: Any) -> np.ndarray:
    """(N,) int64 labels as the items have them; where the data set does not tell them, the items are read."""
    for name in ("labels", "targets"):
        known = getattr(dataset, name, None)
        if known is not None and len(known) == len(dataset):
            rename = getattr(dataset, "target_transform", None)
            labels = known if rename is None else [int(rename(int(label))) for label in known]
            return np.array(labels, dtype=np.int64)
    if isinstance(dataset, Subset):
        return labels_of(dataset.dataset)[np.asarray(dataset.indices, dtype=np.int64)]
    return np.array([int(unpacked(dataset[index])[1]) for index in range(len(dataset))], dtype=np.int64)
