"""Options in a file: read from YAML, TOML or JSON through the checks of the command line, and written to be used again.

Every value is taken as the text that stands in the file and goes through the same argparse type and choices as on the
command line. So YAML's guesses do no harm: ``precision: no`` means "no", ``lr: 1e-4`` is a number.
"""

from __future__ import annotations

import argparse
import difflib
import json
import tomllib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from pasm_aug.cli.options.groups import Switch
from pasm_aug.core.errors import UserError
from pasm_aug.core.files import write_text

NOT_IN_FILES = ("help", "options", "dry_run")
YES, NO = ("true", "yes", "on"), ("false", "no", "off")


def set_options(parser: argparse.ArgumentParser, values: dict[str, Any]) -> None:
    """Make ``values`` the defaults of ``parser``, so that the command line wins over them."""
    parser.set_defaults(**values)
    for action in parser._actions:
        if values.get(action.dest) is not None:
            action.required = False


def read_options(path: Path, parser: argparse.ArgumentParser) -> dict[str, Any]:
    """The options of a command in a file, checked and converted as the command line does it.

    Args:
        path: ``.yaml``, ``.yml``, ``.toml`` or ``.json``; keys are long option names, with dashes or underscores.
        parser: of the command, as it was made: an option may be null if its default is ``None``.

    Raises:
        ValueError: an unreadable file, an unknown or repeated key, a wrong value; names the file and the key.
    """
    known = {action.dest: action for _, action in _listed(parser)}
    values: dict[str, Any] = {}
    for key, text in _pairs(path):
        name = key.replace("-", "_")
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f" (did you mean {near[0].replace('_', '-')}?)" if near else ""
            raise UserError(f"{path}: {parser.prog} has no option {key!r}{hint}")
        if name in values:
            raise UserError(f"{path}: {key} stands there twice")
        try:
            values[name] = _value(known[name], text)
        except argparse.ArgumentTypeError as error:
            raise UserError(f"{path}: {key}: {error}") from None
    return values


def write_options(path: Path, args: argparse.Namespace, add: Callable[[argparse.ArgumentParser], None]) -> None:
    """Write all options of a run as YAML, in the groups of ``--help``, for ``--options`` to read again.

    Args:
        args: what the command was given, or found out since.
        add: adds the options of the command to a parser.
    """
    import yaml

    parser = argparse.ArgumentParser()
    add(parser)
    lines = [f"# All options of this run; the same again: pasm-aug {args.command} --options {path}"]
    title = ""
    for group, action in _listed(parser):
        value = getattr(args, action.dest)
        if value is None:
            value = action.default  # --device auto has become None on its way
        if group != title:
            lines += ["", f"# {group}"]
            title = group
        plain = str(value) if isinstance(value, Path) else ",".join(value) if isinstance(value, list) else value
        lines.append(
            yaml.safe_dump({action.dest.replace("_", "-"): plain}, allow_unicode=True, width=10**6).rstrip("\n")
        )
    write_text(path, "\n".join(lines) + "\n")


def _listed(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.Action]]:
    """(title of the group, option) of all options that a file may hold."""
    for group in parser._action_groups:
        for action in group._group_actions:
            if action.option_strings and action.dest not in NOT_IN_FILES:
                yield group.title or "", action


def _value(action: argparse.Action, text: str | None) -> Any:
    """One value as the command line would have it; an ArgumentTypeError says what was wanted."""
    if text is None:
        if action.default is None:
            return None
        raise argparse.ArgumentTypeError("wanted a value, got none")
    if isinstance(action, Switch):
        if text.lower() not in YES + NO:
            raise argparse.ArgumentTypeError(f"wanted true or false, got {text!r}")
        return text.lower() in YES
    value = action.type(text) if callable(action.type) else text
    if action.choices is not None and value not in action.choices:
        raise argparse.ArgumentTypeError(f"wanted one of {', '.join(map(str, action.choices))}, got {text!r}")
    return value


def _pairs(path: Path) -> Iterator[tuple[str, str | None]]:
    """Keys and values of a file in their order: the text of each value, ``None`` for null."""
    kinds = {".yaml": _yaml, ".yml": _yaml, ".toml": _toml, ".json": _json}
    if path.suffix.lower() not in kinds:
        raise UserError(f"--options {path}: the name must end in .yaml, .yml, .toml or .json")
    try:
        pairs = kinds[path.suffix.lower()](path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UserError(f"--options {path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"--options {path} cannot be read: {error}") from error
    for key, value in pairs:
        if isinstance(value, bool):
            value = str(value).lower()
        if isinstance(value, dict | list):
            kind = "a list" if type(value) is list else "a group of them"
            raise UserError(f"{path}: {key}: wanted one value, got {kind}")
        yield key, None if value is None else str(value)


def _toml(text: str) -> Iterable[tuple[str, Any]]:
    return tomllib.loads(text, parse_float=str).items()


class _Pairs(list[tuple[str, Any]]):
    """Keys and values of a JSON object in their order, repeated ones too."""


def _json(text: str) -> Iterable[tuple[str, Any]]:
    pairs = json.loads(text, object_pairs_hook=_Pairs, parse_float=str, parse_int=str, parse_constant=str)
    if not isinstance(pairs, _Pairs):
        raise UserError('it should hold an object such as {"epochs": 12}')
    return pairs


def _yaml(text: str) -> Iterable[tuple[str, Any]]:
    """The nodes of the file; nothing is constructed, so nothing is guessed and nothing can be run."""
    import yaml

    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise UserError(" ".join(str(error).split())) from error
    if root is None:
        return []
    if not isinstance(root, yaml.MappingNode):
        raise UserError("it should hold lines such as epochs: 12")
    return [(str(key.value), _scalar(value)) for key, value in root.value]


def _scalar(node: Any) -> Any:
    if node.tag == "tag:yaml.org,2002:null":
        return None
    return node.value if isinstance(node.value, str) else [] if node.id == "sequence" else {}
