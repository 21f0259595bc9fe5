"""How far work has come: a bar on a terminal and in a notebook, and a line now and then where output goes into a log.

A log gets a line for each tenth of the work, but none before :data:`OFTEN` seconds have passed since the last one, and
one after :data:`SELDOM` seconds however little was done. Short work leaves none.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any

from tqdm import tqdm

SHARE, OFTEN, SELDOM = 0.1, 30.0, 600.0


def progress_bar(
    items: Iterable[Any] | None = None,
    *,
    total: int | None = None,
    done: int = 0,
    name: str,
    unit: str = " images",
    shown: bool = True,
) -> Any:
    """Tells on standard error how far work has come, whatever that is connected to.

    Args:
        items: are iterated over, each a unit of work; without them call ``update(count)``.
        total: units of all the work; default ``len(items)``. done: of them before the start.
        name: of the work. unit: after a number, with the blank.
        shown: ``False`` tells nothing.

    Returns:
        An iterable and a context manager with ``update(count)``, ``set_postfix_str(text)`` and ``close()``.
    """
    if shown and not is_live():
        return Lines(items, len(items) if total is None else total, done, name, unit)  # type: ignore[arg-type]
    return tqdm(items, total=total, initial=done, desc=name, unit=unit, disable=not shown, leave=False)


def is_live() -> bool:
    """Whether somebody watches standard error: there a line can be written again and again."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules


def above_bar(text: str) -> None:
    """Write to standard error, above a bar."""
    tqdm.write(text, file=sys.stderr)


class Lines:
    """What :func:`progress_bar` gives where standard error goes into a log."""

    def __init__(self, items: Iterable[Any] | None, total: int, done: int, name: str, unit: str) -> None:
        self.items, self.total, self.name, self.unit = items, total, name, unit
        self.began = self.done = self.told = done
        self.started = self.last = time.monotonic()
        self.more = ""

    def update(self, count: int = 1) -> None:
        """So many units more are done."""
        self.done += count
        now = time.monotonic()
        if now - self.last < (OFTEN if self.done - self.told >= SHARE * self.total else SELDOM):
            return
        self.last, self.told = now, self.done
        gone = now - self.started
        left = gone * (self.total - self.done) / max(1, self.done - self.began)
        times = f"{tqdm.format_interval(gone)} gone, about {tqdm.format_interval(left)} left"
        part = f"{self.done:,} of {self.total:,}{self.unit} ({self.done / max(1, self.total):.0%})"
        print(f"{self.name}: {part}, {times}{self.more}", file=sys.stderr, flush=True)

    def set_postfix_str(self, text: str, refresh: bool = True) -> None:
        """What the next line tells besides."""
        self.more = f"; {text}"

    def close(self) -> None:
        """Nothing is left to be told."""

    def __iter__(self) -> Iterator[Any]:
        for item in self.items or ():
            yield item
            self.update()

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
