"""Caches for the baselines: mined points moved elsewhere, with their colours, so that arms differ in the place alone.

Every function writes a :class:`~pasm_aug.cache.PositionCache` that the same transform reads, and does nothing where the
file is there already.
"""

from __future__ import annotations

from collections.abc import Callable, Sized
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from tqdm import tqdm

from pasm_aug.attack.cam import class_activation_maps
from pasm_aug.cache import PositionCache, write_cache
from pasm_aug.cache.journal import row_dtype
from pasm_aug.content import as_uint8, content_key, look
from pasm_aug.fingerprint import describe_state
from pasm_aug.samples import dataset_digest

AT_ONCE = 64  # pictures a forward


def shuffled_positions(mined: PositionCache, path: Path, *, seed: int = 0, within_class: bool = False) -> PositionCache:
    """Every picture gets the place of another one, of the same label if ``within_class``; colours stay its own.

    A label with a single picture keeps its place. The pictures should be of one size.
    """
    columns = mined.to_numpy()
    random = np.random.default_rng(seed)
    order = random.permutation(len(columns["key"]))
    if within_class:
        order = order[np.argsort(columns["label"][order], kind="stable")]
    labels = columns["label"][order] if within_class else np.zeros(len(order))
    ends = np.flatnonzero(np.diff(labels)) + 1
    given = np.concatenate([np.roll(group, 1) for group in np.split(order, ends)])  # so nobody draws its own
    xy = np.empty_like(columns["xy"])
    xy[order] = columns["xy"][given]
    return _move(mined, xy, path, {"shuffled": "within class" if within_class else "globally", "seed": seed})


def cam_peak_positions(mined: PositionCache, cams: PositionCache, path: Path) -> PositionCache:
    """Every picture gets the peak of its class activation map as its place; colours stay.

    Interpolated bilinearly, a map is highest in the middle of one of its cells.
    """
    columns = mined.to_numpy()
    found = cams.lookup(keys=columns["key"], labels=columns["label"])
    if not found.hit.all():
        raise ValueError(f"{cams.path} lacks {int((~found.hit).sum()):,} of the pictures of {mined.path}")
    peak = found.p_point.argmax(1)
    xy = np.repeat(found.xy[np.arange(len(peak)), peak][:, None], mined.points, axis=1)
    return _move(mined, xy, path, {"cam": cams.metadata["fingerprint"], "maps": len(cams)})


def class_activation_cache(
    teacher: nn.Module,
    dataset: Dataset,
    path: Path,
    *,
    preprocess: Callable[[Tensor], Tensor] | None = None,
    device: torch.device | str | None = None,
    progress: bool = True,
) -> PositionCache:
    """The class activation map of every picture, as a cache of as many points as the map has cells.

    Point k is the middle of cell k (row by row), ``p_point`` its activation in [0, 1], ``colour`` the data set's mean;
    the metadata's ``grid`` is (h, w).

    Args:
        teacher: see :func:`~pasm_aug.attack.cam.class_activation_maps`.
        dataset: items (image, label) of one size, without random transforms.
    """
    assert isinstance(dataset, Sized)
    digest = dataset_digest(dataset)
    fingerprint = {"teacher": describe_state(teacher), "maps": "Grad-CAM", "data": digest}
    if path.exists() and PositionCache.open(path).metadata["fingerprint"] == fingerprint:
        return PositionCache.open(path)
    parts: list[np.ndarray] = []
    total: Any = 0.0
    grid = (0, 0)
    bar = tqdm(total=len(dataset), desc="activation maps", unit=" images", disable=not progress, leave=False)
    for start in range(0, len(dataset), AT_ONCE):
        items = [dataset[i][:2] for i in range(start, min(start + AT_ONCE, len(dataset)))]
        images, labels = np.stack([as_uint8(image) for image, _ in items]), [int(label) for _, label in items]
        maps = class_activation_maps(
            teacher, torch.from_numpy(images), torch.tensor(labels), preprocess=preprocess, device=device
        ).numpy()
        grid = maps.shape[1:]
        rows = np.zeros(len(items), row_dtype(grid[0] * grid[1], images.shape[1]))
        rows["key"], rows["look"] = [content_key(image) for image in images], [look(image) for image in images]
        rows["label"], rows["mined"] = labels, True
        rows["xy"] = _cells(grid, images.shape[2:])
        rows["p_point"] = maps.reshape(len(items), -1)
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


def _move(mined: PositionCache, xy: np.ndarray, path: Path, how: dict[str, Any]) -> PositionCache:
    """Write ``mined`` with other places (R, K, 2); its samples keep their rows."""
    fingerprint = {"mined": mined.metadata["fingerprint"], "moved": how}
    if path.exists() and PositionCache.open(path).metadata["fingerprint"] == fingerprint:
        return PositionCache.open(path)
    columns, rows = mined.to_numpy(), mined.to_rows()
    rows["xy"][: len(xy)] = xy
    known = columns["index"] >= 0
    keys, labels = np.zeros(len(known), np.int64), np.full(len(known), -1, np.int64)
    keys[known], labels[known] = (columns[name][columns["index"][known]] for name in ("key", "label"))
    about = {name: value for name, value in mined.metadata.items() if name not in ("queries", "forwards", "created_by")}
    write_cache(path, rows, keys, labels, about | {"fingerprint": fingerprint})
    return PositionCache.open(path)
