"""Is one network better than another, or is the difference inside the noise? Both predicted the same images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pasm_aug.core.errors import UserError


@dataclass(frozen=True)
class Gain:
    """A paired difference of two accuracies.

    Attributes:
        gain: accuracy of the second network minus that of the first, in [-1, 1].
        error: its standard error, on the same scale; a gain of more than z of them is one that Bonett and Price's
            interval of z standard errors tells from 0.
        won, lost: images that only the second, or only the first, has right.
        count: images.
    """

    gain: float
    error: float
    won: int
    lost: int
    count: int

    def beyond(self, margin: float) -> bool:
        """Whether the gain exceeds ``margin`` standard errors."""
        return self.gain > margin * self.error


def paired_gain(before: np.ndarray, after: np.ndarray) -> Gain:
    """Compare two networks on the same images.

    Only the images on which they disagree tell them apart, so the error is far smaller than that of two separate
    accuracies. It is that of the adjusted Wald interval of Bonett and Price (2012, "Adjusted Wald confidence interval
    for a difference of binomial proportions based on paired data", J. Educ. Behav. Stat. 37): one image is added to
    each kind of disagreement, so that a single image won does not count as certain. Their interval stands around the
    adjusted difference, ``count / (count + 2)`` of the gain; the error is theirs over that factor, so that an interval
    around the gain itself leaves 0 out exactly where theirs does. It covers the choice of the images, not the chance
    in training: another seed gives another network.

    Args:
        before, after: label and predicted class of every image, (2, count) int, as ``Metrics.predictions``.

    Raises:
        ValueError: predictions to different images.
    """
    before, after = np.asarray(before), np.asarray(after)
    if before.shape != after.shape or not np.array_equal(before[0], after[0]):
        raise UserError(f"both networks must have predicted the same images, got {before.shape} and {after.shape}")
    first, second = before[0] == before[1], after[0] == after[1]
    won, lost, count = int((second & ~first).sum()), int((first & ~second).sum()), before.shape[1]
    up, down = (won + 1) / (count + 2), (lost + 1) / (count + 2)
    error = float(np.sqrt((up + down - (up - down) ** 2) / (count + 2)))
    return Gain((won - lost) / count, error * (count + 2) / count, won, lost, count)
