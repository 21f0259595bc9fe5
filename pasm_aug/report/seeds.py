"""One run under several seeds: means with their intervals, the gains over the other arms seed by seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pasm_aug.core.errors import UserError
from pasm_aug.report.answer import UNANSWERED
from pasm_aug.report.difference import meaning
from pasm_aug.report.effect import rivals
from pasm_aug.report.outcome import arm_name, main_arm
from pasm_aug.report.run_folder import Run
from pasm_aug.rounds.arms import AUGMENTS, BARE
from pasm_aug.rounds.results import RoundResult
from pasm_aug.training.student_t import mean_interval

Score = Callable[[RoundResult], float]
SCORES: dict[str, tuple[str, Score]] = {  # in percent
    "val": ("validation", lambda r: 100 * r.val.accuracy),
    "test": ("test", lambda r: 100 * (r.test.accuracy if r.test else float("nan"))),
    "mean": ("under a square", lambda r: 100 * (r.occluded or {}).get("mean", float("nan"))),
    "worst": ("worst case", lambda r: 100 * (r.occluded or {}).get("worst", float("nan"))),
}
FEWEST = 3  # seeds from which on anything counts as clear: two that happen to agree would have an interval of no width


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
        """What it means of a difference; that of fewer than :data:`FEWEST` seeds is never clear."""
        return meaning(self.mean, self.half if len(self.values) >= FEWEST else math.inf)

    @property
    def known(self) -> bool:
        """Whether it was scored in every run."""
        return math.isfinite(self.mean)

    def signed(self) -> str:
        mean = f"{round(self.mean, 2) + 0.0:+.2f}"  # and not -0.00
        return f"{mean} ±{self.half:.2f}" if self.half < float("inf") else mean

    def __str__(self) -> str:
        return self.signed().removeprefix("+")


def arm_means(runs: Sequence[Run]) -> dict[str, dict[str, Estimate]]:
    """arm → score → mean over the runs, each arm by its last round; without any round the main arm, a first teacher."""
    return {
        arm: {name: Estimate.of([of(run.arms[arm][-1]) for run in runs]) for name, (_, of) in SCORES.items()}
        for arm in trained_arms(runs) or [main_arm(runs[0].arms)]
    }


def arm_gains(runs: Sequence[Run]) -> dict[str, dict[str, Estimate]]:
    """Other arm → score → how many points the main arm has more, paired by seed; the point of reference first.

    Of arms that were trained beyond the first teacher: that would be compared with itself.
    """
    lead, trained = main_arm(runs[0].arms), trained_arms(runs)
    return {
        arm: {
            name: Estimate.of([of(run.arms[lead][-1]) - of(run.arms[arm][-1]) for run in runs])
            for name, (_, of) in SCORES.items()
        }
        for arm in trained
        if arm != lead and lead in trained
    }


def trained_arms(runs: Sequence[Run]) -> list[str]:
    """:func:`arms_of` which every run trained beyond the first teacher."""
    return [arm for arm in arms_of(runs) if all(run.arms[arm][-1].round for run in runs)]


def arms_of(runs: Sequence[Run]) -> list[str]:
    """Those of the first run, the main one first, then the point of reference; every run must have them.

    Raises:
        ValueError: a run that lacks one.
    """
    lead = main_arm(runs[0].arms)
    names = [lead, *rivals(runs[0].arms, lead)]
    for run in runs:
        if missing := set(names) - set(run.arms):
            raise UserError(
                f"{run.folder} has no arm {', '.join(sorted(missing))}: go on with the command that began it"
            )
    return names


def text_summary(runs: Sequence[Run]) -> str:
    """Both tables, for the terminal, and a sentence on each other arm."""
    rows = [("arm", *(title for title, _ in SCORES.values()), "erased")]
    means, trained = arm_means(runs), trained_arms(runs)
    rows += [(_long(arm), *map(str, means[arm].values()), _erased(runs, arm)) for arm in trained]
    rows += [("first teacher", *map(str, scores.values()), "–") for scores in means.values() if not trained]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(part.ljust(width) for part, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(
        [
            f"{len(runs)} seed{'s' * (len(runs) != 1)}, percent",
            lines[0],
            "─" * max(map(len, lines)),
            *lines[1:],
            "",
            *sentences(runs),
        ]
    )


def sentences(runs: Sequence[Run]) -> list[str]:
    """What the main arm has over each other one, in words, and how far that can be trusted."""
    lead = arm_name(main_arm(runs[0].arms))
    lines = [
        f"{lead} over {_long(arm)}: {gains['test'].signed()} points of test accuracy, {gains['test'].word}; "
        f"{gains['worst'].signed()} in the worst case under a square, {gains['worst'].word}."
        for arm, gains in arm_gains(runs).items()
    ]
    return [*(lines or [UNANSWERED]), *too_few(len(runs))]


def too_few(seeds: int) -> list[str]:
    """A sentence on a number of seeds that tells too little."""
    if seeds >= FEWEST:
        return []
    told = "One seed tells nothing" if seeds == 1 else "Two seeds tell next to nothing"
    return [f"{told} of chance in training, so nothing is called clear: give {FEWEST} or more."]


def _long(arm: str) -> str:
    return AUGMENTS.get(arm, arm)


def _erased(runs: Sequence[Run], arm: str) -> str:
    return "–" if arm in BARE else f"{erased_share(runs, arm):.1%}"


def erased_share(runs: Sequence[Run], arm: str) -> float:
    """Of the pixels, in [0, 1], by an arm's last round; the mean over the runs."""
    return sum(run.arms[arm][-1].erased_share for run in runs) / len(runs)
