"""The outcome of a finished run or training in words; loads no torch."""

from __future__ import annotations

from pathlib import Path

from pasm_aug.report.outcome import text_table
from pasm_aug.report.run_folder import Run
from pasm_aug.report.verdict import labels_trusted, verdict
from pasm_aug.rounds.results import RoundResult


def tell_run(run: Run, page: Path, seconds: dict[str, float]) -> None:
    """Print table, verdict, the seconds of each stage, and where the page lies."""
    print(f"\n{text_table(run.arms)}\n\n{verdict(run.arms, trusted=labels_trusted(run.config))}\n")
    if stopped := run.stopped:
        print(f"Why it stopped: {stopped}\n")
    for name, spent in seconds.items():
        print(f"  {spent:7.1f} s  {name}")
    print(f"\nreport: {page}")
    if run.config["data"] == "synthetic":
        print("next, the same on your own images in class folders: pasm-aug run --data folder --root DIR")


def scores_line(result: RoundResult) -> str:
    """The scores of one network."""
    return f"train {result.train.accuracy:.1%}  val {result.val.accuracy:.1%}"
