"""Fields of option dataclasses as flags of the command line, and parsed arguments as keywords again."""

from __future__ import annotations

import argparse
from typing import Any

from pasm_aug.cli.options.groups import Switch
from pasm_aug.core.options import Leaf, leaves


def add_fields(group: argparse._ArgumentGroup, kind: type, name: str, *, first: str = "", only: str = "") -> None:
    """Add a flag for every option of ``kind`` in the group called ``name``.

    Args:
        first: the part whose options come before those of the others.
        only: the keyword of the single option that is wanted.
    """
    for leaf in sorted(leaves(kind), key=lambda leaf: leaf.path[0] != first):
        if leaf.about["group"] == name and only in ("", leaf.keyword):
            _add(group, leaf)


def keywords_of(args: argparse.Namespace, kind: type) -> dict[str, Any]:
    """What the command line says of the options of ``kind``, as flat keywords."""
    given: dict[str, Any] = {}
    for leaf in leaves(kind):
        if leaf.dest and hasattr(args, leaf.dest):
            value, unit = getattr(args, leaf.dest), leaf.about["unit"]
            if leaf.about["absent"] is not None and value == leaf.about["absent"]:
                value = None
            given[leaf.keyword] = unit * value if unit else value
    return given


def changes_nothing(kind: type) -> set[str]:
    """Names of the arguments that no result depends on."""
    return {leaf.dest for leaf in leaves(kind) if leaf.dest and leaf.about["identity"] is None}


def _add(group: argparse._ArgumentGroup, leaf: Leaf) -> None:
    about, flag = leaf.about, f"--{leaf.dest.replace('_', '-')}"
    if leaf.default is False:
        group.add_argument(flag, action=Switch, help=about["help"])
        return
    more: dict[str, Any] = {"metavar": about["metavar"], "type": about["parse"], "choices": about["choices"]}
    default = about["absent"] if leaf.default is None else leaf.default
    group.add_argument(
        flag,
        default=default / about["unit"] if about["unit"] else default,
        help=about["help"],
        **{name: value for name, value in more.items() if value is not None},
    )
