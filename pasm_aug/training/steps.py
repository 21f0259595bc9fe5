"""One step of the optimiser: forward, loss, backward, in as many parts as memory asks for."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

import torch
from accelerate import Accelerator
from torch import Tensor

from pasm_aug.training.method import Batch, Method, Plan


class TrainingStep:
    """Call it with a batch; it steps the optimiser and returns what :meth:`__call__` says.

    Args:
        optimizer: as ``accelerator.prepare`` returned it.
        plan, method: of the training; the method is set up.
        accumulate: parts that a batch is cut into; each has two images at least, for the sake of batch statistics.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        optimizer: torch.optim.Optimizer,
        plan: Plan,
        method: Method,
        accumulate: int = 1,
    ) -> None:
        self.accelerator, self.optimizer, self.plan, self.method = accelerator, optimizer, plan, method
        self.accumulate = accumulate

    def __call__(self, images: Sequence[Tensor], target: Tensor, index: Tensor, size: int) -> Tensor:
        """Train on one batch.

        Args:
            images: each (B, C, H, W) uint8, this process's share of the batch; see :class:`Batch`.
            target: (B,) int64. index: (B,) int64 of the samples. Both on the CPU.
            size: images of the batch over all processes.

        Returns:
            Tensor: (5,) float64: summed loss, right predictions, images; pixels erased in the step, and seen.
        """
        accelerator, student = self.accelerator, self.plan.student
        device = accelerator.device
        parts = min(self.accumulate, max(1, len(target) // 2))
        total = torch.zeros(5, dtype=torch.float64, device=device)
        self.optimizer.zero_grad()
        cut = [column.tensor_split(parts) for column in (target, index, *images)]
        for number, (label, rows, *views) in enumerate(zip(*cut, strict=True), 1):
            count = len(label)
            views, labels = [view.to(device, non_blocking=True) for view in views], label.to(device, non_blocking=True)
            with nullcontext() if number == parts else accelerator.no_sync(student):
                outcome = self.method.loss(Batch(views, labels, label, rows))
                # The mean over the whole batch, however it is cut and shared (processes average their gradients).
                share = count * accelerator.num_processes / size
                accelerator.backward(outcome.loss if share == 1 else outcome.loss * share)
            hits = (outcome.logits.detach().argmax(1) == labels).sum()
            total[:3] += torch.stack([outcome.loss.detach() * count, hits, torch.tensor(count, device=device)])
            if (area := self.plan.inputs.area) is not None:
                total[3:] += area
        self.optimizer.step()
        return total
