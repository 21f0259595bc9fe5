"""What a round leaves behind: its scores, on disk and as rows of a table."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pasm_aug.evaluation import Metrics
from pasm_aug.files import read_json, write_atomic, write_json


@dataclass
class RoundResult:
    """One trained network of a run: round 0 is the first teacher, the others are students.

    ``test`` is ``None`` until the run has stopped: the test split is scored once, for the table. ``apart`` are the
    scores without the test pictures that also stand in the training split; ``None`` if there are none.
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

    def save(self) -> None:
        write_json(Path(self.folder) / "result.json", asdict(self) | {"folder": Path(self.folder).name})

    @classmethod
    def load(cls, folder: Path) -> RoundResult:
        """Read ``result.json`` of a finished round."""
        data = read_json(folder / "result.json")
        scores = {k: Metrics(**data[k]) if data.get(k) else None for k in ("train", "val", "test", "apart")}
        return cls(**(data | scores | {"folder": str(folder)}))


def best_round(results: list[RoundResult]) -> RoundResult:
    """The round that validation picks: the last one that improved on all before it."""
    return [result for result in results if result.improved][-1]


def write_rounds(path: Path, results: list[RoundResult]) -> None:
    """One row a round: arm, round, its teacher, accuracies in [0, 1], seconds, queries, share of the pixels erased."""
    rows = []
    for r in results:
        row: dict[str, Any] = {"arm": r.arm, "round": r.round, "teacher_round": r.teacher_round, "improved": r.improved}
        for split, scores in (("train", r.train), ("val", r.val), ("test", r.test), ("test_apart", r.apart)):
            row[f"{split}_accuracy"] = round(scores.accuracy, 6) if scores else ""
        rows.append(
            row
            | {f"{k}_seconds": round(r.seconds.get(k, 0.0), 2) for k in ("mine", "train")}
            | {"queries": r.queries, "erased_share": round(r.erased_share, 6)}
        )
    write_csv(path, rows)


def write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    """Rows of one set of columns as CSV, atomically."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomic(path, text.getvalue().encode())
