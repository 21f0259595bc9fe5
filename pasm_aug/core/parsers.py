"""Text into values, for the command line and files of options; what cannot be, argparse tells in its own words."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any


def path(text: str) -> Path:
    """A path; ``~`` is the home folder, also where no shell has seen it (``--out=~/runs``, a file of options)."""
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from None


def seeds(text: str) -> tuple[int, ...]:
    """``0,1,2`` or ``0-4``."""
    try:
        parts = [part.split("-") for part in text.split(",")]
        found = [seed for part in parts for seed in range(int(part[0]), int(part[-1]) + 1)]
        if not found or any(len(part) > 2 for part in parts) or len(set(found)) < len(found):
            raise ValueError
    except ValueError:
        raise argparse.ArgumentTypeError(f"wanted different seeds such as 0,1,2 or 0-4, got {text!r}") from None
    return tuple(found)


def names(text: str) -> list[str]:
    """``a,b,c``, or a text file with one name a line."""
    file = path(text)
    found = file.read_text(encoding="utf-8-sig").splitlines() if file.is_file() else text.split(",")
    found = [name.strip() for name in found if name.strip()]
    if len(found) < 2 or len(set(found)) < len(found):
        raise argparse.ArgumentTypeError(f"wanted different names such as a,b,c, or a file of them, got {text!r}")
    return found


def numbers(text: str) -> list[float]:
    """``0.5,0.5,0.5``, finite."""
    found = [_number(part) for part in text.split(",")]
    if not all(math.isfinite(value) for value in found):
        raise argparse.ArgumentTypeError(f"wanted numbers such as 0.485,0.456,0.406, got {text!r}")
    return found


def share(text: str) -> float | int:
    """``31`` → pixels, ``0.14`` or ``31/224`` → share of the shorter side."""
    try:
        if "/" in text:
            above, below = text.split("/")
            value: float | int = float(above) / float(below)
        else:
            value = int(text) if text.isdigit() else float(text)
    except (ValueError, ZeroDivisionError):
        raise argparse.ArgumentTypeError(f"wanted pixels (31) or a share (0.14, 31/224), got {text!r}") from None
    if value <= 0 or (isinstance(value, float) and value > 1):
        raise argparse.ArgumentTypeError(f"wanted pixels of 1 or more, or a share in (0, 1], got {text!r}")
    return value


def fill(text: str) -> str | float:
    """``point``, ``mean``, ``random`` or a number."""
    if text in ("point", "mean", "random"):
        return text
    value = _number(text)
    if not 0 <= value <= 255:
        raise argparse.ArgumentTypeError(f"wanted point, mean, random or a number in 0…255, got {text!r}")
    return value


def hardness(text: str) -> str | float:
    """``worst``, ``drawn`` or a probability."""
    if text in ("worst", "drawn"):
        return text
    value = _number(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"wanted worst, drawn or a number between 0 and 1, got {text!r}")
    return value


def at_least(low: float, kind: type, *, below: float | None = None) -> Any:
    """Parser of a finite number of ``kind`` in [low, below), or of at least ``low`` without ``below``."""
    noun = "a whole number" if kind is int else "a number"
    wanted = f"{noun} of at least {low}" + ("" if below is None else f" and less than {below}")

    def parse(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"wanted {wanted}, got {text!r}") from None
        if not low <= value < (math.inf if below is None else below):
            raise argparse.ArgumentTypeError(f"wanted {wanted}, got {text!r}")
        return value

    return parse


def ratio(text: str) -> float:
    """A share in 0…1, both ends included."""
    value = _number(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"wanted a share in 0…1, got {text!r}")
    return value


def decay(text: str) -> float:
    """A number between 0 and 1, neither of them."""
    value = _number(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"wanted a number between 0 and 1, such as 0.999, got {text!r}")
    return value


def _number(text: str) -> float:
    """NaN, which lies in no range, for what is no number."""
    try:
        return float(text)
    except ValueError:
        return math.nan
