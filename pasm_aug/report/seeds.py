"""One run under several seeds: means with their intervals, the gains over the other arms seed by seed, one page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from pasm_aug.core.errors import UserError
from pasm_aug.core.files import write_csv, write_text
from pasm_aug.report.charts import chart, colour, png
from pasm_aug.report.outcome import arm_name, main_arm
from pasm_aug.report.page import bullets, figure, grid, page, paragraph, section, table
from pasm_aug.report.run_folder import Run
from pasm_aug.rounds.arms import AUGMENTS
from pasm_aug.rounds.results import RoundResult
from pasm_aug.training.student_t import mean_interval

Score = Callable[[RoundResult], float]
SCORES: dict[str, tuple[str, Score]] = {  # in percent
    "val": ("validation", lambda r: 100 * r.val.accuracy),
    "test": ("test", lambda r: 100 * (r.test.accuracy if r.test else float("nan"))),
    "mean": ("under a square", lambda r: 100 * (r.occluded or {}).get("mean", float("nan"))),
    "worst": ("worst case", lambda r: 100 * (r.occluded or {}).get("worst", float("nan"))),
}
ABOUT = (
    "Every arm after its last round, so that all had the same epochs. ± is half the 95 % interval of the mean over the "
    "seeds (Student's t); each seed has its own first teacher, from which its arms fork. Under a square: of 13/48 of "
    "the image's side, mean over its places; worst case: right wherever it stands."
)
GAINS = (
    "Points that {lead} has more than each other arm, of the same seed and so of the same first teacher: each seed a "
    "dot, their mean with its 95 % interval a bar. A bar that crosses 0 shows no difference."
)


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds.

    Attributes:
        values: one for each seed. mean: of them. half: half the width of its 95 % interval; infinite for one seed.
    """

    values: tuple[float, ...]
    mean: float
    half: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Estimate:
        return cls(tuple(values), *mean_interval(values))

    @property
    def word(self) -> str:
        """What it means of a difference."""
        if not abs(self.mean) > self.half:
            return "no measurable difference"
        return "a clear gain" if self.mean > 0 else "a clear loss"

    def signed(self) -> str:
        return f"{self.mean:+.2f} ±{self.half:.2f}" if self.half < float("inf") else f"{self.mean:+.2f}"

    def __str__(self) -> str:
        return self.signed().removeprefix("+")


def arm_means(runs: Sequence[Run]) -> dict[str, dict[str, Estimate]]:
    """arm → score → mean over the runs, each arm by its last round."""
    return {
        arm: {name: Estimate.of([of(run.arms[arm][-1]) for run in runs]) for name, (_, of) in SCORES.items()}
        for arm in _arms(runs)
    }


def arm_gains(runs: Sequence[Run]) -> dict[str, dict[str, Estimate]]:
    """Other arm → score → how many points the main arm has more, paired by seed."""
    lead = main_arm(runs[0].arms)
    return {
        arm: {
            name: Estimate.of([of(run.arms[lead][-1]) - of(run.arms[arm][-1]) for run in runs])
            for name, (_, of) in SCORES.items()
        }
        for arm in _arms(runs)
        if arm != lead
    }


def _arms(runs: Sequence[Run]) -> list[str]:
    """Those of the first run, the main one first; every run must have them.

    Raises:
        ValueError: a run that lacks one.
    """
    lead = main_arm(runs[0].arms)
    names = [lead, *(arm for arm in runs[0].arms if arm != lead)]
    for run in runs:
        if missing := set(names) - set(run.arms):
            raise UserError(
                f"{run.folder} has no arm {', '.join(sorted(missing))}: go on with the command that began it"
            )
    return names


