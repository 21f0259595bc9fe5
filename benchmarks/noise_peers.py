"""Peers of ASM as methods of the same trainer, after their papers and published code: Co-teaching, JoCoR, EAC.

Co-teaching (Han et al., NeurIPS 2018; github bhanML/Co-teaching) and JoCoR (Wei et al., CVPR 2020; hongxin001/JoCoR)
are told the noise rate; EAC (Zhang et al., ECCV 2022; zyh-uaiaaaa/Erasing-Attention-Consistency) is not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.transforms import v2

from pasm_aug.core.image_content import to_uint8_tensor
from pasm_aug.core.networks import take_logits
from pasm_aug.models import IMAGENET_MEAN
from pasm_aug.training.method import Batch, Outcome, Plan
from pasm_aug.transforms.baselines import CountedRandomErasing
from pasm_aug.transforms.paired_view import PairedView


class _Stateless:
    """What these methods share: nothing is kept between steps. As dataclasses they say what a checkpoint compares."""

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


@dataclass(eq=False)
class SmallLoss(_Stateless):
    """Keeps the share of a batch that has the smallest loss: 1 - rate · min(e / (ramp · E), 1), e from 0.

    Args:
        rate: the noise rate, which it must be told.
        ramp: share of the epochs over which it comes to drop that much; theirs is 10 of 200.
    """

    rate: float
    ramp: float = 0.1

    def kept(self, count: int) -> int:
        dropped = self.rate * min(1.0, self.epoch / max(1.0, self.ramp * self.plan.epochs))
        return max(1, round((1 - dropped) * count))


class CoTeaching(SmallLoss):
    """Each network learns from the images on which the *other* has the smallest loss.

    The losses are added: as with an optimiser for each network, its gradient is that of its own mean alone.
    """

    def loss(self, batch: Batch) -> Outcome:
        logits = self.both(batch)
        entropy = torch.stack([F.cross_entropy(each, batch.labels, reduction="none") for each in logits])
        chosen = entropy.detach().topk(self.kept(len(batch.labels)), dim=1, largest=False).indices
        return Outcome(entropy[0][chosen[1]].mean() + entropy[1][chosen[0]].mean(), logits.mean(0))


@dataclass(eq=False)
class JoCoR(SmallLoss):
    """One loss for both, (1 - λ) · (CE₁ + CE₂) + λ · (KL₁₂ + KL₂₁), neither side of which is a constant.

    They learn from the images on which it is smallest. Of each network's cross-entropy 1 - λ is left, 0.15: Adam, which
    the authors use, makes up for that, SGD does not, so the learning rate has to (choose it by validation, not
    that of the other methods).

    Args:
        lam: λ. The published code's README: 0.85 for CIFAR-100; CIFAR-10 0.9, with 80 % noise 0.65; "between 0.5-0.9",
            to be tried anew for another network.
    """

    lam: float = 0.85

    def loss(self, batch: Batch) -> Outcome:
        logits = self.both(batch)
        log_p = logits.log_softmax(-1)
        entropy = sum(F.cross_entropy(each, batch.labels, reduction="none") for each in logits)
        apart = sum(F.kl_div(log_p[i], log_p[1 - i], reduction="none", log_target=True).sum(-1) for i in (0, 1))
        joint = (1 - self.lam) * entropy + self.lam * apart
        return Outcome(joint.topk(self.kept(len(joint)), largest=False).values.mean(), logits.mean(0))


class MirroredViews(nn.Module):
    """(image, label) → (erased, the mirror image erased elsewhere, label): EAC's views where labels are noisy.

    Args:
        then: the training's geometry, once for both; the published code has none, and always mirrors the second.
        erase: an erasing transform, which draws for each of the two.
    """

    def __init__(self, then: nn.Module | None, erase: Callable[[Any], Any]) -> None:
        super().__init__()
        self.geometry, self.erase = PairedView(None, then), erase

    def forward(self, image: Any, label: Any) -> tuple[Any, Any, Any]:
        image, label = self.geometry.clean_only(image, label)
        return self.erase(image), self.erase(v2.functional.horizontal_flip(image)), label


def eac_erasing(channels: int) -> CountedRandomErasing:
    """Theirs: half of the views, 2 to 25 % of the area, in ImageNet's mean colour, which is 0 once normalised."""
    mean = [255 * value for value in IMAGENET_MEAN]
    return CountedRandomErasing(scale=(0.02, 0.25), value=mean if channels == 3 else sum(mean) / 3)


@dataclass(eq=False)
class ErasingAttention(_Stateless):
    """EAC: cross-entropy on an image, and its class maps must be those of its mirror image, mirrored back.

    It brings its erasing with it (:class:`MirroredViews`), whatever the training's ``augment`` erases; of that the
    geometry is kept. As published, the maps' class weights are a constant. Left out: the Gaussian noise on half of the
    originals. The two views are one batch here, of common batch statistics, and two there.

    Args:
        weight: λ of the consistency.
    """

    weight: float = 5.0

    def setup(self, plan: Plan) -> None:
        super().setup(plan)
        view = getattr(plan.transform, "view", plan.transform)  # a PairedView may be wrapped, as nobody sees its twin
        erase = eac_erasing(len(to_uint8_tensor(plan.dataset[0][0])))
        plan.transform = MirroredViews(getattr(view, "then", None), erase)
        plan.model.layer3.register_forward_hook(lambda *call: setattr(self, "features", call[-1]))

    def loss(self, batch: Batch) -> Outcome:
        count = len(batch.labels)
        with self.plan.autocast():
            logits = take_logits(self.plan.student(self.plan.inputs.plain(torch.cat(list(batch.images)))))
            batch.check(logits)
            maps = torch.einsum("bchw,kc->bkhw", self.features, self.plan.model.fc.weight.detach())
        entropy = F.cross_entropy(logits[:count].float(), batch.labels)
        apart = F.mse_loss(maps[:count], maps[count:].flip(-1))
        return Outcome(entropy + self.weight * apart, logits[:count])
