"""Work in pieces that fit into memory, found out while working."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch


def chunks(start: int, stop: int, size: int) -> Iterator[slice]:
    """start…stop in as few parts of at most ``size`` as it takes, all about equal: a lone one would take another path
    through a matrix product and round differently."""
    if stop <= start:
        return
    parts = -(-(stop - start) // size)
    edges = [start + (stop - start) * part // parts for part in range(parts + 1)]
    yield from map(slice, edges[:-1], edges[1:])


def in_chunks(work: Callable[[slice], None], count: int, size: int) -> int:
    """Call ``work`` on slices of 0…count of at most ``size``, and of half of it where memory does not suffice.

    Returns:
        The size that worked, for the next time.
    """
    done = 0
    while done < count:
        try:
            for part in chunks(done, count, size):
                work(part)
                done = part.stop
        except (RuntimeError, MemoryError) as error:
            if size == 1 or not _memory_ran_out(error):
                raise
            size //= 2
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
    return size


def _memory_ran_out(error: Exception) -> bool:
    words = str(error)
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        "DefaultCPUAllocator" in words and "memory" in words
    )
