"""Peers of ASM as methods of the same trainer, written from their papers: Co-teaching, JoCoR, EAC's loss.

Co-teaching (Han et al., NeurIPS 2018) and JoCoR (Wei et al., CVPR 2020) are told the noise rate; EAC (Zhang et al.,
ECCV 2022) is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pasm_aug.core.networks import take_logits
from pasm_aug.training.method import Batch, Outcome, Plan


class _Stateless:
    """What these methods share: nothing is kept between steps."""

    plan: Plan

    def setup(self, plan: Plan) -> None:
        self.plan = plan

    def epoch_start(self, epoch: int) -> None:
        self.epoch = epoch
        self.plan.inputs.epoch_start(epoch)

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        pass

    def both(self, batch: Batch) -> Tensor:
        """(2, B, K) logits of a pair."""
        with self.plan.autocast():
            logits = self.plan.student(self.plan.inputs.plain(batch.images[0]), apart=True)
        batch.check(logits)
        return logits.float()


class SmallLoss(_Stateless):
    """Keeps the share of a batch that has the smallest loss: 1 - rate · min(epoch / 10 of its epochs' share, 1).

    Args:
        rate: the noise rate, which it must be told.
        ramp: share of the epochs over which it comes to drop that much.
    """

    def __init__(self, rate: float, ramp: float = 0.1) -> None:
        self.rate, self.ramp = rate, ramp

    def kept(self, count: int) -> int:
        dropped = self.rate * min(1.0, self.epoch / max(1.0, self.ramp * self.plan.epochs))
        return max(1, round((1 - dropped) * count))


class CoTeaching(SmallLoss):
    """Each network learns from the images on which the *other* has the smallest loss."""

    def loss(self, batch: Batch) -> Outcome:
        logits = self.both(batch)
        entropy = torch.stack([F.cross_entropy(each, batch.labels, reduction="none") for each in logits])
        chosen = entropy.detach().topk(self.kept(len(batch.labels)), dim=1, largest=False).indices
        return Outcome((entropy[0][chosen[1]].mean() + entropy[1][chosen[0]].mean()) / 2, logits.mean(0))


class JoCoR(SmallLoss):
    """One loss for both, (1 - λ) · CE + λ · symmetric KL; they learn from the images on which it is smallest."""

    def __init__(self, rate: float, ramp: float = 0.1, lam: float = 0.85) -> None:
        super().__init__(rate, ramp)
        self.lam = lam

    def loss(self, batch: Batch) -> Outcome:
        logits = self.both(batch)
        log_p = logits.log_softmax(-1)
        entropy = sum(F.cross_entropy(each, batch.labels, reduction="none") for each in logits)
        apart = sum(F.kl_div(log_p[i], log_p[1 - i], reduction="none", log_target=True).sum(-1) for i in (0, 1))
        joint = (1 - self.lam) * entropy + self.lam * apart
        return Outcome(joint.topk(self.kept(len(joint)), largest=False).values.mean(), logits.mean(0))


class ErasingAttention(_Stateless):
    """EAC: cross-entropy on the image, and its class maps must be those of the flipped image, flipped back.

    Args:
        weight: λ of the consistency.
    """

    def __init__(self, weight: float = 5.0) -> None:
        self.weight = weight

    def setup(self, plan: Plan) -> None:
        super().setup(plan)
        plan.model.layer3.register_forward_hook(lambda *call: setattr(self, "features", call[-1]))

    def loss(self, batch: Batch) -> Outcome:
        images, count = batch.images[0], len(batch.labels)
        with self.plan.autocast():
            logits = take_logits(self.plan.student(self.plan.inputs.plain(torch.cat([images, images.flip(-1)]))))
            batch.check(logits)
            maps = torch.einsum("bchw,kc->bkhw", self.features, self.plan.model.fc.weight)
        entropy = F.cross_entropy(logits[:count].float(), batch.labels)
        apart = F.mse_loss(maps[:count], maps[count:].flip(-1))
        return Outcome(entropy + self.weight * apart, logits[:count])
