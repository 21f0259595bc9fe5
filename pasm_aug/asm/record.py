"""What a training by ASM made of its labels, epoch by epoch, and the file that keeps it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from pasm_aug.asm.subsets import NOISE, SUBSETS, Partition
from pasm_aug.core.errors import UserError
from pasm_aug.core.files import write_atomic

FORMAT = "pasm_aug partition 1"
PARTITION = "partition.safetensors"  # its name in the folder of a training


@dataclass
class AsmRecord:
    """Of N samples, K classes and the E epochs whose partition was made.

    Attributes:
        subset: (N,) uint8 and p_label: (N,) float32, of the last partition; see
            :class:`~pasm_aug.asm.subsets.Partition`.
        noise_counts: (N,) int32: how many epochs called the sample noise.
        epochs: (E,) int32, numbered from 0.
        sizes: (E, K, 3) int32: samples of each label that were clean, ambiguous, noise.
        wrong: (E, K, 3) int32: how many of these are known to be wrong, for measurement alone; (0, K, 3) where nobody
            knows.
        thresholds: (E, K, 2) float64: noise and clean.
        moved: (E, 3, 3) int32: samples by the subset that they were in, and came to.
        about: what else the file says: the data's and the labels' digest, the classes, the options.
    """

    subset: np.ndarray
    p_label: np.ndarray
    noise_counts: np.ndarray
    epochs: np.ndarray
    sizes: np.ndarray
    wrong: np.ndarray
    thresholds: np.ndarray
    moved: np.ndarray
    about: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def empty(cls, samples: int, classes: int) -> AsmRecord:
        """Of no epoch: every label is clean."""
        counts = np.zeros((0, classes, 3), np.int32)
        per_epoch = counts, counts, np.zeros((0, classes, 2)), np.zeros((0, 3, 3), np.int32)
        return cls(
            np.zeros(samples, np.uint8),
            np.full(samples, np.nan, np.float32),
            np.zeros(samples, np.int32),
            np.zeros(0, np.int32),
            *per_epoch,
        )

    def add(self, epoch: int, found: Partition, labels: np.ndarray, flipped: np.ndarray | None = None) -> None:
        """Write down the partition of an epoch, which becomes the last one.

        Args:
            labels: (N,) as given. flipped: (N,) bool, which of them are known to be wrong.
        """
        moved = np.zeros((len(SUBSETS), len(SUBSETS)), np.int32)
        np.add.at(moved, (self.subset, found.subset), 1)
        self.epochs = np.append(self.epochs, np.int32(epoch))
        self.sizes = np.concatenate([self.sizes, found.sizes(labels)[None].astype(np.int32)])
        if flipped is not None:
            wrong = found.sizes(labels, flipped)[None].astype(np.int32)
            self.wrong = np.concatenate([self.wrong, wrong])
        self.thresholds = np.concatenate([self.thresholds, found.thresholds[None]])
        self.moved = np.concatenate([self.moved, moved[None]])
        self.noise_counts = self.noise_counts + (found.subset == NOISE)
        self.subset, self.p_label = found.subset, found.p_label

    @property
    def partition(self) -> Partition:
        """The last one."""
        bounds = self.thresholds[-1] if len(self.thresholds) else np.zeros((self.sizes.shape[1], 2))
        return Partition(self.subset, self.p_label, bounds)

    def arrays(self) -> dict[str, np.ndarray]:
        """All but ``about``, by name."""
        return {f.name: np.ascontiguousarray(getattr(self, f.name)) for f in fields(self) if f.name != "about"}

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray], about: Mapping[str, Any] | None = None) -> AsmRecord:
        """From :meth:`arrays`; they are copied."""
        names = [f.name for f in fields(cls) if f.name != "about"]
        return cls(**{name: np.array(arrays[name]) for name in names}, about=dict(about or {}))

    def save(self, path: str | Path) -> None:
        """Write a safetensors file, atomically."""
        arrays, about = self.arrays(), json.dumps(self.about, ensure_ascii=False)
        told = {"format": FORMAT, "about": about, "sha256": _digest(arrays, about)}
        write_atomic(path, save(arrays, {"partition": json.dumps(told, ensure_ascii=False)}))  # one: in a fixed order

    @classmethod
    def open(cls, path: str | Path) -> AsmRecord:
        """Read what :meth:`save` wrote.

        Raises:
            ValueError: the file is missing, damaged, or something else; the message names it.
        """
        try:
            with safe_open(str(path), framework="numpy") as file:
                told = json.loads((file.metadata() or {}).get("partition", "{}"))
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError, json.JSONDecodeError) as error:
            raise UserError(f"{path} cannot be read as a partition: {error}") from error
        if told.get("format") != FORMAT:
            raise UserError(f"{path} is no partition of this version, got format {told.get('format')!r}")
        if told.get("sha256") != _digest(arrays, told["about"]):
            raise UserError(f"{path} is damaged: its checksum differs; make it anew")
        return cls.of(arrays, json.loads(told["about"]))


def known_wrong(dataset: Any, length: int) -> np.ndarray | None:
    """(N,) bool of a data set that says which labels are wrong (``NoisyLabels.flipped``); else ``None``.

    Another's ``flipped`` may mean anything, so it counts only as an array of bool with a value for each image.
    """
    found = getattr(dataset, "flipped", None)
    tells = isinstance(found, np.ndarray) and found.dtype == bool and found.shape == (length,)
    return found if tells else None


def labels_digest(labels: np.ndarray) -> str:
    """16 hexadecimal digits that name all labels (N,) of a data set, whose own digest looks at a few alone."""
    return hashlib.sha256(labels.astype("<i8").tobytes()).hexdigest()[:16]


def _digest(arrays: Mapping[str, np.ndarray], about: str) -> str:
    digest = hashlib.sha256(about.encode())
    for name in sorted(arrays):
        digest.update(f"{name}{arrays[name].dtype.str}{arrays[name].shape}".encode())
        digest.update(arrays[name].tobytes())
    return digest.hexdigest()
