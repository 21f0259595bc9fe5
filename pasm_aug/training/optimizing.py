"""What changes the weights in a training: the optimiser, its learning rate over the epochs, and their average."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from pasm_aug.core.networks import copied
from pasm_aug.training.options import TrainingOptions
from pasm_aug.training.schedule import make_scheduler


def make_optimizer(model: nn.Module, options: TrainingOptions, steps: int) -> tuple[torch.optim.Optimizer, Any]:
    """Optimiser and scheduler, ours or the caller's; ``steps`` make an epoch."""
    make: Callable[..., torch.optim.Optimizer] = options.optimizer or functools.partial(
        torch.optim.SGD, lr=options.lr, momentum=0.9, weight_decay=options.weight_decay
    )
    optimizer = make(model.parameters())
    if options.scheduler:
        return optimizer, options.scheduler(optimizer)
    rates: dict[str, Any] = {name: getattr(options, name) for name in ("schedule", "milestones", "warmup")}
    return optimizer, make_scheduler(optimizer, steps, options.epochs, **rates)


def averaged(model: nn.Module, decay: float | None) -> AveragedModel | None:
    """The running average of the weights, with this decay a step; ``None`` without one."""
    if not decay:
        return None
    return AveragedModel(copied(model), multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
