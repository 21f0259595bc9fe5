"""The options of a command in its folder, ``config.json``: recorded, and compared before it goes on there."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from pasm_aug.cli.options.fields import changes_nothing
from pasm_aug.core.files import read_json
from pasm_aug.core.recorded_options import begun, refuse
from pasm_aug.rounds import options

# Of the command line alone, and without influence on results: a run goes on with others of these.
HERE_ONLY = {"out", "seeds", "decoded", "command", "quiet", "preset", "started", "options", "dry_run", "deterministic"}
HERE_ONLY |= {"tensorboard"}  # another name of --tracker
BEFORE = {"noise": None, "exclude": None, "geometry": "flip"}  # what was so before there were these options


def plain(value: Any) -> Any:
    """An option as JSON can hold it; a path from the root on, which means the same in every working folder."""
    return str(value.resolve()) if isinstance(value, Path) else value


def config_of(args: argparse.Namespace) -> dict[str, Any]:
    """The options that a run's results depend on, as ``config.json`` holds them."""
    without = HERE_ONLY | changes_nothing(options.RoundOptions)
    config = {k: plain(v) for k, v in vars(args).items() if k not in without}
    if config.get("weights") not in (None, "none", "imagenet"):
        config["weights"] = plain(Path(config["weights"]).expanduser())
    return config


def check_config(out: Path, config: dict[str, Any]) -> bool:
    """Whether ``out`` holds an existing run of these options; one that failed before it had done anything counts not.

    Raises:
        ValueError: it holds one of others; the message names what differs.
    """
    file = out / "config.json"
    if not file.exists() or not begun(out):
        return False
    recorded = BEFORE | read_json(file)
    recorded.pop("baselines", None)  # more of them may follow; none changes another arm's results
    for name, now in config.items():  # the same folder in other words
        if isinstance(now, str) and os.path.isabs(now) and Path(str(recorded.get(name))).resolve() == Path(now):
            recorded[name] = now
    refuse(
        recorded,
        config,
        f"--out {out} holds a run with other options ({{differing}}): choose another --out, or delete it",
    )
    return True
