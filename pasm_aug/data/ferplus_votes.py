"""From the ten votes of FER+ (Barsoum et al. 2016, arXiv 1608.01041) to one label."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

import numpy as np

from pasm_aug.core.errors import UserError
from pasm_aug.data.tables import Place, read_cells, read_table

CLASSES = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
CHOICES = (*CLASSES, "unknown", "nf")  # that the voters had; the last: no face
Policy = Literal["majority", "plurality", "argmax"]
POLICIES: tuple[Policy, ...] = get_args(Policy)
LEFT_OUT = -1


def decide(votes: np.ndarray, policy: Policy) -> np.ndarray:
    """(N,) int64 labels of votes (N, 10), or -1 where ``policy`` comes to no emotion.

    - ``majority``, that of the paper: single votes are dropped as outliers, then more than half of the rest must agree.
    - ``plurality``: one choice has more votes than any other.
    - ``argmax``: the emotion with the most votes, whatever unknown and no-face have; the first of several.

    Raises:
        ValueError: an unknown policy.
    """
    if policy == "majority":
        votes = np.where(votes > 1, votes, 0)
        decided = 2 * votes.max(1) > votes.sum(1)
    elif policy == "plurality":
        decided = (votes == votes.max(1, keepdims=True)).sum(1) == 1
    elif policy == "argmax":
        votes = votes[:, : len(CLASSES)]
        decided = votes.any(1)
    else:
        raise UserError(f"policy must be one of {', '.join(POLICIES)}, got {policy!r}")
    labels = votes.argmax(1)
    return np.where(decided & (labels < len(CLASSES)), labels, LEFT_OUT).astype(np.int64)


def read_new_csv(path: Path, usage: str, usages: tuple[str, ...]) -> tuple[list[str], np.ndarray]:
    """Image names ("" where FER+ removed it) and votes (N, 10) of the rows of fer2013new.csv with this Usage.

    Raises:
        ValueError: a malformed row or a name that stands twice; file and line are named.
    """
    names: list[str] = []
    votes: list[list[int]] = []
    seen: dict[str, int] = {}
    for place, row in read_table(path, ("Usage", "Image name", *CHOICES)):
        if row["usage"] not in usages:
            raise place.error(f"Usage must be one of {', '.join(usages)}, got {row['usage']!r}")
        name = row["image name"]
        if name and seen.setdefault(name, place.line) != place.line:
            raise place.error(f"the image {name!r} stands already in line {seen[name]}")
        if row["usage"] == usage:
            names.append(name)
            votes.append(_votes(place, [row[choice] for choice in CHOICES]))
    return names, _as_array(votes)


def read_label_csv(path: Path) -> tuple[list[str], np.ndarray]:
    """Image names and votes (N, 10) of a label.csv: name, a box in some versions, ten votes; no header.

    Raises:
        ValueError: a malformed row or a name that stands twice; file and line are named.
    """
    seen: dict[str, int] = {}
    votes: list[list[int]] = []
    for place, cells in read_cells(path):
        if len(cells) - len(CHOICES) not in (1, 2):
            raise place.error(f"expected a name, perhaps a box, and {len(CHOICES)} votes, got {len(cells)} cells")
        if seen.setdefault(cells[0], place.line) != place.line:
            raise place.error(f"the image {cells[0]!r} stands already in line {seen[cells[0]]}")
        votes.append(_votes(place, cells[-len(CHOICES) :]))
    return list(seen), _as_array(votes)


def _votes(place: Place, cells: list[str]) -> list[int]:
    return [place.integer(cell, f"votes for {choice}", 0, 100) for cell, choice in zip(cells, CHOICES, strict=True)]


def _as_array(votes: list[list[int]]) -> np.ndarray:
    return np.array(votes, dtype=np.int64).reshape(-1, len(CHOICES))
