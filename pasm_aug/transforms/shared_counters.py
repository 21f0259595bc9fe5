"""Counters that all loader workers of a transform share."""

from __future__ import annotations

import os
from collections.abc import Callable
from multiprocessing.context import get_spawning_popen
from typing import Any

import torch
from torch import Tensor

_SLOTS = 1024
_process = os.getpid()


def _in_child() -> None:
    global _process
    _process = os.getpid()


if hasattr(
    os, "register_at_fork"
):  # asking the system for the process's id at every count would cost more than counting
    os.register_at_fork(after_in_child=_in_child)


class SharedCounts:
    """Named counters in shared memory: one row per process (by its id), so that no lock is needed and none is lost.

    A process that is being started (fork, spawn, forkserver) counts on the same memory; a copy or a pickle starts its
    own counts from zero.

    Args:
        names: of the counters.
        shared: memory of an existing one.
    """

    def __init__(self, names: tuple[str, ...], shared: Tensor | None = None) -> None:
        self.names = names
        if shared is None:
            shared = torch.zeros(_SLOTS, len(names), dtype=torch.int64).share_memory_()
        self._shared = shared
        self._array = shared.numpy()
        self._cells = memoryview(self._array.reshape(-1).data)  # ten times as quick as the array for single numbers
        self._column = {name: i for i, name in enumerate(names)}

    def add(self, **amounts: int) -> None:
        """Count, in this process's row."""
        cells, start = self._cells, _process % _SLOTS * len(self.names)
        for name, amount in amounts.items():
            cells[start + self._column[name]] += amount

    def erased_area(self, *, here: bool = False) -> tuple[int, int]:
        """(pixels erased, pixels seen), of counters that have these names, by all processes or by this one alone."""
        if here:
            start = _process % _SLOTS * len(self.names)
            return tuple(self._cells[start + self._column[name]] for name in ("erased_pixels", "pixels"))  # type: ignore[return-value]
        totals = self.totals()
        return totals["erased_pixels"], totals["pixels"]

    def totals(self) -> dict[str, int]:
        """Sums over all processes."""
        return dict(zip(self.names, self._array.sum(0).tolist(), strict=True))

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        starting = get_spawning_popen() is not None
        return type(self), (self.names, self._shared) if starting else (self.names,)
