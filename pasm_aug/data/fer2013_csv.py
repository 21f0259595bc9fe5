"""Read FER2013's CSV files: one row a face, its 2,304 pixels as decimal numbers in one column."""

from __future__ import annotations

import codecs
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pasm_aug.core.errors import UserError

SIDE = 48  # pixels
USAGES = ("Training", "PublicTest", "PrivateTest")


def read_header(path: Path) -> dict[str, int]:
    """Column name (lower case, stripped) → place. Only the first line is read.

    Raises:
        ValueError: no column ``pixels``.
    """
    with path.open("rb") as file:
        header = file.readline().removeprefix(codecs.BOM_UTF8)
    names = [_cell(cell).decode("utf-8", "replace").lower() for cell in header.split(b",")]
    columns = {name: place for place, name in enumerate(names)}
    if "pixels" not in columns:
        raise UserError(f"{path}, line 1: column 'pixels' is missing, got {', '.join(names)}")
    return columns


def read_rows(path: Path, usage: str | None = None) -> tuple[Tensor, np.ndarray]:
    """Pixels (N, 48, 48) uint8 and labels (N,) int64 of the rows with this ``Usage``, or of all rows.

    The file is streamed: memory holds the wanted pixels only.

    Raises:
        ValueError: a missing column, or a malformed row; the message names file and line.
    """
    columns = read_header(path)
    for name in ("emotion", *(("usage",) if usage else ())):
        if name not in columns:
            hint = (
                " (Kaggle's test.csv has no labels; use fer2013.csv or icml_face_data.csv)" if name == "emotion" else ""
            )
            raise UserError(f"{path}, line 1: column {name!r} is missing, got {', '.join(columns)}{hint}")
    pixels, labels = bytearray(), []
    with path.open("rb") as file, warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)  # how older numpy reports text that is no number
        file.readline()
        for number, line in enumerate(file, start=2):
            if not line.strip():
                continue
            try:
                cells = line.split(b",")
                if len(cells) != len(columns):
                    raise UserError(f"expected {len(columns)} columns, got {len(cells)}")
                if usage and _usage(cells[columns["usage"]]) != usage:
                    continue
                labels.append(_label(cells[columns["emotion"]]))
                pixels += _pixels(cells[columns["pixels"]])
            except ValueError as error:
                raise UserError(f"{path}, line {number}: {error}") from None
    if not labels:
        raise UserError(f"{path} has no rows{f' with Usage {usage}' if usage else ''}")
    return torch.frombuffer(pixels, dtype=torch.uint8).view(-1, SIDE, SIDE), np.array(labels, dtype=np.int64)


def _cell(cell: bytes) -> bytes:
    return cell.strip(b' \t\r\n"')


def _usage(cell: bytes) -> str:
    usage = _cell(cell).decode("utf-8", "replace")
    if usage not in USAGES:
        raise UserError(f"Usage must be one of {', '.join(USAGES)}, got {usage!r}")
    return usage


def _label(cell: bytes) -> int:
    text = _cell(cell)
    if not text.isdigit() or int(text) > 6:
        raise UserError(f"emotion must be an integer in 0 .. 6, got {text.decode('utf-8', 'replace')!r}")
    return int(text)


def _pixels(cell: bytes) -> bytes:
    try:
        values = np.fromstring(_cell(cell), dtype=np.int64, sep=" ")
    except (ValueError, DeprecationWarning):
        raise UserError(f"pixels must be integers separated by blanks, got {cell[:40]!r}…") from None
    if len(values) != SIDE * SIDE:
        raise UserError(f"pixels must hold {SIDE * SIDE} numbers ({SIDE}x{SIDE}), got {len(values)}")
    if values.min() < 0 or values.max() > 255:
        raise UserError(f"pixels must lie in 0 .. 255, got {values.min()} .. {values.max()}")
    return values.astype(np.uint8).tobytes()
