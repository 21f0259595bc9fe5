"""What mining found, in a few numbers: how far the probabilities fell, and how many answers changed with them.

The file keeps the probability of one class before and after. It tells the answer where that is above one half (it is
the largest then) or below one part in K of K classes (another one is larger then); between the two it may be either.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Findings:
    """Of the distinct images of a cache whose probabilities are known, by the first point of each.

    Attributes:
        images: how many they are.
        clean, point: mean probability of the attacked class without and with the point; NaN without any image.
        changed: share of the images whose answer changes: at least, at most; ``None`` where the number of classes is
            not known.
    """

    images: int
    clean: float
    point: float
    changed: tuple[float, float] | None

    @property
    def told(self) -> str:
        """The share of changed answers, in words."""
        if self.changed is None:
            return "an unknown share of the images"
        least, most = (f"{share:.0%}" for share in self.changed)
        return f"{least} of the images" if least == most else f"{least} to {most} of the images (not told closer)"

    def sentence(self) -> str:
        """For people."""
        if not self.images:
            return "no probability is known"
        fall = f"mean p(label) {self.clean:.3f} → {self.point:.3f}"
        return fall if self.changed is None else f"{fall}, the answer changes for {self.told}"


def findings_of(p_clean: np.ndarray, p_point: np.ndarray, classes: int | None) -> Findings:
    """From probabilities.

    Args:
        p_clean: (R,), NaN where nothing was asked. p_point: (R,).
        classes: how many outputs the teacher has, where that is known.
    """
    known = np.isfinite(p_clean) & np.isfinite(p_point)
    clean, point = p_clean[known].astype(np.float64), p_point[known].astype(np.float64)
    if not len(clean):
        return Findings(0, float("nan"), float("nan"), None)
    changed = None
    if classes:
        least = (clean > 0.5) & (point < 1 / classes)
        most = (clean >= 1 / classes) & (point <= 0.5)
        changed = float(least.mean()), float(most.mean())
    return Findings(len(clean), float(clean.mean()), float(point.mean()), changed)


def search_fingerprint(fingerprint: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a search was made with, also of points that were moved or stacked afterwards: then of the first."""
    while True:
        if isinstance(fingerprint.get("mined"), Mapping):
            fingerprint = fingerprint["mined"]
        elif fingerprint.get("stacked"):
            fingerprint = fingerprint["stacked"][0]
        else:
            return fingerprint


def outputs_of(metadata: Mapping[str, Any]) -> int | None:
    """How many classes the teacher tells apart, where the file says it."""
    teacher = search_fingerprint(metadata.get("fingerprint", {})).get("teacher", {})
    logits = teacher.get("probe_logits", ())  # of two images
    return len(logits) // 2 or len(metadata.get("dataset", {}).get("classes", ())) or None
