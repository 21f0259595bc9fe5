"""What needs no work: an existing run of other options is refused, a finished one told again, from its files alone.

Nothing here loads torch, which takes longer than all of this.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable
from pathlib import Path

from pasm_aug.cli.options.noise import LIST, flipped_line
from pasm_aug.cli.options.settle import settle_run, settle_train
from pasm_aug.cli.outcome import scores_line, tell_run
from pasm_aug.cli.recorded import check_config, config_of
from pasm_aug.cli.run import add_run
from pasm_aug.cli.seeds import single_runs, summarise
from pasm_aug.core.checksums import CHECKSUMS, damaged
from pasm_aug.core.files import read_json
from pasm_aug.report.outcome import stage_seconds
from pasm_aug.report.run_folder import Run, finished_run
from pasm_aug.rounds.results import RoundResult

INPUTS = ("root", "teacher", "miner", "weights", "noise", "positions")  # options that may name files


def told_at_once(args: argparse.Namespace) -> bool:
    """Whether what a command asks for is there already; then it has been told.

    Raises:
        ValueError: options that cannot be, or other ones than those of the run that lies there.
    """
    if args.command not in ("run", "train") or int(os.environ.get("WORLD_SIZE", 1)) > 1:
        return False
    return _train(args) if args.command == "train" else _seeds(args) if args.seeds else _run(args)


def _train(args: argparse.Namespace) -> bool:
    settle_train(args)
    if not _unchanged(args) or args.dry_run or not (args.out / CHECKSUMS).exists():
        return False
    print(f"{args.out} holds this network already: {scores_line(RoundResult.load(args.out))}")
    return True


def _run(args: argparse.Namespace) -> bool:
    run = _finished(args)
    if run is None or args.dry_run:
        return False
    print(f"going on with the run in {args.out}: nothing is left to do")
    if args.noise:
        data = run.model["data"]
        print(flipped_line(args.noise, data["flipped"], data["length"], args.out / LIST))
    tell_run(run, args.out / "report.html", stage_seconds(run.arms))
    return True


def _seeds(args: argparse.Namespace) -> bool:
    runs = [_finished(one) for one in single_runs(args).values()]
    if args.dry_run or None in runs:
        return False
    summarise(args.out or Path("runs") / args.data, args.seeds, add_run)
    return True


def _finished(args: argparse.Namespace) -> Run | None:
    """The finished run of these options in ``--out``, with its arms in their order."""
    names = settle_run(args)
    run = finished_run(args.out) if _unchanged(args) else None
    if run is None or run.arms.keys() != set(names):
        return None
    return Run(run.folder, {name: run.arms[name] for name in names}, run.config)


def _unchanged(args: argparse.Namespace) -> bool:
    """Whether ``--out`` holds work with these options, whole, and its inputs are as they were when it last looked.

    Raises:
        ValueError: it holds work with others.
    """
    if damaged(args.out):  # told, or mended, by the work itself
        return False
    config, kept = config_of(args), args.out / f"{args.command}.yaml"
    if not check_config(args.out, config) or not kept.exists():
        return False
    recorded = read_json(args.out / "config.json")  # an older version recorded less
    everything = all(name in recorded or value is None for name, value in config.items())
    inputs = [Path(config[name]) for name in INPUTS if os.path.isabs(str(config.get(name)))]
    if args.noise:
        inputs.append(args.out / LIST)
    return everything and not changed_since(kept.stat().st_mtime, inputs)


def changed_since(moment: float, paths: Iterable[Path]) -> bool:
    """Whether a file, or anything in a folder, was changed after a ``moment`` (seconds since 1970), or is gone."""
    seen = set()
    try:
        for path in paths:
            if path.stat().st_ctime > moment:
                return True
            for folder, below, files in os.walk(path, followlinks=True):
                about = os.stat(folder)
                if (about.st_dev, about.st_ino) in seen:  # a link to a folder that it lies in
                    below.clear()
                    continue
                seen.add((about.st_dev, about.st_ino))
                if any(os.stat(os.path.join(folder, name)).st_ctime > moment for name in (".", *files)):
                    return True
    except OSError:
        return True
    return False
