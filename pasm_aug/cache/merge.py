"""Merging: rows from several journals into one cache file, whatever their order."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pasm_aug.cache.format import encode
from pasm_aug.cache.record import KEPT, row_dtype
from pasm_aug.core.errors import UserError
from pasm_aug.core.files import write_atomic

LOOKS = 4  # of so many images one leaves its look in the file


def write_cache(
    path: str | os.PathLike[str],
    rows: np.ndarray,
    index_keys: ArrayLike,
    index_labels: ArrayLike,
    metadata: Mapping[str, Any],
) -> None:
    """Merge rows into a cache file, atomically; the same rows in any order give the same bytes.

    Args:
        rows: of :func:`~pasm_aug.cache.record.row_dtype`; of several with one key and label the strongest is kept.
        index_keys: (N,) int64 content key of each sample of the data set.
        index_labels: (N,) its label.
        metadata: JSON values: ``fingerprint``, ``dataset`` and what else belongs to it; the totals are added here.

    Raises:
        ValueError: labels that int16 cannot hold, or unequal lengths.
        TypeError: rows of another dtype, or metadata that JSON cannot hold.
    """
    if rows.dtype.names != row_dtype(1, 1).names:
        raise TypeError(f"rows must have the fields {row_dtype(1, 1).names}, got {rows.dtype}")
    keys, labels = (np.asarray(values, np.int64) for values in (index_keys, index_labels))
    if keys.ndim != 1 or keys.shape != labels.shape:
        raise UserError(f"index_keys and index_labels must both be (N,), got {keys.shape} and {labels.shape}")
    if len(rows) and not -(2**15) <= rows["label"].min() <= rows["label"].max() < 2**15:
        raise UserError(f"labels must fit int16, got {rows['label'].min()} to {rows['label'].max()}")
    rows = rows[np.ascontiguousarray(rows).view(f"V{rows.dtype.itemsize}").argsort()]  # ties fall alike in any order
    rows = rows[np.lexsort((rows["p_point"][:, 0], ~rows["mined"], rows["label"], rows["key"]))]
    again = (rows["key"][1:] == rows["key"][:-1]) & (rows["label"][1:] == rows["label"][:-1])
    rows = rows[np.concatenate([np.ones(min(len(rows), 1), bool), ~again])]
    totals = {"queries": int(rows["queries"].sum(dtype=np.int64)), "forwards": float(rows["forwards"].sum(dtype=float))}
    skipped, rows = rows[~rows["mined"]], rows[rows["mined"]]
    columns = {name: rows[name] for name in ("key", "label", *KEPT)}
    columns["look"] = rows["look"][rows["look"] != 0][: -(-len(rows) // LOOKS)]  # keys are hashes: the first are any
    columns |= {"skipped_key": skipped["key"], "skipped_label": skipped["label"]}
    columns["index"] = match(rows["key"], rows["label"], keys, labels).astype(np.int32)
    about = {**metadata, **totals, "created_by": f"pasm_aug {_package_version()}"}
    write_atomic(os.fspath(path), encode(columns, about))


def match(row_keys: np.ndarray, row_labels: np.ndarray, keys: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
    """Row of each key (and label), or -1; rows are sorted by (key, label), and a key alone finds its first row."""
    rows = row_keys.searchsorted(keys)
    while True:
        inside = rows < len(row_keys)
        inside[inside] = row_keys[rows[inside]] == keys[inside]
        if labels is None:
            return np.where(inside, rows, -1)
        other = inside.copy()
        other[inside] = row_labels[rows[inside]] != labels[inside]
        if not other.any():
            return np.where(inside, rows, -1)
        rows[other] += 1


def as_rows(columns: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> np.ndarray:
    """The rows that :func:`write_cache` made the columns of; the totals of cost are spread evenly over them."""
    points, channels = columns["colour"].shape[1:]
    mined, skipped = len(columns["key"]), len(columns["skipped_key"])
    rows = np.zeros(mined + skipped, row_dtype(points, channels))
    for name in ("key", "label", *KEPT):
        rows[name][:mined] = columns[name]
    rows["look"][: len(columns["look"])] = columns["look"]  # whichever row they came from
    rows["key"][mined:], rows["label"][mined:] = columns["skipped_key"], columns["skipped_label"]
    rows["mined"][:mined] = True
    if len(rows):
        each, rest = divmod(int(metadata["queries"]), len(rows))
        rows["queries"] = each + (np.arange(len(rows)) < rest)
        rows["forwards"] = metadata["forwards"] / len(rows)
    return rows


def serving_rows(row_keys: np.ndarray, index: np.ndarray) -> dict[int, int]:
    """For keys with several labels: first row of the key → the row that its lowest sample index uses."""
    keys = np.unique(row_keys[1:][row_keys[1:] == row_keys[:-1]])
    starts, stops = (row_keys.searchsorted(keys, side) for side in ("left", "right"))
    lowest: dict[int, int] = {}
    if len(keys):
        rows = np.concatenate([np.arange(start, stop) for start, stop in zip(starts, stops, strict=True)])
        samples = np.flatnonzero(np.isin(index, rows))[::-1]  # so the lowest is the last to be written
        lowest = dict(zip(index[samples].tolist(), samples.tolist(), strict=True))
    return {
        start: min(range(start, stop), key=lambda row: lowest.get(row, len(index)))
        for start, stop in zip(starts.tolist(), stops.tolist(), strict=True)
    }


def _package_version() -> str:
    try:
        return importlib.metadata.version("pasm_aug")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
