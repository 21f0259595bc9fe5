"""When the rounds end: the paper sets their number by hand, here validation and its noise decide."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pasm_aug.core.errors import UserError
from pasm_aug.core.options import option
from pasm_aug.core.parsers import at_least

if TYPE_CHECKING:  # --help reads the options without loading torch
    from pasm_aug.rounds.results import RoundResult

MAX_ROUNDS = 8  # where a run that never stops improving ends


@dataclass(frozen=True)
class StopRule:
    """Ends the rounds when a round's gain on validation is no longer beyond the noise.

    Args:
        rounds (int, optional): run exactly so many; ``None``: as long as validation gains, :data:`MAX_ROUNDS` at most.
        patience (int): rounds in a row without such a gain after which to stop.
        margin (float): standard errors of the paired gain
            (:func:`~pasm_aug.training.paired_gain.paired_gain`) that a gain must exceed.

    Raises:
        ValueError: negative numbers, or no patience at all.
    """

    rounds: int | None = option(
        None,
        "exactly so many; without it, until validation stops improving, 8 at most (the paper, by hand: 3 on RAF-DB, 2 "
        "on FER2013)",
        group="rounds",
        parse=at_least(0, int),
        metavar="N",
    )
    patience: int = option(
        1,
        "without --rounds: stop after so many rounds in a row without a gain; 2 costs a round more and forgives one "
        "bad one",
        group="rounds",
        parse=at_least(1, int),
        metavar="N",
    )
    margin: float = option(
        1.0,
        "a gain counts from so many standard errors on; 0 takes any gain, 2 only what is hardly chance",
        group="rounds",
        parse=at_least(0, float),
        metavar="Z",
    )

    def __post_init__(self) -> None:
        if self.rounds is not None and self.rounds < 0:
            raise UserError(f"rounds must be 0 or more, got {self.rounds}")
        if self.patience < 1:
            raise UserError(f"patience must be at least 1, got {self.patience}")
        if not self.margin >= 0:
            raise UserError(f"margin must be 0 or more standard errors, got {self.margin}")

    def gained(self, result: RoundResult) -> bool:
        """Whether a round's gain is beyond the noise."""
        return result.gain > self.margin * result.gain_error

    def reference(self, results: list[RoundResult]) -> RoundResult:
        """What the next round is measured against: the last one whose gain was beyond the noise, or the first teacher.

        Small gains add up that way, while ``patience`` lasts.
        """
        return [result for result in results if result.round == 0 or self.gained(result)][-1]

    def reason(self, results: list[RoundResult]) -> str | None:
        """Why the rounds end after these results, in a sentence; ``None``: they go on."""
        done = len(results) - 1
        if self.rounds is not None:
            reason = "The one round of this run is done."
            reason = reason if self.rounds == 1 else f"All {self.rounds} rounds that were asked for are done."
            return reason if done >= self.rounds else None
        since = done - results.index(self.reference(results))
        if since >= self.patience:
            return self._in_the_noise(results[-1], since)
        return f"Stopped after {done} rounds, the most that are run." if done >= MAX_ROUNDS else None

    def _in_the_noise(self, last: RoundResult, since: int) -> str:
        against = "the first teacher" if last.gain_over == 0 else f"round {last.gain_over}"
        change = f"{100 * last.gain:+.1f} points over {against} on {last.val.count:,} validation images"
        noise = f"{self.margin:g} × its standard error of {100 * last.gain_error:.1f} points"
        verdict = f"not more than {noise}: inside the noise" if last.gain > 0 else "no gain"
        rounds = "" if since == 1 else f", the {since} rounds since then without a gain beyond the noise"
        return f"Stopped after round {last.round}: {change}, {verdict}{rounds}."
