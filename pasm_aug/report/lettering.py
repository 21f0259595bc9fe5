"""Names as charts have room for them and take them literally."""

from __future__ import annotations

LONGEST, WHOLE_LINE = 16, 56  # letters of a class's name, and of a name with a line of its own, that there is room for


def shortened(name: str, longest: int = LONGEST) -> str:
    """A name of at most ``longest`` letters; default: as many as there is room for a class's."""
    return name if len(name) <= longest else f"{name[: longest - 1]}…"


def literal(text: str) -> str:
    """What matplotlib shows as ``text``: to it a ``$`` begins a formula, and a leading ``_`` keeps out of a legend."""
    escaped = text.replace("$", r"\$")
    return "\N{ZERO WIDTH SPACE}" * escaped.startswith("_") + escaped


def whole(value: float, sign: str = "") -> str:
    """A number, rounded, with the minus that is as wide as a plus; ``sign``: ``"+"`` for one before those above 0."""
    number = round(value)
    return f"{number:{sign if number else ''}}".replace("-", "\N{MINUS SIGN}")


def line_label(name: str) -> str:
    """The name of a line in a legend, below the others."""
    return literal(shortened(name, WHOLE_LINE))


def class_label(name: str) -> str:
    """A class's name for an axis, a title or a legend."""
    return literal(shortened(name))
