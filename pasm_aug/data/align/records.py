"""What became of each photograph: ``align.csv``, and a journal that survives being killed."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterable
from pathlib import Path

from pasm_aug.core.errors import UserError
from pasm_aug.core.files import write_atomic
from pasm_aug.data.align.detector import Face

_PARTS = ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")  # left and right as seen in the image
COLUMNS = (
    *("file", "output", "status", "faces", "left", "top", "right", "bottom"),
    *(f"{part}_{axis}" for part in _PARTS for axis in "xy"),
    "probability",
)

Row = dict[str, str]


def numbers_of(face: Face) -> Row:
    values = [*face.box, *face.landmarks.ravel()]
    return dict(zip(COLUMNS[4:], [*(f"{value:.2f}" for value in values), f"{face.probability:.4f}"], strict=True))


class Records:
    """The rows of each file: ``align.csv``, and the journal of what was done since that was written."""

    def __init__(self, dst: Path) -> None:
        self.dst, self.csv, self.journal = dst, dst / "align.csv", dst / ".align.journal"
        self.rows: dict[str, list[Row]] = {}
        there = [path for path in (self.csv, self.journal) if path.exists()]
        self.written = max((path.stat().st_mtime_ns for path in there), default=0)
        for path in there:
            whole = path.read_bytes().decode("utf-8", "surrogateescape").rpartition("\n")[0]  # a kill cuts the last
            rows = csv.DictReader(io.StringIO(whole, newline=""))
            if list(rows.fieldnames or COLUMNS) != list(COLUMNS):
                raise UserError(f"{path} is damaged: its columns are {', '.join(rows.fieldnames or ())}")
            self._take([row for row in rows if None not in row and None not in row.values()])
        if self.journal.exists():
            self.fold()
        for path in dst.rglob(".*.tmp"):
            if re.fullmatch(r"\..+\.\d+\.tmp", path.name):
                path.unlink(missing_ok=True)  # its process was killed before it could rename it

    def forget(self, files: Iterable[str]) -> None:
        """Drop files and their outputs."""
        for file in files:
            for row in self.rows.pop(file):
                if row["output"]:
                    (self.dst / row["output"]).unlink(missing_ok=True)

    def add(self, rows: list[Row]) -> None:
        """Take the rows of a finished unit; when this returns they are on the disk."""
        rows = [{column: row.get(column, "") for column in COLUMNS} for row in rows]
        with open(self.journal, "ab") as handle:
            handle.write(_csv_bytes(rows, header=handle.tell() == 0))
            handle.flush()
            os.fsync(handle.fileno())
        self._take(rows)

    def fold(self) -> None:
        """Write all rows into ``align.csv``, unless they stand there, and drop the journal."""
        data = _csv_bytes([row for file in sorted(self.rows) for row in self.rows[file]], header=True)
        if not self.csv.exists() or self.csv.read_bytes() != data:
            write_atomic(self.csv, data)
        self.journal.unlink(missing_ok=True)

    def _take(self, rows: list[Row]) -> None:
        fresh: dict[str, list[Row]] = {}
        for row in rows:
            fresh.setdefault(row["file"], []).append(row)
        self.rows |= fresh


def _csv_bytes(rows: list[Row], *, header: bool) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    if header:
        writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode("utf-8", "surrogateescape")
