"""The options that a folder was made with: recorded in it, and compared before the same work goes on there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pasm_aug.core.errors import UserError

LASTING = ("result.json", "training.safetensors", "positions.safetensors", "*.journal-*", "fold-*")


def begun(folder: Path) -> bool:
    """Whether work of some length lies in a folder: a finished stage, a checkpoint, mined points."""
    return any(any(folder.rglob(name)) for name in LASTING)


def differences(recorded: Mapping[str, Any], options: Mapping[str, Any]) -> list[str]:
    """``"lr was 0.1, now 0.01"`` for every option that differs; what is not recorded is not compared.

    Args:
        recorded, options: as JSON holds them; a mapping within is compared option by option.
    """
    found = []
    for name, now in options.items():
        before = recorded.get(name, now)
        if isinstance(before, Mapping) and isinstance(now, Mapping):
            found += [f"{name}.{text}" for text in differences(before, now)]
        elif before != now:
            found.append(f"{name} was {before}, now {now}")
    return found


def refuse(recorded: Mapping[str, Any], options: Mapping[str, Any], message: str) -> None:
    """Raise a ValueError if an option differs from the recorded one.

    Args:
        message: of the error, with ``{differing}`` where the differences go.
    """
    if differing := differences(recorded, options):
        raise UserError(message.format(differing="; ".join(differing)))
