"""The command line ``pasm-aug``: arguments in, messages out; one file a command."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pasm_aug.core.lazy import lazy

if TYPE_CHECKING:  # the same names, for editors and type checkers
    from pasm_aug.cli.entry import main as main
else:
    __getattr__, __dir__, __all__ = lazy(
        __name__,
        {
            "entry": "main",
        },
    )
