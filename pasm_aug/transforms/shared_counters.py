"""Counters that all loader workers of a transform share."""

from __future__ import annotations

import os
from collections.abc import Callable
from multiprocessing.context import get_spawning_popen
from typing import Any

import torch
from torch import Tensor

_SLOTS = 1024
_process = os.getpid()  # asking the system for it at every count would cost more than counting


def _in_child() -> None:
    global _process
    _process = os.getpid()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)


class SharedCounters:
    """Named counters in shared memory: one row per process (by its id), so that no lock is needed and none is lost.

    A process that is being started (fork, spawn, forkserver) counts on the same memory; a copy or a pickle starts its
    own counts from zero.

    Args:
        names (tuple of str): of the counters.
        shared (Tensor, optional): memory of existing ones, (slots, counters) int64.
    """

    def __init__(self, names: tuple[str, ...], shared: Tensor | None = None) -> None:
        self.names = names
        if shared is None:
            shared = torch.zeros(_SLOTS, len(names), dtype=torch.int64, device="cpu").share_memory_()
        self._shared = shared
        self._array = shared.numpy()
        self._cells = memoryview(self._array.reshape(-1).data)  # ten times as quick as the array for single numbers
        self._column = {name: i for i, name in enumerate(names)}

    def add(self, **amounts: int) -> None:
        """Count, in this process's row."""
        cells, start = self._cells, _process % _SLOTS * len(self.names)
        for name, amount in amounts.items():
            cells[start + self._column[name]] += amount

    def totals(self) -> dict[str, int]:
        """Sums over all processes, by name."""
        return dict(zip(self.names, self._array.sum(0).tolist(), strict=True))

    def here(self) -> dict[str, int]:
        """What this process alone has counted, by name."""
        start = _process % _SLOTS * len(self.names)
        return dict(zip(self.names, self._cells[start : start + len(self.names)], strict=True))

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        starting = get_spawning_popen() is not None
        return type(self), (self.names, self._shared) if starting else (self.names,)


def erased_area(counters: SharedCounters, *, here: bool) -> tuple[int, int]:
    """(``erased_pixels``, ``pixels``) of counters that have these names, over all processes or of this one alone."""
    counts = counters.here() if here else counters.totals()
    return counts["erased_pixels"], counts["pixels"]
