"""Images decoded once into a file (``decoded_format.py``) that is mapped into memory: for data sets too large for it.

It is written under a hidden name and renamed when it is whole."""

from __future__ import annotations

import errno
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import xxhash
from torch import Tensor
from torch.utils.data import Dataset

from pasm_aug.core.errors import UserError
from pasm_aug.core.file_lock import FileLock, LockedError
from pasm_aug.core.image_content import dataset_digest, to_uint8_tensor
from pasm_aug.core.items import class_names, unpacked
from pasm_aug.data.decoded_format import VERSION, DecodedError, open_content, sidecar, write_content
from pasm_aug.data.decoding import decoded_items


class DecodedDataset(Dataset[tuple[Tensor, int]]):
    """Items (uint8 tensor (C, H, W), int label) of a file that :func:`decoded` made.

    All processes that read it share one copy in memory, as much of it as the system can spare. An item is a copy of
    its part of the map, so that what a transform writes into it reaches neither the file nor the next epoch. Pickles
    as the path; then, as in workers that are not forked, ``source`` is ``None``.

    Args:
        path (str or Path): of the pixels; the JSON file of the same name lies beside it.
        source (Dataset, optional): the data set that was decoded.
        fingerprint (str, optional): that the file must have been made with.
        verify (bool): compare the checksum, which reads the whole file; the structure is always checked.
            Default: ``True``.

    Attributes:
        labels (ndarray): (N,) int64.
        classes (list of str), class_to_idx (dict): of the data set, empty where it has none.

    Raises:
        DecodedError: If a file is missing, truncated, damaged, foreign, or of another fingerprint.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        source: Dataset | None = None,
        fingerprint: str | None = None,
        verify: bool = True,
    ) -> None:
        self.path, self.source = os.path.abspath(path), source
        self.fingerprint, self.classes, self.labels, self._pixels = open_content(self.path, verify=verify)
        if fingerprint is not None and fingerprint != self.fingerprint:
            raise DecodedError(f"{self.path} holds other images: {self.fingerprint}, {fingerprint} wanted")
        self.class_to_idx = {name: i for i, name in enumerate(self.classes)}

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"index must lie in {-len(self)} .. {len(self) - 1}, got {index}")
        return torch.from_numpy(self._pixels[index].copy()), int(self.labels[index])

    def __repr__(self) -> str:
        return f"DecodedDataset({self.path!r}, {len(self)} images {self._pixels.shape[1:]})"

    def __getstate__(self) -> dict[str, str]:
        return {"path": self.path, "fingerprint": self.fingerprint}

    def __setstate__(self, state: dict[str, str]) -> None:
        self.__init__(state["path"], fingerprint=state["fingerprint"], verify=False)  # type: ignore[misc]


def decoded(
    dataset: Dataset,
    folder: str | os.PathLike[str],
    *,
    name: str = "images",
    workers: int = 0,
    verify: bool = True,
    progress: bool = True,
) -> DecodedDataset:
    """The images of a data set from ``folder/<name>-<fingerprint>.npy`` and ``.json``, which are made if missing.

    The pixels are those of :func:`~pasm_aug.core.image_content.to_uint8_tensor`. Grey sets keep one channel; where a
    colour image turns up after grey ones, decoding starts again and grey images get three equal channels. Memory holds
    a few images at a time. Processes that want one file at the same time wait for the first of them.

    Args:
        dataset (Dataset): map-style, items (image, label) without random transforms, of one size by its own transform.
        folder (str or Path): is made if missing.
        name (str): begins the file's name. Default: ``"images"``.
        workers (int): processes that decode. Default: ``0``, this one.
        verify (bool): compare the checksum of a file that is there, which reads all of it. Default: ``True``.
        progress (bool): show a bar. Default: ``True``.

    Returns:
        DecodedDataset: the same items, in the same order.

    Raises:
        DecodedError: If the file is truncated, damaged or foreign; a missing one is made.
        ValueError: If there are no items, images of several sizes (by index), items that change from one reading to
            the next, or a name that is no file's.
        OSError: If no space is left, or an image's file is gone.
    """
    if not re.fullmatch(r"\w[\w .+-]*", name):
        raise UserError(f"name must begin a file's name, got {name!r}")
    if len(dataset) == 0:  # type: ignore[arg-type]
        raise UserError("dataset must hold at least one image, got none")
    fingerprint = fingerprint_of(dataset)
    path = Path(folder).absolute() / f"{name}-{fingerprint}.npy"
    if not _is_whole(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with _in_turn(path):
            if not _is_whole(path):
                _write(dataset, path, fingerprint, name, workers, progress)
    return DecodedDataset(path, source=dataset, fingerprint=fingerprint, verify=verify)


def fingerprint_of(dataset: Any) -> str:
    """32 hexadecimal digits that name the decoded images and labels of a data set without decoding them all.

    Made of its labels, classes, the shape of its first image, 16 evenly spaced images (by which other transforms
    and decoders are noticed), and, where it has ``paths`` (or is a subset of one that has), the path, size and time of
    change of every file.
    """
    labels = [int(label) for label in getattr(dataset, "labels", ())]
    rename = getattr(dataset, "target_transform", None)
    about = {
        "version": VERSION,
        "digest": dataset_digest(dataset),
        "shape": list(to_uint8_tensor(unpacked(dataset[0])[0]).shape),
        "labels": labels if rename is None else [int(rename(label)) for label in labels],
        "classes": class_names(dataset),
    }
    digest = xxhash.xxh3_128(json.dumps(about, sort_keys=True).encode())
    for path in _paths(dataset) or ():
        status = os.stat(path)
        entry = [os.path.abspath(path), status.st_size, status.st_mtime_ns]
        digest.update(json.dumps(entry).encode())
    return digest.hexdigest()


def _paths(dataset: Any) -> list[Any] | None:
    """The file of each item, or ``None`` where not all are known."""
    paths = getattr(dataset, "paths", None)
    if paths is not None:
        return None if len(paths) != len(dataset) or any(path is None for path in paths) else list(paths)
    whole, indices = getattr(dataset, "dataset", None), getattr(dataset, "indices", None)
    if whole is None or indices is None:
        return None
    paths = _paths(whole)
    return paths and [paths[int(index)] for index in indices]


def _is_whole(path: Path) -> bool:
    return path.exists() and sidecar(path).exists()


@contextmanager
def _in_turn(path: Path) -> Iterator[None]:
    """Wait until no other process writes ``path``."""
    lock = FileLock(path)
    while True:
        try:
            lock.__enter__()
            break
        except LockedError as error:
            if isinstance(error.__cause__, OSError) and error.__cause__.errno not in (errno.EACCES, errno.EAGAIN):
                raise  # no one holds it: this file system has no locks
            time.sleep(0.1)
    try:
        yield
    finally:
        lock.__exit__(None, None, None)


def _write(dataset: Any, path: Path, fingerprint: str, name: str, workers: int, progress: bool) -> None:
    first = tuple(to_uint8_tensor(unpacked(dataset[0])[0]).shape)
    temporary = path.with_name(f".{path.stem}.tmp.npy")  # one name for all: killed writers leave one file, not many
    try:
        _check_unchanged(fingerprint_of(dataset) == fingerprint)
        for channels in (first[0], 3):
            shape = len(dataset), channels, *first[1:]
            items = decoded_items(dataset, workers, name, progress)
            if write_content(temporary, fingerprint, class_names(dataset), shape, items):
                break
        same = dataset_digest(DecodedDataset(temporary, verify=False)) == dataset_digest(dataset)
        _check_unchanged(same and fingerprint_of(dataset) == fingerprint)
        os.replace(temporary, path)
        os.replace(sidecar(temporary), sidecar(path))
    finally:
        temporary.unlink(missing_ok=True)
        sidecar(temporary).unlink(missing_ok=True)


def _check_unchanged(same: bool) -> None:
    if not same:
        raise UserError(
            "dataset's items differ from one reading to the next: pass it without its random transforms, and leave "
            "its files alone meanwhile"
        )
