"""What occluding squares and bands leave of a network's accuracy: the numbers of :mod:`pasm_aug.training.occlusion`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pasm_aug.training.occluders import Square


@dataclass(frozen=True, eq=False, repr=False)
class SquareScores:
    """Accuracy under a square of one size and fill, tried at places in rows and columns.

    Attributes:
        side: of the square, in pixels. share: of the image's shorter side.
        fill: "black", "grey", "white", "mean" or "random".
        tops (rows,), lefts (columns,): int64, the first row and the first column of pixels that a square covers.
        worst: share in [0, 1] of the images that are right at *every* place.
        robust: (N,) bool, these images, in the order of the data set.
        mean: accuracy in [0, 1], its mean over the places; ``None`` if only the worst case was looked for, and so are
            the next ones.
        counts: (N,) int64, at how many places each image is right.
        heatmap: (rows, columns) float64, accuracy by place.
        class_heatmaps: (classes, rows, columns) float64, the same for the images of each class; NaN without any.
    """

    side: int
    share: float
    fill: str
    tops: np.ndarray
    lefts: np.ndarray
    worst: float
    robust: np.ndarray
    mean: float | None = None
    counts: np.ndarray | None = None
    heatmap: np.ndarray | None = None
    class_heatmaps: np.ndarray | None = None

    def __repr__(self) -> str:
        mean = "" if self.mean is None else f"mean {self.mean:.1%}, "
        return f"SquareScores({self.side} px {self.fill} at {self.places} places: {mean}worst {self.worst:.1%})"

    @property
    def places(self) -> int:
        """How many places the square was tried at."""
        return len(self.tops) * len(self.lefts)

    def asdict(self) -> dict[str, Any]:
        """As JSON holds it, without the arrays that have an entry for every image."""
        return {
            "side": self.side,
            "share": self.share,
            "fill": self.fill,
            "tops": self.tops.tolist(),
            "lefts": self.lefts.tolist(),
            "worst": self.worst,
            "mean": self.mean,
            "heatmap": _plain(self.heatmap),
            "class_heatmaps": _plain(self.class_heatmaps),
        }


@dataclass(frozen=True, eq=False)
class BandScores:
    """Accuracy with a band of rows blacked out, from border to border.

    Attributes:
        top, bottom: its first row of pixels, and the first one below it.
        accuracy: in [0, 1]. right: (N,) bool, the images that are right, in the order of the data set.
    """

    top: int
    bottom: int
    accuracy: float
    right: np.ndarray = field(repr=False)

    def asdict(self) -> dict[str, Any]:
        return {"top": self.top, "bottom": self.bottom, "accuracy": self.accuracy}


@dataclass(frozen=True, eq=False, repr=False)
class OcclusionMetrics:
    """What :func:`~pasm_aug.training.occlusion.evaluate_occlusion` found.

    Attributes:
        clean: accuracy in [0, 1] on the images as they are. clean_right: (N,) bool, the images that are right then.
        labels: (N,) int64. Both stand in the order of the data set, as all arrays over images do.
        squares: one entry for each size and fill, size by size.
        bands: "eyes" and "mouth"; empty if they were not asked for.
        size: height and width of the images, in pixels. classes: outputs of the network.
        forwards: images that the network was asked about, over all processes: as they are and with a part hidden.
    """

    clean: float
    clean_right: np.ndarray
    labels: np.ndarray
    squares: tuple[SquareScores, ...]
    bands: dict[str, BandScores]
    size: tuple[int, int]
    classes: int
    forwards: int

    def __repr__(self) -> str:
        means = [scores.mean for scores in self.squares if scores.mean is not None]
        worst = [scores.worst for scores in self.squares]
        words = [f"{self.count:,} images: clean {self.clean:.1%}", f"{len(self.squares)} squares"]
        words += [f"{name} {_span(shares)}" for name, shares in (("mean", means), ("worst", worst)) if shares]
        words += [f"without {name} {band.accuracy:.1%}" for name, band in self.bands.items()]
        return f"OcclusionMetrics({', '.join(words)})"

    @property
    def count(self) -> int:
        """How many images were scored."""
        return len(self.labels)

    @property
    def clean_per_class(self) -> list[float | None]:
        """Recall of each class on the images as they are; ``None`` for a class without any."""
        own = [self.clean_right[self.labels == label] for label in range(self.classes)]
        return [float(right.mean()) if len(right) else None for right in own]

    def rows(self) -> list[dict[str, Any]]:
        """A table, one row for each size and fill: the square's side in pixels and its share, fill, mean, worst case.

        ``mean`` is ``None``, in a CSV file nothing, where only the worst case was looked for.
        """
        names = ("side", "share", "fill", "mean", "worst")
        return [{name: getattr(scores, name) for name in names} for scores in self.squares]

    def asdict(self) -> dict[str, Any]:
        """As JSON holds it, NaN as ``None``, without the arrays that have an entry for every image."""
        return {
            "clean": self.clean,
            "clean_per_class": self.clean_per_class,
            "count": self.count,
            "size": list(self.size),
            "squares": [scores.asdict() for scores in self.squares],
            "bands": {name: scores.asdict() for name, scores in self.bands.items()},
            "forwards": self.forwards,
        }


def square_scores(
    square: Square, right: np.ndarray, labels: np.ndarray, classes: int, *, complete: bool
) -> SquareScores:
    """The scores of one size and fill.

    Args:
        right: (N, places) bool, whether an image is right with the square at a place, row by row. Of images that were
            not tried again everything after their first mistake is false, and so is ``complete``.
        labels: (N,) int64.
    """
    robust = right.all(1)
    known: dict[str, Any] = {name: getattr(square, name) for name in ("side", "share", "fill", "tops", "lefts")}
    known |= {"worst": float(robust.mean()), "robust": robust}
    if not complete:
        return SquareScores(**known)
    grid = (len(square.tops), len(square.lefts))
    of_classes = np.full((classes, right.shape[1]), np.nan)
    for label in np.unique(labels).tolist():
        of_classes[label] = right[labels == label].mean(0)
    return SquareScores(
        **known,
        mean=float(right.mean()),
        counts=right.sum(1, dtype=np.int64),
        heatmap=right.mean(0).reshape(grid),
        class_heatmaps=of_classes.reshape(classes, *grid),
    )


def _span(shares: list[float]) -> str:
    """The least and the greatest of some shares."""
    low, high = (f"{one(shares):.1%}" for one in (min, max))
    return low if low == high else f"{low} to {high}"


def _plain(values: np.ndarray | None) -> Any:
    """Nested lists, NaN as ``None``."""
    return None if values is None else np.where(np.isnan(values), np.array(None), values).tolist()
