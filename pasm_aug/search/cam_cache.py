"""Class activation maps of a whole data set, kept in the file format of mined points."""

from __future__ import annotations

from collections.abc import Callable, Sized
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from pasm_aug.cache.derived import existing_cache
from pasm_aug.cache.merge import write_cache
from pasm_aug.cache.position_cache import PositionCache
from pasm_aug.cache.record import row_dtype
from pasm_aug.core.image_content import as_uint8, content_key, dataset_digest, look
from pasm_aug.core.items import unpacked
from pasm_aug.core.progress import progress_bar
from pasm_aug.search.cam import class_activation_maps
from pasm_aug.search.fingerprint import describe_state

AT_ONCE = 64  # images a forward


def class_activation_cache(
    teacher: nn.Module,
    dataset: Dataset,
    path: Path,
    *,
    preprocess: Callable[[Tensor], Tensor] | None = None,
    device: torch.device | str | None = None,
    progress: bool = True,
) -> PositionCache:
    """The class activation map of every image, as a cache of as many points as the map has cells.

    Point k is the middle of cell k (row by row), ``p_point`` its activation in [0, 1], ``p_clean`` unknown (NaN),
    ``colour`` the data set's mean; the metadata's ``grid`` is (h, w).

    Args:
        teacher: see :func:`~pasm_aug.search.cam.class_activation_maps`.
        dataset: items (image, label) of one size, without random transforms.
    """
    assert isinstance(dataset, Sized)
    digest = dataset_digest(dataset)
    fingerprint = {"teacher": describe_state(teacher), "maps": "Grad-CAM", "data": digest}
    if (made := existing_cache(path, fingerprint)) is not None:
        return made
    parts: list[np.ndarray] = []
    total: Any = 0.0
    grid = (0, 0)
    bar = progress_bar(total=len(dataset), name="activation maps", shown=progress)
    for start in range(0, len(dataset), AT_ONCE):
        items = [unpacked(dataset[i])[:2] for i in range(start, min(start + AT_ONCE, len(dataset)))]
        images, labels = np.stack([as_uint8(image) for image, _ in items]), [int(label) for _, label in items]
        maps = class_activation_maps(
            teacher, torch.from_numpy(images), torch.tensor(labels), preprocess=preprocess, device=device
        ).numpy()
        grid = maps.shape[1:]
        rows = np.zeros(len(items), row_dtype(grid[0] * grid[1], images.shape[1]))
        rows["key"], rows["look"] = [content_key(image) for image in images], [look(image) for image in images]
        rows["label"], rows["mined"] = labels, True
        rows["xy"] = _cells(grid, images.shape[2:])
        rows["p_clean"], rows["p_point"] = np.nan, maps.reshape(len(items), -1)
        rows["queries"], rows["forwards"] = 1, 3  # a backward counts two
        total = total + images.sum((0, 2, 3), dtype=np.float64)
        parts.append(rows)
        bar.update(len(items))
    bar.close()
    rows = np.concatenate(parts)
    rows["colour"] = np.rint(total / (len(rows) * images.shape[2] * images.shape[3]))
    about = {"fingerprint": fingerprint, "dataset": {"digest": digest, "length": len(rows)}, "grid": list(grid)}
    write_cache(path, rows, rows["key"], rows["label"], about)
    return PositionCache.open(path)


def _cells(grid: tuple[int, ...], size: tuple[int, ...]) -> np.ndarray:
    """(h·w, 2): the pixel (x, y) in the middle of each cell, row by row."""
    y, x = ((np.arange(cells) + 0.5) * length / cells for cells, length in zip(grid, size, strict=True))
    return np.stack(np.meshgrid(x, y), -1).reshape(-1, 2).astype(np.uint16)
