"""What a round leaves behind: its scores, on disk and as rows of a table."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from pasm_aug.core.errors import UserError
from pasm_aug.core.files import read_json, write_csv, write_json
from pasm_aug.training.metrics import Metrics


@dataclass(repr=False)
class RoundResult:
    """One trained network of a run: round 0 is the first teacher, the others are students.

    ``test`` is ``None`` until the run has stopped: the test split is scored once, for the table. ``apart`` are the
    scores without the test images that also stand in the training split; ``None`` if there are none. ``occluded`` is
    the accuracy on the test split under a grey square, 13/48 of the image: its ``mean`` over places and its ``worst``
    case (right at all of them), and with the ``eyes`` and the ``mouth`` blacked out. ``gain`` is the paired gain on
    validation over round ``gain_over``, ``gain_error`` its standard error, both as shares of the images
    (:func:`~pasm_aug.training.paired_gain.paired_gain`).
    """

    arm: str
    round: int
    folder: str
    teacher_round: int | None
    improved: bool
    train: Metrics
    val: Metrics
    test: Metrics | None = None
    apart: Metrics | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    queries: int = 0
    erased_share: float = 0.0  # of the pixels seen in the last epoch
    hit_rate: float | None = None  # share of the training images whose point the cache knows
    occluded: dict[str, float] | None = None
    gain: float = 0.0
    gain_error: float = 0.0
    gain_over: int | None = None
    test_digest: int | None = None  # of the images that were scored as the test split

    def __repr__(self) -> str:
        known = {"train": self.train, "val": self.val, "test": self.test}
        scores = ", ".join(f"{name} {one.accuracy:.1%}" for name, one in known.items() if one is not None)
        improved = ", improved" if self.improved and self.round else ""
        return f"RoundResult({self.arm}, round {self.round}: {scores}{improved}, {self.folder!r})"

    def save(self) -> None:
        """Write ``result.json``, and ``predictions.csv``: every validation and test image's label and prediction."""
        data = {f.name: getattr(self, f.name) for f in fields(self)}
        data |= {name: scores.asdict() for name, scores in data.items() if isinstance(scores, Metrics)}
        rows = [
            {"split": split, "index": index, "label": label, "predicted": predicted}
            for split in ("val", "test")
            if data[split] and getattr(self, split).predictions is not None
            for index, (label, predicted) in enumerate(getattr(self, split).predictions.T.tolist())
        ]
        if rows:
            write_csv(Path(self.folder) / "predictions.csv", rows)
        write_json(Path(self.folder) / "result.json", data | {"folder": Path(self.folder).name})

    @classmethod
    def load(cls, folder: Path) -> RoundResult:
        """Read ``result.json`` and ``predictions.csv`` of a finished round."""
        data, predictions = read_json(folder / "result.json"), read_predictions(folder / "predictions.csv")
        scores = {
            k: Metrics(**data[k], predictions=predictions.get(k)) if data.get(k) else None
            for k in ("train", "val", "test", "apart")
        }
        return cls(**(data | scores | {"folder": str(folder)}))


def read_predictions(path: Path) -> dict[str, np.ndarray]:
    """Label and predicted class of every image, (2, count) int64 for each split in the file; none without a file.

    Raises:
        ValueError: the file is damaged, by name.
    """
    if not path.exists():
        return {}
    predictions: dict[str, list[tuple[int, int]]] = {}
    try:
        with open(path, newline="", encoding="utf-8") as handle:
            for row in csv.DictReader(handle):
                predictions.setdefault(row["split"], []).append((int(row["label"]), int(row["predicted"])))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is damaged: {error}") from error
    return {split: np.array(pairs, dtype=np.int64).T for split, pairs in predictions.items()}


def best_round(results: list[RoundResult]) -> RoundResult:
    """The round that validation picks: the last one that improved on all before it."""
    return [result for result in results if result.improved][-1]


def write_rounds(path: Path, results: list[RoundResult]) -> None:
    """One row a round: arm, round, its teacher, accuracies in [0, 1], seconds, queries, share of the pixels erased.

    Where any is known: the accuracies under a square.
    """
    occluded = ("mean", "worst") if any(r.occluded for r in results) else ()
    rows = []
    for r in results:
        row: dict[str, Any] = {"arm": r.arm, "round": r.round, "teacher_round": r.teacher_round, "improved": r.improved}
        for split, scores in (("train", r.train), ("val", r.val), ("test", r.test), ("test_apart", r.apart)):
            row[f"{split}_accuracy"] = round(scores.accuracy, 6) if scores else ""
        rows.append(
            row
            | {f"{k}_seconds": round(r.seconds.get(k, 0.0), 2) for k in ("mine", "train")}
            | {"queries": r.queries, "erased_share": round(r.erased_share, 6)}
            | {f"occluded_{k}": round(r.occluded[k], 6) if r.occluded else "" for k in occluded}
        )
    write_csv(path, rows)