def text_summary(runs: Sequence[Run]) -> str:
    """Both tables, for the terminal, and a sentence on each other arm."""
    rows = [("arm", *(title for title, _ in SCORES.values()), "erased")]
    rows += [(_long(arm), *map(str, scores.values()), _erased(runs, arm)) for arm, scores in arm_means(runs).items()]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(part.ljust(width) for part, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(
        [f"{len(runs)} seeds, percent", lines[0], "─" * max(map(len, lines)), *lines[1:], "", *sentences(runs)]
    )


def sentences(runs: Sequence[Run]) -> list[str]:
    """What the main arm has over each other one, in words."""
    lead = arm_name(main_arm(runs[0].arms))
    return [
        f"{lead} over {_long(arm)}: {gains['test'].signed()} points of test accuracy, {gains['test'].word}; "
        f"{gains['worst'].signed()} in the worst case under a square, {gains['worst'].word}."
        for arm, gains in arm_gains(runs).items()
    ] + (["One seed tells nothing of chance in training: give several."] if len(runs) < 2 else [])


def write_seeds(out: Path, runs: Mapping[int, Run]) -> Path:
    """Write ``seeds.csv`` (a row for each seed and arm) and ``report.html`` into ``out``; returns the page's path."""
    each = list(runs.values())
    rows: list[dict[str, Any]] = []
    for seed, run in runs.items():
        for arm in _arms(each):
            last = run.arms[arm][-1]
            scores = {name: round(of(last), 4) for name, (_, of) in SCORES.items()}
            rows.append({"seed": seed, "arm": arm, "round": last.round, **scores})
    write_csv(out / "seeds.csv", rows)
    means = [(_long(arm), *map(str, scores.values()), _erased(each, arm)) for arm, scores in arm_means(each).items()]
    head = ("arm", *(title for title, _ in SCORES.values()), "pixels erased")
    lead = arm_name(main_arm(each[0].arms))
    charts = [
        figure(forest_figure(each, name), f"{lead} minus the other arms, {SCORES[name][0]}.")
        for name in ("test", "worst")
    ]
    links = "".join(
        f'<li><a href="seed-{seed}/report.html">seed {seed}</a>: {escape(_line(run))}</li>'
        for seed, run in runs.items()
    )
    data = f"{each[0].config.get('data', '')}, {each[0].config.get('model', '')}"
    body = [
        f"<h1>{escape(lead)} under {len(each)} seed{'s' * (len(each) != 1)}: {escape(data)}</h1>",
        bullets(sentences(each), "verdict"),
        section("means", "Means", [table(head, means, caption=ABOUT)]),
        section("gains", "Does it help?", [grid(charts), paragraph(GAINS.format(lead=lead), "note")]),
        section("seeds", "Each seed", [f"<ul>{links}</ul>"]),
    ]
    write_text(out / "report.html", page(f"PASM under several seeds: {out.resolve().name}", body))
    return out / "report.html"


def forest_figure(runs: Sequence[Run], score: str) -> bytes:
    """PNG: what the main arm has over each other arm, by seed and as a mean with its interval."""
    gains = {arm: found[score] for arm, found in arm_gains(runs).items()}
    drawn, panel = chart(f"Points of {SCORES[score][0]}", "", 0.9 + 0.45 * max(1, len(gains)))
    for row, (arm, gain) in enumerate(gains.items()):
        paint = colour(arm, row + 1)
        panel.plot(gain.values, [row] * len(gain.values), ".", color=paint, alpha=0.5)
        spread = gain.half if gain.half < float("inf") else 0.0
        panel.errorbar([gain.mean], [row], xerr=[[spread], [spread]], fmt="o", color=paint, capsize=4)
    panel.axvline(0, color="#888", linewidth=1)
    panel.set_yticks(range(len(gains)), [f"− {arm}" for arm in gains])
    panel.set_ylim(len(gains) - 0.5, -0.5)
    return png(drawn)


def _long(arm: str) -> str:
    return AUGMENTS.get(arm, arm)


def _erased(runs: Sequence[Run], arm: str) -> str:
    return f"{sum(run.arms[arm][-1].erased_share for run in runs) / len(runs):.1%}"


def _line(run: Run) -> str:
    last = run.main[-1]
    return f"test {last.test.accuracy:.1%} after round {last.round}" if last.test else "not scored"
