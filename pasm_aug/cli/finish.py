"""What a finished run ends with: the page, and the outcome in words."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from pasm_aug.cli.outcome import tell_run
from pasm_aug.report.outcome import stage_seconds
from pasm_aug.report.run_folder import Run
from pasm_aug.report.run_report import write_report
from pasm_aug.report.settings_section import Changed
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
    tell_run(Run(out, arms, config), page, stage | {"report": time.perf_counter() - started})
    return page
