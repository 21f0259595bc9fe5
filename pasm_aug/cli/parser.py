"""The parser of the command line: mistakes in one line with what was likely meant, versions, completion by Tab."""

from __future__ import annotations

import argparse
import difflib
import importlib.metadata
import platform
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import pasm_aug


class Parser(argparse.ArgumentParser):
    """Tells a mistake in one line, without the usage above it, and which name a mistyped one resembles."""

    words: Sequence[str] = ()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        self.words = list(sys.argv[1:] if args is None else args)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> Any:
        """Exit with code 2 and one line on standard error."""
        command = self._command()
        for name in dict.fromkeys(word.partition("=")[0] for word in self.words if word.startswith("--")):
            if name != "--" and name not in command._option_string_actions:
                near = closest(name, command._option_string_actions)
                message += f"; {name}: did you mean {near}?" if near else ""
        self.exit(2, f"{self.prog}: error: {message}; see {command.prog} --help\n")

    def _command(self) -> argparse.ArgumentParser:
        """The parser of the command among the words, or this one."""
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                return next((action.choices[word] for word in self.words if word in action.choices), self)
        return self

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        choices = None if action.choices is None else list(action.choices)
        if choices is not None and value not in choices:
            known = [str(choice) for choice in choices]
            near = closest(str(value), known)
            hint = f"did you mean {near}? " if near else ""
            raise argparse.ArgumentError(action, f"invalid choice: {value!r} ({hint}choose from {', '.join(known)})")


def closest(name: str, known: Iterable[str]) -> str | None:
    """The one of the names that begins with a mistyped one, else the one that resembles it most, if any does."""
    names = list(known)
    longer = [one for one in names if len(name) > 2 and one.startswith(name)]
    return next(iter(longer or difflib.get_close_matches(name, names, 1)), None)


class Version(argparse.Action):
    """``--version``: of this package, and of what it stands on, as a report of a defect needs it."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, default=argparse.SUPPRESS, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        """Print them and exit."""
        found = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("torch", "torchvision"))
        print(f"pasm-aug {pasm_aug.__version__} (Python {platform.python_version()}, {found})")
        parser.exit()


def complete(parser: argparse.ArgumentParser) -> None:
    """Tell a shell that asks for it how the line may go on, and exit; without argcomplete nothing is told."""
    try:
        import argcomplete
    except ImportError:
        sys.exit(1)
    argcomplete.autocomplete(parser)
