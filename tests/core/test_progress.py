"""A bar where somebody watches, lines where nobody does, and one place that decides it."""

import io
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import pasm_aug
from pasm_aug.core import progress
from pasm_aug.core.progress import OFTEN, SELDOM, SHARE, progress_bar


class Clock:
    """Time that passes when it is told to."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.setattr(progress, "time", clock := Clock())
    return clock


def test_a_log_gets_a_line_for_each_tenth_of_long_work(clock, capsys):
    with progress_bar(total=1000, name="mining") as bar:
        for count in range(1, 1001):
            clock.now += 1
            bar.set_postfix_str(f"{2 * count} queries")
            bar.update()
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert (out, len(lines)) == ("", 10)
    assert "\r" not in err
    assert lines[3] == "mining: 400 of 1,000 images (40%), 06:40 gone, about 10:00 left; 800 queries"


def test_short_work_leaves_no_line_and_slow_work_says_that_it_lives(clock, capsys):
    for _ in progress_bar(range(29), name="reading"):
        clock.now += 1
    assert capsys.readouterr().err == ""
    for _ in progress_bar(range(1000), name="training", unit=" batches", done=500):
        clock.now += 301
        if clock.now > 4000:
            break
    assert capsys.readouterr().err.splitlines()[0] == (
        "training: 502 of 1,000 batches (50%), 10:02 gone, about 41:38:18 left"
    )


@given(
    total=st.integers(0, 300),
    steps=st.lists(st.tuples(st.integers(0, 40), st.floats(0, 900)), max_size=60),
)
def test_lines_are_neither_too_many_nor_too_few(total, steps):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(progress, "time", clock := Clock())
        patch.setattr(sys, "stderr", stream := io.StringIO())
        bar, done, last, told, lines = progress_bar(total=total, name="work"), 0, clock.now, 0, 0
        for count, seconds in steps:
            clock.now += seconds
            done += count
            bar.update(count)
            spoke = stream.getvalue().count("\n") > lines
            far = done - told >= SHARE * total
            assert spoke == (clock.now - last >= (OFTEN if far else SELDOM))
            if spoke:
                lines, last, told = lines + 1, clock.now, done
        assert stream.getvalue().count("\n") == lines


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("where", ["terminal", "notebook"])
def test_who_watches_sees_a_bar_that_goes_away(where, monkeypatch):
    monkeypatch.setattr(sys, "stderr", stream := Terminal() if where == "terminal" else io.StringIO())
    if where == "notebook":
        monkeypatch.setitem(sys.modules, "ipykernel", sys)
    for _ in progress_bar(range(3), name="mining"):
        pass
    assert "mining:   0%" in stream.getvalue()
    assert stream.getvalue().count("\n") == 0


def test_what_is_not_shown_is_silent_everywhere(clock, monkeypatch, capsys):
    for terminal in (False, True):
        monkeypatch.setattr(sys.stderr, "isatty", lambda terminal=terminal: terminal)
        for _ in progress_bar(range(20), name="mining", shown=False):
            clock.now += 1000
    assert capsys.readouterr().err == ""


def test_the_decision_has_one_place():
    root = Path(pasm_aug.__file__).parent
    assert [str(file.relative_to(root)) for file in root.rglob("*.py") if "import tqdm" in file.read_text()] == [
        "core/progress.py"
    ]
