"""The learning rate over a training, as a pure function of the share of it that is done."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pasm_aug.core.errors import UserError

if TYPE_CHECKING:  # the command line's --help reads SCHEDULES without loading torch
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LambdaLR

SCHEDULES = ("milestones", "cosine", "constant")


def lr_factor(
    step: int,
    steps_per_epoch: int,
    epochs: int,
    *,
    schedule: str = "milestones",
    milestones: Sequence[float] = (0.6, 0.85),
    warmup: float = 0.0,
) -> float:
    """What the learning rate is multiplied with in step ``step`` (from 0).

    Args:
        schedule: ``"milestones"``: ×0.1 at the end of those epochs; ``"cosine"``: half a cosine down to 0 (Loshchilov
            and Hutter 2017, without restarts); ``"constant"``.
        milestones: as shares of ``epochs``.
        warmup: epochs over which the rate rises linearly to its full value (Goyal et al. 2017).
    """
    rising = warmup * steps_per_epoch
    factor = min(1.0, (step + 1) / rising) if rising else 1.0
    if schedule == "milestones":
        ends = {max(1, round(share * epochs)) for share in milestones}
        return factor * 0.1 ** sum(step // steps_per_epoch >= end for end in ends)
    if schedule == "cosine" and step >= rising:
        done = (step - rising) / max(1.0, epochs * steps_per_epoch - rising)
        return factor * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
    return factor


def make_scheduler(
    optimizer: Optimizer,
    steps_per_epoch: int,
    epochs: int,
    *,
    schedule: str = "milestones",
    milestones: Sequence[float] = (0.6, 0.85),
    warmup: float = 0.0,
) -> LambdaLR:
    """:func:`lr_factor` as a torch scheduler, to be stepped after every optimiser step.

    Raises:
        ValueError: an unknown schedule, or a warm-up outside [0, epochs].
    """
    check_schedule(schedule, warmup, epochs)
    from torch.optim.lr_scheduler import LambdaLR

    return LambdaLR(
        optimizer,
        lambda step: lr_factor(step, steps_per_epoch, epochs, schedule=schedule, milestones=milestones, warmup=warmup),
    )


def check_schedule(schedule: str, warmup: float, epochs: int) -> None:
    """Raise a ValueError for an unknown schedule, or a warm-up outside [0, epochs]."""
    if schedule not in SCHEDULES:
        raise UserError(f"schedule must be one of {', '.join(SCHEDULES)}, got {schedule!r}")
    if not 0 <= warmup <= epochs:
        raise UserError(f"warmup must lie in 0…{epochs} (the epochs), got {warmup}")
