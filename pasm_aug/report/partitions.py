"""What the networks of a run that were trained by ASM made of their labels, and how right they were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pasm_aug.asm.record import PARTITION, AsmRecord
from pasm_aug.asm.subsets import CLEAN, NOISE
from pasm_aug.core.errors import UserError
from pasm_aug.rounds.results import RoundResult


@dataclass(frozen=True, eq=False)
class Sorted:
    """The record of one network."""

    result: RoundResult
    record: AsmRecord

    @property
    def epochs(self) -> int:
        """How many the network was trained for, those before its first partition among them."""
        return int(self.record.epochs[-1]) + 1

    @property
    def truth_known(self) -> bool:
        """Whether the record tells which labels are wrong."""
        return len(self.record.wrong) == len(self.record.epochs)


def open_partitions(arms: Mapping[str, Sequence[RoundResult]]) -> tuple[list[Sorted], list[str]]:
    """The records of all networks that sorted their labels, and a word on each file that cannot be read."""
    found, damaged = [], []
    for folder, result in {r.folder: r for results in arms.values() for r in results}.items():
        file = Path(folder) / PARTITION
        if not file.exists():
            continue
        try:
            record = AsmRecord.open(file)
        except UserError as error:
            damaged.append(str(error))
            continue
        if len(record.epochs):  # else the training ended in its warm-up
            found.append(Sorted(result, record))
    return found, damaged


@dataclass(frozen=True, eq=False)
class Quality:
    """How right a sorting was, where the truth is known; all in [0, 1], NaN where there is nothing to be right about.

    Attributes:
        flipped: share of the labels that are wrong.
        purity: share of the clean labels that are right.
        precision: share of the noise that is wrong.
        recall: share of the wrong labels that are noise.
    """

    flipped: np.ndarray
    purity: np.ndarray
    precision: np.ndarray
    recall: np.ndarray

    @classmethod
    def of(cls, sizes: np.ndarray, wrong: np.ndarray) -> Quality:
        """Of (..., 3) labels in each subset, and of those the wrong ones."""
        return cls(
            flipped=_share(wrong.sum(-1), sizes.sum(-1)),
            purity=1 - _share(wrong[..., CLEAN], sizes[..., CLEAN]),
            precision=_share(wrong[..., NOISE], sizes[..., NOISE]),
            recall=_share(wrong[..., NOISE], wrong.sum(-1)),
        )


def subset_shares(record: AsmRecord) -> np.ndarray:
    """(E, 3) of every epoch of the training, from its first on; before the first partition every label is clean."""
    sizes = record.sizes.sum(1)
    shares = np.zeros((int(record.epochs[-1]) + 1, sizes.shape[1]))
    shares[:, CLEAN] = 1.0
    shares[record.epochs] = sizes / sizes.sum(1, keepdims=True)
    return shares


def noisiest(record: AsmRecord, count: int) -> list[int]:
    """Up to ``count`` classes that have labels, in their order: those of the greatest shares of noise at the end."""
    sizes = record.sizes[-1]
    share = _share(sizes[:, NOISE], sizes.sum(1))
    order = [int(label) for label in np.argsort(-share, kind="stable") if sizes[label].any()]
    return sorted(order[:count])


def most_suspicious(record: AsmRecord, count: int) -> list[int]:
    """Up to ``count`` samples, that of the lowest p(label) first; those that were never sorted are left out."""
    order = np.argsort(record.p_label, kind="stable")
    return [int(index) for index in order[:count] if np.isfinite(record.p_label[index])]


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    part, whole = np.asarray(part, dtype=np.float64), np.asarray(whole)
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)
