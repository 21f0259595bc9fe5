"""The difference of two networks on a split, in points, with its interval and a word for what it means."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pasm_aug.training.interval import Z95
from pasm_aug.training.metrics import Metrics
from pasm_aug.training.paired_gain import Gain, paired_gain


def half_width(scores: Metrics) -> float:
    """Of the 95 % interval of an accuracy, in [0, 1]."""
    low, high = scores.interval
    return (high - low) / 2


def meaning(points: float, half: float) -> str:
    """A difference in words: it is clear where its 95 % interval, ``half`` to either side, leaves 0 out.

    An interval without any width is not that of a certain difference, but of two or three values that happen to agree.
    """
    if not abs(points) > half > 0:
        return "no measurable effect"
    return "a clear gain" if points > 0 else "a clear loss"


@dataclass(frozen=True)
class Difference:
    """How much better the second network is, in points of accuracy.

    Attributes:
        points: accuracy of the second minus that of the first, in [-100, 100].
        half: half the width of its 95 % interval.
        paired: the comparison image by image, where both networks' predictions are known; its interval is far narrower.
    """

    points: float
    half: float
    paired: Gain | None = None

    @property
    def word(self) -> str:
        """What it means."""
        return meaning(self.points, self.half)

    def __str__(self) -> str:
        return f"{round(self.points, 1) + 0.0:+.1f} ±{self.half:.1f}"  # and not -0.0


def difference(before: Metrics, after: Metrics) -> Difference:
    """Compare two networks on a split, image by image where both tell their predictions."""
    if (
        before.predictions is not None
        and after.predictions is not None
        and np.array_equal(before.predictions[0], after.predictions[0])
    ):
        paired = paired_gain(before.predictions, after.predictions)
        return Difference(100 * paired.gain, 100 * Z95 * paired.error, paired)
    noise = float(np.hypot(half_width(before), half_width(after)))
    return Difference(100 * (after.accuracy - before.accuracy), 100 * noise)


def class_differences(before: Metrics, after: Metrics) -> list[Difference | None]:
    """:func:`difference` within each class; ``None`` for a class without an image."""
    found: list[Difference | None] = []
    counts = np.asarray(after.confusion).sum(1)
    for label, count in enumerate(counts.tolist()):
        parts = [
            Metrics(
                accuracy=m.per_class[label] or 0.0,
                loss=0.0,
                per_class=[],
                confusion=[],
                count=count,
                predictions=None if m.predictions is None else m.predictions[:, m.predictions[0] == label],
            )
            for m in (before, after)
        ]
        found.append(difference(*parts) if count else None)
    return found
