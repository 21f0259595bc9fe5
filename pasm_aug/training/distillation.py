"""PASM's way of training: the student on the erased image, its teacher on the clean one (paper, Eq. 4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from pasm_aug.core.networks import take_logits
from pasm_aug.training.losses import distillation_loss
from pasm_aug.training.method import Batch, Outcome, Plan

Loss = Callable[[Tensor, Tensor | None, Tensor], Tensor]


class Distillation:
    """A method: ``loss(student_logits, teacher_logits or None, target)``, a mean over the images."""

    plan: Plan

    def __init__(self, loss: Loss = distillation_loss) -> None:
        self._loss = loss

    def setup(self, plan: Plan) -> None:
        self.plan = plan

    def epoch_start(self, epoch: int) -> None:
        self.plan.inputs.epoch_start(epoch)

    def loss(self, batch: Batch) -> Outcome:
        plan, (image, *clean) = self.plan, batch.images
        with plan.autocast():
            logits = take_logits(plan.student(plan.inputs(image, batch.labels, batch.index)))
            batch.check(logits)
            known = None if plan.teacher is None else plan.teacher(clean[0] if clean else image, batch.index)
        return Outcome(self._loss(logits.float(), known, batch.labels), logits)

    def state_dict(self) -> dict[str, Any]:
        return self.plan.inputs.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.plan.inputs.load_state_dict(state)
