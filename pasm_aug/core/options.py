"""Options as fields of frozen dataclasses: each is named once, and all that is made of options follows from its field.

:func:`option` says beside a field's default how it is called on the command line, what ``--help`` tells of it and what
of it is recorded and compared; :func:`part` holds the options of another dataclass. Callers give them as flat keywords
(:func:`replaced`), a record of a run is their :func:`identity`.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")
Function = TypeVar("Function", bound=Callable[..., Any])


def without_addresses(text: str) -> str:
    """A ``repr`` without what the next process has otherwise."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", text)


def plain(value: Any) -> Any:
    """A value as JSON holds it; a function or another object by its name, which alone of it outlives the process."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return getattr(value, "__qualname__", type(value).__qualname__)


def option(
    default: Any,
    help: str = "",
    *,
    group: str = "",
    flag: str = "",
    keyword: str = "",
    parse: Callable[[str], Any] | None = None,
    choices: tuple[str, ...] | None = None,
    metavar: str | None = None,
    unit: float | None = None,
    absent: str | None = None,
    identity: Callable[[Any], Any] | None = plain,
) -> Any:
    """A field of a frozen dataclass of options.

    Args:
        help: for ``--help``.
        group: of ``--help`` that its flag is added to; without one no flag is made.
        flag: its long name without the dashes; default the keyword's. Without ``group``: a flag made elsewhere.
        keyword: its name where the dataclass is a :func:`part` of another; default the field's.
        parse, choices, metavar: as argparse has them; a default of ``False`` makes a switch.
        unit: how many of the field's units are one of the flag's.
        absent: the word for ``None`` among ``choices``.
        identity: what of the value a result depends on, for JSON; ``None``: none does.
    """
    about: dict[str, Any] = {"help": help, "group": group, "flag": flag, "keyword": keyword, "parse": parse}
    about |= {"choices": choices, "metavar": metavar, "unit": unit, "absent": absent, "identity": identity}
    return dataclasses.field(default=default, metadata=about)


def part(kind: type, *, recorded: bool = True, **defaults: Any) -> Any:
    """A field that holds another dataclass of options, some of which have other ``defaults`` here.

    Args:
        recorded: whether results depend on it.
    """
    about = {"part": kind, "defaults": defaults, "identity": identity if recorded else None}
    return dataclasses.field(default_factory=lambda: kind(**defaults), metadata=about)


@dataclass(frozen=True)
class Leaf:
    """One option of a dataclass and its parts.

    Attributes:
        keyword: how callers give it.
        path: names of the fields that lead to it.
        about: what :func:`option` was told.
    """

    keyword: str
    path: tuple[str, ...]
    default: Any
    about: Mapping[str, Any]

    @property
    def dest(self) -> str:
        """Its name among parsed arguments; empty where the command line does not know it."""
        if not (self.about["flag"] or self.about["group"]):
            return ""
        return (self.about["flag"] or self.keyword).replace("-", "_")


def leaves(kind: type, defaults: Mapping[str, Any] | None = None) -> Iterator[Leaf]:
    """All options of a dataclass and its parts, in their order; none is made, so nothing is checked or loaded."""
    for field in dataclasses.fields(kind):
        if inner := field.metadata.get("part"):
            for leaf in leaves(inner, field.metadata["defaults"]):
                keyword = leaf.about["keyword"] or leaf.keyword
                yield dataclasses.replace(leaf, keyword=keyword, path=(field.name, *leaf.path))
        else:
            yield Leaf(field.name, (field.name,), (defaults or {}).get(field.name, field.default), field.metadata)


def replaced(options: T, function: str = "", /, **keywords: Any) -> T:
    """``options`` with those given as flat keywords in place of their own, at whatever depth they lie.

    Args:
        function: whose keywords they are, for the message.

    Raises:
        TypeError: a keyword that is none.
    """
    paths = {leaf.keyword: leaf.path for leaf in leaves(type(options))}
    for keyword in keywords:
        if keyword not in paths:
            raise TypeError(f"{function or type(options).__name__}() got an unexpected keyword argument {keyword!r}")
    return _changed(options, {paths[keyword]: value for keyword, value in keywords.items()})


def _changed(options: Any, values: Mapping[tuple[str, ...], Any]) -> Any:
    own = {path[0]: value for path, value in values.items() if len(path) == 1}
    inner: dict[str, dict[tuple[str, ...], Any]] = {}
    for path, value in values.items():
        if len(path) > 1:
            inner.setdefault(path[0], {})[path[1:]] = value
    parts = {name: _changed(getattr(options, name), changes) for name, changes in inner.items()}
    return dataclasses.replace(options, **own, **parts)


def identity(options: Any) -> dict[str, Any]:
    """What results depend on, ready for JSON; a part is a mapping of its own."""
    kept = ((field.name, field.metadata["identity"]) for field in dataclasses.fields(options))
    return {name: of(getattr(options, name)) for name, of in kept if of is not None}


def takes(kind: type) -> Callable[[Function], Function]:
    """Show the options of ``kind`` in the signature of a function that takes them as ``**keywords``."""

    def decorate(function: Function) -> Function:
        known = inspect.signature(function)
        named = [value for value in known.parameters.values() if value.kind is not value.VAR_KEYWORD]
        more = [
            inspect.Parameter(leaf.keyword, inspect.Parameter.KEYWORD_ONLY, default=leaf.default)
            for leaf in leaves(kind)
        ]
        function.__signature__ = known.replace(parameters=named + more)  # type: ignore[attr-defined]
        return function

    return decorate
