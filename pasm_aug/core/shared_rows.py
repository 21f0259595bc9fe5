"""Tables with a row for each sample, of which every process of a training fills in the samples that it meets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
import torch.distributed as dist
from accelerate import PartialState
from torch import Tensor


def greatest(numbers: Sequence[int]) -> list[int]:
    """Of each number the greatest that any process has."""
    if not (dist.is_available() and dist.is_initialized()):
        return list(numbers)
    found = torch.tensor(numbers, device=PartialState().device)
    dist.all_reduce(found, dist.ReduceOp.MAX)
    return found.tolist()


def share_rows(tables: Iterable[Tensor], touched: Tensor) -> None:
    """Take over from the other processes the rows that they have written since the last time.

    Where two have met the same sample, the higher rank's row stands everywhere. A single process shares nothing.

    Args:
        tables: each (N, …), of at most 32 bits a value; changed in place.
        touched: (N,) bool: the rows that this process has written; all false afterwards.
    """
    if not (dist.is_available() and dist.is_initialized()):
        return
    rank, device = dist.get_rank(), PartialState().device  # processes on GPUs share nothing that lies elsewhere
    owner = torch.where(touched.to(device), rank, -1)
    dist.all_reduce(owner, dist.ReduceOp.MAX)
    for table in tables:
        here = table.to(device)
        mine = (owner == rank).view(-1, *[1] * (table.ndim - 1))
        known = torch.where(mine, here, 0).float()  # exact for all that such a table holds
        dist.all_reduce(known)
        table.copy_(torch.where((owner >= 0).view_as(mine), known.to(table.dtype), here))
    touched.zero_()
