"""Did it help? The first thing that a report says: a badge and a forest plot for each kind of accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pasm_aug.report.difference import Difference
from pasm_aug.report.effect import Effect, effects
from pasm_aug.report.forest import Bar, card
from pasm_aug.report.outcome import Arms, arm_name, capital, main_arm
from pasm_aug.report.page import paragraph
from pasm_aug.rounds.arms import BARE

KINDS = {  # score → title of its card, what a point of it is
    "test": ("Clean accuracy", "points of test accuracy"),
    "worst": ("Under occlusion", "points in the worst case"),
}
WORST = "Worst case: right wherever a grey square, 13/48 of the image, stands. "
UNANSWERED = (
    "Whether it helped cannot be told: no other arm was trained (--baselines), and the first teacher had fewer epochs."
)
PAIRED = "95 % intervals, paired image by image"
APART = "95 % intervals of two samples, since it is not known which images each network has right"
SHARES = "; of the worst case only shares are known: its bars are those of two samples, and wider"
CHANCE = "Another seed moves a network too, often by a point or two; only several seeds show that."


def answer(arms: Arms) -> list[str]:
    """The cards, and what the numbers in them are."""
    found, main = effects(arms), main_arm(arms)
    if not found:
        return [paragraph(UNANSWERED, "note")]
    bars = {"test": [_bar(e, e.test) for e in found], "worst": [_bar(e, e.worst) for e in found if e.worst]}
    own = next(r for r in arms[main] if r.round == found[0].round)
    assert own.test
    made = PAIRED if found[0].test.paired else APART
    if found[0].test.paired and found[0].worst and not found[0].worst.paired:
        made += SHARES
    text = (
        f"{capital(arm_name(main))} ({erased_note(main, own.erased_share)}) minus each other arm, after round "
        f"{own.round} of both and so after as many epochs; {own.test.count:,} test images. "
        f"{WORST * bool(bars['worst'])}Bars: {made}. {CHANCE}"
    )
    return [cards(bars, arm_name(main)), paragraph(text, "note")]


def cards(bars: Mapping[str, Sequence[Bar]], main: str) -> str:
    """A card for each score that is known: score → what the arm ``main`` has over the others."""
    drawn = "".join(card(*KINDS[score], lines, main) for score, lines in bars.items() if lines)
    return f'<div class="cards">{drawn}</div>'


def erased_note(arm: str, share: float) -> str:
    """How much an arm erases, in a few words."""
    return "nothing erased" if arm in BARE else f"{share:.1%} of pixels erased"


def _bar(effect: Effect, gain: Difference) -> Bar:
    note = erased_note(effect.arm, effect.erased)
    return Bar(arm_name(effect.arm), note, gain.points, gain.half, str(gain), gain.word)
