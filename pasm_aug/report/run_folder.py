"""A finished run, read from its folder."""

from __future__ import annotations

import csv
import math
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pasm_aug.core.checksums import CHECKSUMS, damaged
from pasm_aug.core.errors import UserError
from pasm_aug.core.files import read_json
from pasm_aug.report.outcome import main_arm
from pasm_aug.rounds.results import RoundResult


@dataclass
class Run:
    """What a run left behind.

    Attributes:
        arms: the rounds of each arm, the first teacher at the head of every one.
        config: the options of the run.
    """

    folder: Path
    arms: dict[str, list[RoundResult]]
    config: dict[str, Any] = field(default_factory=dict)

    @property
    def main(self) -> list[RoundResult]:
        """The rounds of the arm that the run is about."""
        return self.arms[main_arm(self.arms)]

    @property
    def model(self) -> dict[str, Any]:
        """What the first teacher's ``model.json`` tells, where there is one."""
        file = Path(self.main[0].folder) / "model.json"
        return read_json(file) if file.exists() else {}

    @property
    def noise(self) -> str:
        """How many training labels were made wrong, and how, for people; empty where none were."""
        data = self.model.get("data") or {}
        if not data.get("noise"):
            return ""
        count, name = self.main[0].train.count, Path(str(data["noise"])).name
        return f"{data.get('flipped', 0):,} of the {count:,} training labels made wrong (--noise {name})"

    @property
    def stopped(self) -> str:
        """Why the rounds stopped; empty where the run does not tell."""
        file = self.folder / "stop.json"
        try:
            return str(read_json(file).get("reason", "")) if file.exists() else ""
        except ValueError as error:
            return f"not known: {error}"


def read_run(folder: Path, *, check: bool = True) -> Run:
    """Read ``config.json`` and the results of every arm; other damaged files are named in a warning.

    Args:
        check: look for damage.

    Raises:
        ValueError: no run, damage in what is read here, or a run that has not ended.
    """
    if not (folder / "config.json").exists():
        raise UserError(f"{folder / 'config.json'} cannot be read: {folder} is no folder of `pasm-aug run`")
    if check:
        check_sums(folder)
    config = read_json(folder / "config.json")
    arms = {config["augment"]: _read_rounds(folder, check)}
    for base in _baselines(folder):
        own = _read_rounds(base, check)
        shared = arms[config["augment"]][:1] if not own or own[0].round else []  # the arm plain has its own
        arms[base.name] = [*shared, *own]
    if any(r.test is None for results in arms.values() for r in results) or not arms[config["augment"]]:
        raise UserError(f"{folder} holds no finished run: go on with the command that began it")
    return Run(folder, arms, config)


def _baselines(folder: Path) -> list[Path]:
    """The folders of the other arms; what a file manager leaves beside them is none."""
    return sorted(place for place in (folder / "baselines").glob("*") if place.is_dir() and place.name[0] != ".")


def finished_run(folder: Path) -> Run | None:
    """The run in a folder if all its arms have ended and every file is as it was written, else ``None``."""
    ends = [folder, *_baselines(folder)]
    places = [*ends, *(place for end in ends for place in end.glob("round-*"))]
    whole = all((place / CHECKSUMS).exists() for place in places) and not any(map(damaged, places))
    if not whole or not all((end / "stop.json").exists() for end in ends):
        return None
    try:
        return read_run(folder, check=False)
    except UserError:
        return None


def _read_rounds(folder: Path, check: bool) -> list[RoundResult]:
    files = sorted(folder.glob("round-*/result.json"), key=lambda file: int(file.parent.name.split("-")[1]))
    for file in files if check else ():
        check_sums(file.parent)
    return [RoundResult.load(file.parent) for file in files]


def rewritten(name: str) -> bool:
    """Whether a file, as :func:`~pasm_aug.core.checksums.damaged` names it, is what each report writes anew."""
    return name.split(" or ")[0] == "report.html" or name.startswith("figures/")


def check_sums(folder: Path) -> None:
    """Name the files of a folder, but :func:`rewritten` ones, that are not what its list of checksums says.

    Raises:
        ValueError: one of them holds options or scores: a report of wrong numbers would be worse than none.
    """
    for name in damaged(folder):
        if rewritten(name):
            continue
        text = f"{folder / name} is damaged: it is not what {CHECKSUMS} says"
        if name.split(" or ")[0] in ("config.json", "result.json", "predictions.csv"):
            raise UserError(f"{text}; put it back from a copy")
        warnings.warn(text, stacklevel=2)


def read_metrics(result: RoundResult) -> list[dict[str, float]]:
    """The rows of a round's ``metrics.csv``; none without a file.

    Raises:
        ValueError: the file is damaged, by name.
    """
    file = Path(result.folder) / "metrics.csv"
    if not file.exists():
        return []
    try:
        with open(file, newline="", encoding="utf-8") as handle:
            return [{k: float(v) if v else math.nan for k, v in row.items()} for row in csv.DictReader(handle)]
    except (TypeError, ValueError) as error:
        raise UserError(f"{file} is damaged: {error}") from error
