"""What the benchmarks share: faces by kind, what a piece of work costs, what it ran on, tables."""

from __future__ import annotations

import ctypes
import gc
import json
import os
import platform
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from torchvision.transforms import v2

from pasm_aug.core.image_content import to_uint8_tensor
from pasm_aug.data.fer2013 import FER2013
from pasm_aug.data.synthetic.dataset import SyntheticExpressions

_PACKAGES = ("pasm_aug", "torch", "torchvision", "numpy", "numba", "scipy", "torchattacks")
_PACKAGES += ("adversarial-robustness-toolbox", "timm", "kornia", "albumentations", "cleanlab")

Kind = Callable[[np.ndarray, np.ndarray], np.ndarray]


def versions() -> dict[str, str]:
    """Of Python and of those packages that are installed."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, Any]:
    """Processor, its cores, and the threads that torch uses."""
    name = platform.processor() or platform.machine()
    if sys.platform == "linux":
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    return {"processor": name, "cores": os.cpu_count(), "threads": torch.get_num_threads()}


def open_faces(root: Path | None, split: str, pixels: int) -> Dataset:
    """FER2013's faces at ``pixels`` × ``pixels``, resized as ``teachers.py`` does; drawn faces without a ``root``."""
    if root is None:
        return SyntheticExpressions(split, size=pixels)
    return FER2013(root, split, transform=None if pixels == 48 else v2.Resize((pixels, pixels)))


def stack(data: Dataset, indices: Iterable[int]) -> tuple[Tensor, np.ndarray]:
    """Images (N, C, H, W) uint8 and labels (N,) int64 of some items."""
    images, labels = zip(*(data[int(index)] for index in indices), strict=True)
    return torch.stack([to_uint8_tensor(image) for image in images]), np.array(labels, dtype=np.int64)


def draw(
    model: nn.Module, data: Dataset, order: Sequence[int], count: int, kinds: dict[str, Kind]
) -> dict[str, tuple[Tensor, np.ndarray]]:
    """The first ``count`` images and labels of each kind, going through ``data`` in ``order``.

    Args:
        kinds: by name, (right (B,) bool, p (B,) of the true class) → (B,) bool, whether an image is of this kind.

    Returns:
        As :func:`stack`, by kind; fewer than ``count`` where ``order`` holds no more, and no kind that is not found.
    """
    chosen: dict[str, list[int]] = {name: [] for name in kinds}
    for start in range(0, len(order), 32):
        part = np.asarray(order[start : start + 32])
        images, labels = stack(data, part)
        with torch.no_grad():
            chances = model(model.preprocess(images)).double().softmax(dim=1).numpy()
        right, own = chances.argmax(axis=1) == labels, chances[np.arange(len(labels)), labels]
        for name, is_kind in kinds.items():
            chosen[name] = [*chosen[name], *part[is_kind(right, own)].tolist()][:count]
        if all(len(indices) == count for indices in chosen.values()):
            break
    return {name: stack(data, indices) for name, indices in chosen.items() if indices}


class Meter:
    """What the work within a ``with`` costs this process, all threads together.

    Attributes:
        cpu, wall: seconds. growth: bytes that its memory rose at most, sampled a hundred times a second; ``None``
            where the system does not tell.
    """

    def __enter__(self) -> Self:
        gc.collect()
        if sys.platform == "linux" and hasattr(ctypes.CDLL(None), "malloc_trim"):
            ctypes.CDLL(None).malloc_trim(0)  # else what earlier work freed would hide what this work takes
        self._before = self._peak = _resident()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        self.wall, self.cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *error: object) -> None:
        self.wall, self.cpu = time.perf_counter() - self.wall, time.process_time() - self.cpu
        self._done.set()
        self._thread.join()
        self.growth = None if self._before is None else self._peak - self._before

    def _watch(self) -> None:
        while self._peak is not None:
            self._peak = max(self._peak, _resident())
            if self._done.wait(0.01):
                return


def _resident() -> int | None:
    """Bytes of memory that this process holds."""
    if sys.platform != "linux":
        return None
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def medians(works: dict[str, Callable[[], object]], repeats: int, seed: int = 0) -> dict[str, tuple[float, float]]:
    """Seconds of wall and of CPU that each piece of work takes: medians of ``repeats``, in an order shuffled anew."""
    order, times = np.random.default_rng(seed), {name: [] for name in works}
    for work in works.values():
        work()
    for _ in range(repeats):
        for name in order.permutation(list(works)).tolist():
            wall, cpu = time.perf_counter(), time.process_time()
            works[name]()
            times[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return {name: tuple(np.median(pairs, axis=0).tolist()) for name, pairs in times.items()}


def campaign(out: Path, rows: Callable[[list[dict[str, Any]]], Iterable[dict[str, Any]]], shown: Sequence[str],
             *, go_on: bool = True) -> list[dict[str, Any]]:  # fmt: skip
    """The rows of a JSON-lines file, and those that follow: each is kept, and its ``shown`` printed, as it comes.

    Args:
        rows: makes the further ones from those that are there, unless not ``go_on``.
    """
    done = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
    for row in rows(list(done)) if go_on else ():
        done.append(row)
        with open(out, "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print({name: row[name] for name in shown}, flush=True)
    return done


def table(columns: dict[str, str], rows: list[dict[str, Any]]) -> str:
    """Rows as a Markdown table; ``columns``: by key, the title, with the format of numbers behind a ``|``."""
    titles, formats = zip(*((c.partition("|")[0], c.partition("|")[2]) for c in columns.values()), strict=True)
    lines = ["| " + " | ".join(titles) + " |", "|---" * len(titles) + "|"]
    for row in rows:
        cells = [_cell(row.get(key), shape) for key, shape in zip(columns, formats, strict=True)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(value: Any, shape: str) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return format(value, shape) if shape else str(value)
