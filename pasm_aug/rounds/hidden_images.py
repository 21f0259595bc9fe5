"""Which test images a network has right under a square, image by image: what compares two networks as a pair."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pasm_aug.core.errors import UserError
from pasm_aug.core.files import write_csv

if TYPE_CHECKING:  # loads torch, which telling a finished run again does without
    from pasm_aug.training.occlusion_metrics import OcclusionMetrics

FILE = "occlusion_images.csv"


def write_hidden(folder: Path, found: OcclusionMetrics) -> None:
    """Write at how many places of the first square each image is right, and whether it is so at all of them."""
    square = found.squares[0]
    assert square.counts is not None
    table = zip(found.labels.tolist(), square.counts.tolist(), square.robust.tolist(), strict=True)
    rows = [
        {"index": index, "label": label, "places_right": right, "right_everywhere": int(robust)}
        for index, (label, right, robust) in enumerate(table)
    ]
    write_csv(folder / FILE, rows)


def read_hidden(folder: Path) -> np.ndarray | None:
    """Label and whether it is right at all places, (2, N) int64, of every test image; ``None`` without a file.

    Raises:
        ValueError: the file is damaged, by name.
    """
    file = folder / FILE
    if not file.exists():
        return None
    try:
        with open(file, newline="", encoding="utf-8") as handle:
            rows = [(int(row["label"]), int(row["right_everywhere"])) for row in csv.DictReader(handle)]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{file} is damaged: {error}") from error
    return np.array(rows, dtype=np.int64).reshape(-1, 2).T
