"""The scores of one network on one split; read again without loading torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from pasm_aug.training.interval import wilson


@dataclass(frozen=True, repr=False)
class Metrics:
    """Scores of one network on one split; rows of ``confusion`` are true classes, columns predicted ones.

    ``predictions`` (2, count) int64 are every sample's label and predicted class, in the order of the split; they are
    not part of :meth:`asdict`, because a table of their own (``predictions.csv``) holds them.
    """

    accuracy: float
    loss: float
    per_class: list[float | None]
    confusion: list[list[int]]
    count: int
    predictions: np.ndarray | None = field(default=None, compare=False)

    def __repr__(self) -> str:
        known = any(recall is not None for recall in self.per_class)
        mean = f", mean over the classes {self.mean_per_class:.2%}" if known else ""
        return f"Metrics({self.accuracy:.2%} of {self.count:,} images right{mean}, loss {self.loss:.3f})"

    def asdict(self) -> dict[str, Any]:
        scores = asdict(replace(self, predictions=None))
        del scores["predictions"]
        return scores

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the accuracy, in [0, 1], that the number of images allows (Wilson)."""
        return wilson(round(self.accuracy * self.count), self.count)

    @property
    def mean_per_class(self) -> float:
        """Mean recall over the classes that have images."""
        known = [recall for recall in self.per_class if recall is not None]
        return sum(known) / len(known)
