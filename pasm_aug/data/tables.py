"""Read the text files that come with data sets: every line and cell knows its place, so that an error can name it."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pasm_aug.core.errors import UserError


@dataclass(frozen=True)
class Place:
    """A line of a file; as text ``<file>, line <number>``."""

    path: Path
    line: int

    def __str__(self) -> str:
        return f"{self.path}, line {self.line}"

    def error(self, message: str) -> UserError:
        return UserError(f"{self}: {message}")

    def integer(self, text: str, name: str, low: int, high: int) -> int:
        """The integer in ``low .. high`` that ``text`` is; ``name`` says in the error what was wanted."""
        number = int(text) if text.isascii() and text.removeprefix("-").isdigit() else None
        if number is None or not low <= number <= high:
            raise self.error(f"{name} must be an integer in {low} .. {high}, got {text!r}")
        return number


def read_lines(path: Path) -> Iterator[tuple[Place, str]]:
    """Lines that are not blank, without blanks around them. A byte order mark and CRLF are fine."""
    # Names of files may be in another encoding than UTF-8: they come through as the file system has them.
    with path.open(encoding="utf-8-sig", errors="surrogateescape") as file:
        for number, line in enumerate(file, start=1):
            if text := line.strip():
                yield Place(path, number), text


def read_cells(path: Path, delimiter: str = ",") -> Iterator[tuple[Place, list[str]]]:
    """Rows of a CSV file as lists of cells, without blanks around them; blank rows are dropped."""
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, skipinitialspace=True)
        try:
            for row in reader:
                cells = [cell.strip() for cell in row]
                if any(cells):
                    yield Place(path, reader.line_num), cells
        except csv.Error as error:
            raise Place(path, reader.line_num).error(str(error)) from None


def read_table(
    path: Path, required: Sequence[str] = (), *, columns: Sequence[str] | None = None
) -> Iterator[tuple[Place, dict[str, str]]]:
    """Rows of a CSV file as column name (lower case) → cell.

    Args:
        path: the file; with a header, its cells are separated by the one of ``,`` ``;`` and tab that this has most of.
        required: columns that the header must have.
        columns: their names, if the file has no header.

    Raises:
        ValueError: a missing or doubled column, a row with more or fewer cells than columns; file and line are named.
    """
    rows = read_cells(path, "," if columns else _delimiter(path))
    if columns is None:
        place, header = next(rows, (Place(path, 1), []))
        names = [cell.lower() for cell in header]
        _check_header(place, names, required)
    else:
        names = [name.lower() for name in columns]
    for place, cells in rows:
        if len(cells) != len(names):
            raise place.error(f"expected {len(names)} columns ({', '.join(names)}), got {len(cells)}")
        yield place, dict(zip(names, cells, strict=True))


def _delimiter(path: Path) -> str:
    _, first = next(read_lines(path), (None, ""))
    return max(",;\t", key=first.count)


def _check_header(place: Place, names: list[str], required: Sequence[str]) -> None:
    for name in required:
        if name.lower() not in names:
            raise place.error(f"column {name!r} is missing, got {', '.join(names) or 'an empty file'}")
    doubled = [name for name in names if names.count(name) > 1]
    if doubled:
        raise place.error(f"column {doubled[0]!r} stands there twice")
