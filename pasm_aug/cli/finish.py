"""What a finished run ends with: its table, verdict and budget in words, and the page."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from pasm_aug.report.outcome import stage_seconds, text_table
from pasm_aug.report.run_folder import Run
from pasm_aug.report.run_report import write_report
from pasm_aug.report.settings_section import Changed
from pasm_aug.report.verdict import labels_trusted, verdict
from pasm_aug.rounds.results import RoundResult


def finish(
    out: Path,
    arms: dict[str, list[RoundResult]],
    train_split: Any,
    config: dict[str, Any],
    stages: dict[str, float],
    changed: Changed | None = None,
) -> Path:
    """Table, verdict, budget and report of a finished run; returns the report's path.

    Args:
        changed: as in :func:`~pasm_aug.report.run_report.write_report`.
    """
    stage = stages | stage_seconds(arms)
    started = time.perf_counter()
    size = config["mask_size"]
    page = write_report(out, arms, train_split, config=config, seconds=stage, size=size, changed=changed)
    stage["report"] = time.perf_counter() - started
    print(f"\n{text_table(arms)}\n\n{verdict(arms, trusted=labels_trusted(config))}\n")
    if stopped := Run(out, arms).stopped:
        print(f"Why it stopped: {stopped}\n")
    for name, seconds in stage.items():
        print(f"  {seconds:7.1f} s  {name}")
    print(f"\nreport: {page}")
    if config["data"] == "synthetic":
        print("next, the same on your own images in class folders: pasm-aug run --data folder --root DIR")
    return page
