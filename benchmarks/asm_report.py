"""The tables of ``asm.py``: what its arms reach, what they find, and where."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from common import table
from online_gain import gains

BY_CLASS = ("clean: right, %", "noise: wrong, %", "wrong: found, %")
SHARES = ("val", "test", "clean_share", "clean_purity", "noise_precision", "noise_recall")


def report(rows: list[dict[str, Any]], lead: str = "asm") -> str:
    """Means of the arms, ``lead`` against the others on the same seeds, found noise by score and by class."""
    by_arm: dict[str, dict[int, dict[str, Any]]] = {}
    for row in rows:
        by_arm.setdefault(row["arm"], {})[row["seed"]] = row
    arms = {arm: list(cells.values()) for arm, cells in by_arm.items()}
    return "\n\n".join([_means(arms), gains(by_arm, lead, ["val", "test"]), _areas(arms), _classes(arms)])


def _mean(values: Iterable[float | None], unit: float = 100) -> float | None:
    known = [value for value in values if value is not None]
    return unit * float(np.mean(known)) if known else None


def _means(arms: dict[str, list[dict[str, Any]]]) -> str:
    columns = {"arm": "arm", "seeds": "seeds", "epochs": "epochs", "seconds": "seconds|.0f"}
    columns |= {name: f"{name.replace('_', ' ')}|.1f" for name in SHARES}
    rows = [
        {"arm": arm, "seeds": len(cells), "epochs": cells[0]["epochs"]}
        | {"seconds": _mean((row["train_seconds"] for row in cells), 1)}
        | {name: _mean(row.get(name) for row in cells) for name in SHARES}
        for arm, cells in arms.items()
    ]
    return table(columns, rows)


def _areas(arms: dict[str, list[dict[str, Any]]]) -> str:
    names = sorted({name for cells in arms.values() for row in cells for name in row if name.startswith("ap_")})
    rows = [
        {"arm": arm} | {name: _mean((row.get(name) for row in cells), 1) for name in names}
        for arm, cells in arms.items()
    ]
    return table({"arm": "arm"} | {name: f"{name.replace('_', ' ')}|.3f" for name in names}, rows)


def _classes(arms: dict[str, list[dict[str, Any]]]) -> str:
    rows = []
    for arm, cells in arms.items():
        told = [row["by_class"] for row in cells if "by_class" in row]
        for label in told[0] if told else ():
            means = (_mean(known) for known in zip(*(found[label] for found in told), strict=True))
            rows.append({"arm": arm, "label": label} | dict(zip(BY_CLASS, means, strict=True)))
    return table({"arm": "arm", "label": "label"} | {name: f"{name}|.0f" for name in BY_CLASS}, rows)
