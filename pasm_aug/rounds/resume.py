"""What a folder of rounds was begun with: compared before it goes on, and before another run shares its points."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pasm_aug.cache.position_cache import PositionCache
from pasm_aug.core.checksums import CHECKSUMS, damaged, resealed
from pasm_aug.core.files import read_json, write_json
from pasm_aug.core.processes import process_state
from pasm_aug.rounds.results import RoundResult


def plain_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that change a result and can be compared; functions have no identity that outlives the process."""
    elsewhere = ("device", "checkpoint_seconds")
    kept = (k for k, v in options.items() if k not in elsewhere and isinstance(v, int | float | str | list | tuple))
    return {k: options[k] for k in kept}


def shared_positions(teacher: Any, out: Path) -> PositionCache | None:
    """The points that another run mined in its first round with the same teacher, data and search."""
    if not isinstance(teacher, RoundResult):
        return None
    other = Path(teacher.folder).parent
    theirs = other / "round-1" / "positions.safetensors"
    if other == out or not theirs.exists():
        return None
    old, new = (read_json(run / "options.json") for run in (other, out))
    return PositionCache.open(theirs) if all(old[k] == new[k] for k in ("search", "seed", "data")) else None


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
            raise ValueError(f"{out / name} is damaged: it is not what {CHECKSUMS} says; put it back from a copy")


def check_begun(out: Path, options: dict[str, Any]) -> None:
    """Write what the rounds in ``out`` depend on to ``options.json``, or compare it with what is there.

    Raises:
        ValueError: ``out`` holds rounds of other options or data; the message names what differs.
    """
    file, options = out / "options.json", json.loads(json.dumps(options))
    if file.exists():
        old = read_json(file)
        differing = [f"{k} was {old.get(k)}, now {options.get(k)}" for k in options if old.get(k) != options.get(k)]
        if differing:
            raise ValueError(
                f"{out} holds rounds of other options or data ({'; '.join(differing)}): choose another folder"
            )
    elif process_state().is_main_process:
        out.mkdir(parents=True, exist_ok=True)
        with resealed(out):
            write_json(file, options)
