"""The section of a report that says how to do the same again: what was changed, the command, the versions."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from pasm_aug.report.page import command, paragraph, table

Changed = Mapping[str, tuple[Any, Any]]  # option → what it was in this run, and what it is by default


def settings(
    config: Mapping[str, Any], changed: Changed | None, versions: Mapping[str, str], *options: str
) -> list[str]:
    """What was changed, a command that does the same, and the versions it ran with.

    Args:
        changed: ``None`` where the defaults are not known: then all of ``config`` is shown.
        options: of the command alone, such as ``--seeds 0,1``.
    """
    if changed is None:
        parts = [table(("option", "this run"), [(name, _shown(value)) for name, value in config.items()])]
    else:
        rows = [(_flag(name), _shown(value), _shown(usual)) for name, (value, usual) in changed.items()]
        parts = [table(("changed", "this run", "default"), rows)] if rows else [paragraph("All options as by default.")]
        parts.append(command(" ".join(["pasm-aug run", *map(_option, changed, changed.values()), *options])))
    if versions:
        parts.append(paragraph(", ".join(f"{name} {version}" for name, version in versions.items()), "note"))
    return parts


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _option(name: str, values: tuple[Any, Any]) -> str:
    """An option as it is typed."""
    value, flag = values[0], _flag(name)
    if isinstance(value, bool):
        return flag if value else flag.replace("--", "--no-", 1)
    return f"{flag} {shlex.quote(str(value))}"


def _shown(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
