"""``pasm-aug report``: a run's table and page again, or several runs side by side."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from pasm_aug.cli.opening import open_split, say
from pasm_aug.core.checksums import resealed
from pasm_aug.core.files import write_atomic
from pasm_aug.report.comparison import write_comparison
from pasm_aug.report.outcome import stage_seconds, text_table, verdict
from pasm_aug.report.run_folder import Run, read_run
from pasm_aug.report.run_report import write_report
from pasm_aug.rounds.results import RoundResult


def finish(
    out: Path,
    arms: dict[str, list[RoundResult]],
    train_split: Any,
    config: dict[str, Any],
    stages: dict[str, float],
) -> Path:
    """Table, verdict, budget and report of a finished run; returns the report's path."""
    stage = stages | stage_seconds(arms)
    started = time.perf_counter()
    page = write_report(out, arms, train_split, config=config, seconds=stage, size=config["mask_size"])
    stage["report"] = time.perf_counter() - started
    print(f"\n{text_table(arms)}\n\n{verdict(arms)}\n")
    if stopped := Run(out, arms).stopped:
        print(f"Why it stopped: {stopped}\n")
    for name, seconds in stage.items():
        print(f"  {seconds:7.1f} s  {name}")
    print(f"\nreport: {page}")
    if config["data"] == "synthetic":
        print("next, the same on your own images in class folders: pasm-aug run --data folder --root DIR")
    return page


def report(args: argparse.Namespace) -> None:
    """Write the report of one finished run again, or a page that compares several."""
    runs = [read_run(folder) for folder in args.runs]
    if len(runs) > 1:
        page = args.page or args.runs[0].resolve().parent / "comparison.html"
        print(f"comparison: {write_comparison(page, runs)}")
        return
    run = runs[0]
    root = run.config["root"] and Path(run.config["root"])
    known = argparse.Namespace(**(run.config | {"quiet": False, "decoded": None, "workers": 0, "root": root}))
    try:
        dataset = open_split(known, "train")
    except (ValueError, OSError) as error:
        say(f"the training images cannot be opened, so the report goes without them: {error}")
        dataset = None
    with resealed(run.folder):
        page = finish(run.folder, run.arms, dataset, run.config, {})
    if args.page:
        write_atomic(args.page, page.read_bytes())
