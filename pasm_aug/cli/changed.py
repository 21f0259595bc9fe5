"""Which options of a run differ from what it would have done by itself."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import Any

from pasm_aug.cli.options.settle import fill_in
from pasm_aug.cli.recorded import config_of

LEADING = ("data", "method", "augment", "model")  # what other options follow from


def changed_options(
    config: Mapping[str, Any], add: Callable[[argparse.ArgumentParser], None]
) -> dict[str, tuple[Any, Any]]:
    """Option → (what it was, its default), for all that differ; what follows from another option is no change.

    Args:
        config: as ``config.json`` holds it.
        add: adds the options of ``pasm-aug run`` to a parser.
    """
    parser = argparse.ArgumentParser()
    add(parser)
    usual = {action.dest: action.default for action in parser._actions if action.dest != "help"}
    # Arm and network follow from the method; the square, the size of the images and more follow from these.
    first = _settled(usual | {"method": config.get("method", usual["method"])})
    then = _settled(usual | {name: config.get(name, first[name]) for name in LEADING})
    default = then | {"augment": first["augment"], "model": first["model"]} | {n: usual[n] for n in ("data", "method")}
    return {name: (value, default[name]) for name, value in config.items() if name in usual and value != default[name]}


def _settled(options: dict[str, Any]) -> dict[str, Any]:
    args = argparse.Namespace(**options)
    fill_in(args)
    return config_of(args)
