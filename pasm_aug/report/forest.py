"""Forest plots under a badge, as HTML: they fit any width, take a dark page's colours, and their numbers are text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from matplotlib.ticker import MaxNLocator

from pasm_aug.report.page import minus

BADGES = {  # what a difference means → words, mark, class
    "a clear gain": ("clear gain", "▲", "gain"),
    "a clear loss": ("clear loss", "▼", "loss"),
    "no measurable effect": ("no measurable effect", "○", "same"),
}


@dataclass(frozen=True)
class Bar:
    """One line of a forest plot: what the main arm has over another arm.

    Attributes:
        arm: the other one. note: about it, in a few words.
        points: the difference. half: half of its 95 % interval; infinite where none is known. text: both, for people.
        word: what it means, one of ``BADGES``.
        values: of which ``points`` is the mean; drawn as dots.
    """

    arm: str
    note: str
    points: float
    half: float
    text: str
    word: str
    values: tuple[float, ...] = ()


def card(title: str, measure: str, bars: Sequence[Bar], main: str) -> str:
    """A badge for the first bar, which is the point of reference, above the forest plot of all of them.

    Args:
        measure: what the points are of. main: the arm from which the others are subtracted.
    """
    first, scale = bars[0], Scale.of(bars)
    words, mark, kind = BADGES[first.word]
    rows = "".join(_row(bar, scale) for bar in bars)
    axis = "".join(f'<span style="{scale.at(tick)}">{minus(f"{tick:g}")}</span>' for tick in scale.ticks)
    return (
        f'<section class="card {kind}"><h2>{escape(title)}</h2>'
        f'<p class="badge"><span aria-hidden="true">{mark}</span> {words}</p>'
        f'<p class="size"><b>{minus(first.text)}</b> {escape(measure)} against {escape(first.arm)}</p>'
        f'<table class="forest"><thead><tr><th scope="col">{escape(main)} minus …</th>'
        '<td><div class="ends" aria-hidden="true"><span>worse</span><span>better</span></div></td>'
        f'<th scope="col">points</th></tr></thead><tbody>{rows}</tbody>'
        f'<tfoot aria-hidden="true"><tr><td></td><td class="axis">{axis}</td><td></td></tr></tfoot></table></section>'
    )


@dataclass(frozen=True)
class Scale:
    """The points from ``low`` to ``high``, 0 among them, and the whole numbers or the like in between."""

    low: float
    high: float
    ticks: tuple[float, ...]

    @classmethod
    def of(cls, bars: Sequence[Bar]) -> Scale:
        """Of all bars, with room on both sides."""
        halves = [bar.half if math.isfinite(bar.half) else 0.0 for bar in bars]
        ends = [0.0, *(v for bar in bars for v in bar.values)]
        ends += [bar.points + sign * half for bar, half in zip(bars, halves, strict=True) for sign in (-1, 1)]
        width = max(ends) - min(ends)
        room = 0.08 * width if width > 0.01 else 1.0  # less than a hundredth of a point is none
        low, high = min(ends) - room, max(ends) + room
        ticks = [float(tick) for tick in MaxNLocator(nbins=5, steps=[1, 2, 5, 10]).tick_values(low, high)]
        return cls(low, high, tuple(round(tick, 6) + 0.0 for tick in ticks if low <= tick <= high))  # and not -0

    def at(self, value: float) -> str:
        return f"left:{self.share(value):.2f}%"

    def share(self, value: float) -> float:
        """Where a value stands, in percent of the width."""
        return 100 * (value - self.low) / (self.high - self.low)


def _row(bar: Bar, scale: Scale) -> str:
    drawn = "".join(f'<i class="{"tick" if tick else "zero"}" style="{scale.at(tick)}"></i>' for tick in scale.ticks)
    drawn += "".join(f'<i class="one" style="{scale.at(value)}"></i>' for value in bar.values)
    if math.isfinite(bar.half):
        left, right = bar.points - bar.half, bar.points + bar.half
        width = scale.share(right) - scale.share(left)
        drawn += f'<i class="span" style="{scale.at(left)};width:{width:.2f}%"></i>'
    drawn += f'<i class="mean" style="{scale.at(bar.points)}"></i>'
    return (
        f'<tr class="{BADGES[bar.word][2]}"><th scope="row">{escape(bar.arm)}'
        f'<small>{escape(bar.note)}</small></th><td class="plot" aria-hidden="true">{drawn}</td>'
        f"<td>{minus(bar.text)}</td></tr>"
    )
