"""Forest plots as HTML."""

import math
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pasm_aug.report.difference import meaning
from pasm_aug.report.forest import Bar, Scale, card

points = st.floats(-100, 100, allow_nan=False)


def bar(points, half, *, values=(), arm="other"):
    return Bar(arm, "", points, half, f"{points:+.1f}", meaning(points, half), values)


@example([(2.225073858507e-311, 0.0, [])])
@given(st.lists(st.tuples(points, st.floats(0, 100) | st.just(math.inf), st.lists(points, max_size=3)), min_size=1))
def test_everything_lies_on_the_scale_and_so_does_zero(bars):
    bars = [bar(middle, half, values=tuple(values)) for middle, half, values in bars]
    scale = Scale.of(bars)
    drawn = [0.0, *(value for one in bars for value in (one.points, *one.values))]
    drawn += [one.points + sign * one.half for one in bars if math.isfinite(one.half) for sign in (-1, 1)]
    assert all(0 <= scale.share(value) <= 100 for value in drawn)
    assert 0.0 in scale.ticks
    assert 2 <= len(scale.ticks) <= 9
    assert all(scale.low <= tick <= scale.high for tick in scale.ticks)


@pytest.mark.parametrize(
    ("middle", "half", "words", "kind"),
    [
        (2.0, 1.0, "clear gain", "gain"),
        (-2.0, 1.0, "clear loss", "loss"),
        (1.0, 1.0, "no measurable effect", "same"),
        (9.0, math.inf, "no measurable effect", "same"),
        (9.0, 0.0, "no measurable effect", "same"),
    ],
)
def test_the_badge_is_that_of_the_first_bar(middle, half, words, kind):
    html = card("Title", "points", [bar(middle, half, arm="<b>"), bar(-5.0, 1.0)], "main")
    assert html.startswith(f'<section class="card {kind}"><h2>Title</h2>')
    assert f"</span> {words}</p>" in html
    assert "&lt;b&gt;" in html
    assert html.count('class="span"') == 1 + math.isfinite(half)  # no interval, no bar
    assert html.count('class="mean"') == 2


def test_a_bar_reaches_from_one_end_of_its_interval_to_the_other():
    bars = [bar(1.0, 3.0)]
    left, width = map(
        float, re.search(r'"span" style="left:([\d.]+)%;width:([\d.]+)%"', card("", "", bars, "")).groups()
    )
    scale = Scale.of(bars)
    assert left == pytest.approx(scale.share(-2.0), abs=0.01)
    assert left + width == pytest.approx(scale.share(4.0), abs=0.02)
