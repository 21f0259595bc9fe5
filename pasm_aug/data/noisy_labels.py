"""Labels made wrong on purpose, to measure what a method makes of it: the protocols of the literature, by name.

``symmetric`` (SCN, Wang et al. 2020, arXiv 2002.10392; RUL, EAC, LA-Net after it): a share of the labels turns into one
of the *other* classes, each as likely. ``uniform`` (DivideMix, Li et al. 2020, arXiv 2002.07394): into one of all
classes, so that the true one may be drawn again (of ten classes 50 % are 45 % wrong labels). ``pair`` (Co-teaching, Han
et al. 2018, arXiv 1804.06872): into the next class. Figures under noise compare only where the convention is the same.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch.utils.data import Dataset

from pasm_aug.core.errors import UserError
from pasm_aug.core.items import check_map_style, class_names, unpacked
from pasm_aug.core.keyed_draws import keyed_uniform
from pasm_aug.core.rng import derive_seed
from pasm_aug.data.noise_list import read_list, write_list
from pasm_aug.data.origin import item_names, item_paths, labels_of, origin

Kind = Literal["symmetric", "uniform", "pair"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_STREAM = 0x401  # of the draws, beside others of the same seed


class NoisyLabels(Dataset[tuple[Any, int]]):
    """A data set some of whose labels are wrong; images and numbering of the classes stay as they are.

    What is drawn for an image depends on the seed and on its place in the whole data set alone: a part of it
    (``--limit``, a ``Subset``) has the labels that it has in the whole, and what is flipped at a low rate is flipped
    to the same class at any higher one. It is meant for training images: validate and test with true labels.

    Args:
        dataset (Dataset): map-style, items (image, label). Labels are read without the images where it has ``labels``
            or ``targets``; without ``classes``, the classes are 0 … the highest label.
        rate (float, optional): share of the labels that are flipped, in [0, 1]. Not used with ``matrix`` or ``file``.
        kind (str): ``"symmetric"`` (default): to one of the other classes; ``"uniform"``: to one of all classes, the
            true one among them; ``"pair"``: to the next class, of the last to the first.
        matrix (sequence of sequences, optional): (K, K) chances, row = true class, column = given; rows sum to 1.
        file (str or ``pathlib.Path``, optional): of :meth:`write_csv`, or a list of RAF-DB's images and labels, as
            EAC's.
        seed (int): of the draw. Default: ``0``.

    Attributes:
        labels (ndarray): (N,) int64, as given.
        true_labels (ndarray): (N,) int64, for measurement.
        flipped (ndarray): (N,) bool, where the two differ.
        classes (list of str), class_to_idx (dict): of the data set, empty where it has none.
        dataset (Dataset): the one with the true labels.

    Raises:
        TypeError: If the data set has no length or no items by index.
        FileNotFoundError: If there is no such file.
        ValueError: If rate, kind or matrix is out of its range, a label is, there is but one class, or the list
            belongs to another data set.
    """

    def __init__(
        self,
        dataset: Dataset,
        rate: float | None = None,
        *,
        kind: Kind = "symmetric",
        matrix: Sequence[Sequence[float]] | np.ndarray | None = None,
        file: str | Path | None = None,
        seed: int = 0,
    ) -> None:
        check_map_style(dataset)
        if matrix is not None and file is not None:
            raise UserError("matrix and file both tell the labels: give one of them")
        self.dataset = dataset
        self.true_labels = labels_of(dataset)
        self.classes = class_names(dataset)
        self.class_to_idx = {name: i for i, name in enumerate(self.classes)}
        count = len(self.classes) or 1 + int(self.true_labels.max(initial=-1))
        _check_labels(self.true_labels, count)
        if file is not None:
            self.labels = read_list(file, self.true_labels, self.classes, item_names(dataset), count)
        else:
            draws = keyed_uniform(torch.from_numpy(origin(dataset)[1]), 2, derive_seed(seed, _STREAM)).double().numpy()
            if matrix is None:
                self.labels = flip(self.true_labels, draws, _checked_rate(rate), kind, count)
            else:
                self.labels = transit(self.true_labels, draws[:, 0], np.asarray(matrix, dtype=np.float64), count)
        self.flipped = self.labels != self.true_labels

    @property
    def source(self) -> Any:
        """The data set that the images come from, where the wrapped one holds them in memory or in a file."""
        return getattr(self.dataset, "source", self.dataset)

    @property
    def paths(self) -> list[Path] | None:
        """The file of each item, or ``None`` where not all are known."""
        return item_paths(self.dataset)

    def write_csv(self, path: str | Path) -> None:
        """Write all labels, true and given, as a list that ``file=`` takes for the same data set.

        Args:
            path: the file; one row an item: ``index, name, true, label, true_class, label_class``.
        """
        write_list(path, self.true_labels, self.labels, self.classes, item_names(self.dataset))

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return unpacked(self.dataset[index])[0], int(self.labels[index])

    def __repr__(self) -> str:
        return f"NoisyLabels({len(self)} images, {int(self.flipped.sum())} labels flipped)"


def flip(labels: np.ndarray, draws: np.ndarray, rate: float, kind: Kind, classes: int) -> np.ndarray:
    """Labels of which a share turned into other ones.

    Args:
        labels: (N,) int64 in ``0 .. classes - 1``.
        draws: (N, 2) floating in [0, 1): whether, and to which.
        rate: in [0, 1].

    Returns:
        ndarray: (N,) int64.
    """
    if kind not in KINDS:
        raise UserError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    if kind == "pair":
        new = labels + 1
    elif kind == "uniform":
        new = np.floor(draws[:, 1] * classes).astype(np.int64)
    else:
        new = labels + 1 + np.floor(draws[:, 1] * (classes - 1)).astype(np.int64)
    return np.where(draws[:, 0] < rate, new % classes, labels)


def transit(labels: np.ndarray, draws: np.ndarray, matrix: np.ndarray, classes: int) -> np.ndarray:
    """(N,) int64 labels drawn by (N,) ``draws`` in [0, 1) from the rows of their classes in a (K, K) matrix."""
    if matrix.shape != (classes, classes):
        raise UserError(f"matrix must have shape {(classes, classes)}, a row a class, got {matrix.shape}")
    sums = matrix.sum(1)
    wrong = np.flatnonzero(~((matrix >= 0).all(1) & (np.abs(sums - 1) <= 1e-6)))
    if len(wrong):
        raise UserError(
            f"matrix must hold chances whose rows sum to 1, got {matrix[wrong[0]].tolist()} in row {wrong[0]}"
        )
    reached = matrix.cumsum(1)
    reached /= reached[:, -1:]  # exactly 1 at the end, so that no draw falls behind it
    return (reached[labels] <= draws[:, None]).sum(1)


def _checked_rate(rate: float | None) -> float:
    if rate is None:
        raise UserError("rate must be given where there is neither matrix nor file, got None")
    if not isinstance(rate, numbers.Real):
        raise TypeError(f"rate must be a number, got {rate!r}")
    if not 0 <= rate <= 1 or math.isnan(rate):
        raise UserError(f"rate must be a share in [0, 1], got {rate!r}")
    return float(rate)


def _check_labels(labels: np.ndarray, count: int) -> None:
    if not len(labels):
        raise UserError("dataset must hold at least one image, got none")
    if count < 2:
        raise UserError(f"label noise needs two or more classes, got {count}")
    wrong = np.flatnonzero((labels < 0) | (labels >= count))
    if len(wrong):
        raise UserError(f"labels must lie in 0 .. {count - 1}, got {labels[wrong[0]]} (item {wrong[0]})")
