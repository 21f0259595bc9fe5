"""Inner loops compiled by numba, kept on the disk for the next process where there is a place for them."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(**options: Any) -> Callable[[Function], Function]:
    """``numba.njit`` with a cache on the disk, or without one where no folder can be written (a read-only install, no
    home): then each process compiles anew, which takes seconds."""

    def decorate(function: Function) -> Function:
        try:
            return njit(cache=True, **options)(function)
        except RuntimeError as error:
            if "cannot cache" not in str(error):
                raise
            _say_once()
            return njit(**options)(function)

    return decorate


@functools.cache
def _say_once() -> None:
    warnings.warn(
        "numba has no folder to keep compiled code in: every process compiles it anew; set NUMBA_CACHE_DIR to a "
        "writable one",
        stacklevel=3,
    )
