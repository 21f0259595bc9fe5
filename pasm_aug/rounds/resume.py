"""What an existing run was made with: compared before it goes on, and before another run shares its points."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pasm_aug.cache.position_cache import PositionCache
from pasm_aug.core.checksums import CHECKSUMS, damaged, resealed
from pasm_aug.core.errors import UserError
from pasm_aug.core.files import read_json, write_json
from pasm_aug.core.options import identity
from pasm_aug.core.processes import exists_for_all, process_state
from pasm_aug.core.recorded_options import begun, refuse
from pasm_aug.rounds.arms import make_erase
from pasm_aug.rounds.results import RoundResult
from pasm_aug.training.options import TrainingOptions


def shared_positions(teacher: Any, out: Path) -> PositionCache | None:
    """The points that another run mined in its first round with the same teacher, data and search, and no miner."""
    if not isinstance(teacher, RoundResult):
        return None
    other = Path(teacher.folder).parent
    theirs = other / "round-1" / "positions.safetensors"
    if other == out or not exists_for_all(theirs):
        return None
    old, new = (read_json(run / "options.json") for run in (other, out))
    same = not old.get("miner") and all(old[k] == new[k] for k in ("search", "seed", "data"))
    return PositionCache.open(theirs) if same else None


def check_folder(out: Path) -> None:
    """Look for damage in the files of a run itself; its rounds are looked at when they are read.

    What every run writes anew is named in a warning.

    Raises:
        ValueError: a damaged file that nothing writes anew, by name.
    """
    for name in damaged(out):
        if name.startswith(("figures/", "report.html", "rounds.csv", "run.yaml", "stop.json")):
            warnings.warn(
                f"{out / name} is damaged: it is not what {CHECKSUMS} says; it will be written again", stacklevel=2
            )
        else:
            raise UserError(f"{out / name} is damaged: it is not what {CHECKSUMS} says; put it back from a copy")


def check_options(out: Path, options: dict[str, Any]) -> None:
    """Write what the rounds in ``out`` depend on to ``options.json``, or compare it with what is there.

    Raises:
        ValueError: ``out`` holds rounds of other options or data; the message names what differs.
    """
    file, options = out / "options.json", json.loads(json.dumps(options))
    recorded = read_json(file) if file.exists() and begun(out) else None
    if recorded:
        refuse(
            translated(recorded, options),
            options,
            f"{out} holds rounds of other options or data ({{differing}}): choose another folder, or delete it",
        )
    if recorded != options and process_state().is_main_process:
        out.mkdir(parents=True, exist_ok=True)
        with resealed(out):
            write_json(file, options)
    process_state().wait_for_everyone()  # else another reads it before it is there


def translated(recorded: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """What version 0.1 recorded, in the form of today; ``recorded`` itself where it has that form.

    Args:
        options: of today's call, to fill in what was not recorded.
    """
    if "erase" not in recorded:
        return dict(recorded)
    new = {name: recorded[name] for name in recorded.keys() & options.keys()}
    erasing = options["erasing"]
    if recorded["erase"] != repr(make_erase(recorded["augment"], None, **erasing)):
        new["erasing"] = recorded["erase"]
    loss = ("alpha", "beta", "label_smoothing", "class_weights")
    new["loss"] = dict(zip(loss, recorded["loss"], strict=False))
    new |= dict(zip(("keep_points", "refresh"), recorded["points"], strict=False))
    functions = {name: options["training"][name] for name in ("optimizer", "scheduler", "preprocess")}
    new["training"] = identity(TrainingOptions()) | functions | recorded["training"]  # defaults were not recorded
    return new
