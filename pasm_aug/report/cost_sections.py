"""The section of a report on what a run cost."""

from __future__ import annotations

from pasm_aug.report.outcome import duration, network_name
from pasm_aug.report.page import table
from pasm_aug.report.sections import Report


def costs(report: Report) -> list[str]:
    """Time of each stage, queries of each round."""
    total = sum(report.seconds.values())
    parts = []
    if total:
        stages = sorted(report.seconds.items(), key=lambda item: -item[1])
        spent = [(_stage(name), duration(value), f"{value / total:.0%}") for name, value in stages]
        shares = [value / stages[0][1] for _, value in stages]
        parts.append(table(("stage", "time", "share"), spent, shares=shares))
    rounds = [
        r for arm, results in report.run.arms.items() for r in results if r.round or arm == next(iter(report.run.arms))
    ]
    rows = [
        (
            network_name(r),
            duration(r.seconds["mine"]) if "mine" in r.seconds else "–",
            duration(r.seconds["train"]) if "train" in r.seconds else "–",
            f"{r.queries:,}" if r.queries else "–",
            f"{r.queries / r.train.count:,.1f}" if r.queries else "–",
        )
        for r in rounds
    ]
    head = ("network", "mining", "training", "queries", "an image")
    queries = sum(r.queries for r in rounds)
    caption = f"{queries:,} queries of the teacher in all searches." if queries else ""
    return [*parts, table(head, rows, caption=caption)]


def _stage(name: str) -> str:
    """A stage without the explanation of its arm."""
    arm, _, kind = name.rpartition(": ")
    return f"{arm.partition(':')[0]}: {kind}" if arm else kind
