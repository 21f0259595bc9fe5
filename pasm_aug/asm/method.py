"""Adaptive Sample Mining (Zhang et al., arXiv 2310.05618): two networks sort the labels and learn from each kind apart.

Before every epoch each training image is called clean, ambiguous or noise by what both networks say of its label,
against thresholds of its class. Unlike Co-teaching and JoCoR nobody has to tell how many labels are wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pasm_aug.asm.class_thresholds import thresholds
from pasm_aug.asm.losses import ramp, tri_loss
from pasm_aug.asm.options import AsmKeywords, AsmOptions
from pasm_aug.asm.record import AsmRecord, known_wrong, labels_digest
from pasm_aug.asm.subsets import AMBIGUOUS, CLEAN, NOISE, Partition, partition
from pasm_aug.asm.views import Views, strong_view
from pasm_aug.core.errors import UserError
from pasm_aug.core.image_content import dataset_digest
from pasm_aug.core.items import class_names
from pasm_aug.core.options import identity, replaced, takes
from pasm_aug.core.pair import Pair
from pasm_aug.core.shared_rows import share_rows
from pasm_aug.data.origin import labels_of
from pasm_aug.training.evaluation import count_outputs, logits_of
from pasm_aug.training.method import Batch, Outcome, Plan
from pasm_aug.transforms.paired_view import ErasedOnly

_ERASED = {"clean": {CLEAN}, "noise": {NOISE}, "all": {CLEAN, AMBIGUOUS, NOISE}, "suspect": {AMBIGUOUS, NOISE}}


@takes(AsmOptions)
class ASM:
    """A method for :func:`~pasm_aug.training.trainer.train`: ``train(Pair(a, b), dataset, method=ASM())``.

    The training's ``augment`` makes the weak view; an erasing transform in it is applied where the options allow it.

    Args:
        options (AsmOptions, optional): all options at once; ``keywords`` win over them.
        keywords: those of :class:`~pasm_aug.asm.options.AsmOptions`, which explains them.

    Attributes:
        record (AsmRecord): what it made of the labels, once a training has begun.
    """

    plan: Plan
    record: AsmRecord

    def __init__(self, *, options: AsmOptions | None = None, **keywords: Unpack[AsmKeywords]) -> None:
        self.options = replaced(options or AsmOptions(), "ASM", **keywords)

    def setup(self, plan: Plan) -> None:
        """Raises a ValueError for a model that is no :class:`~pasm_aug.core.pair.Pair`, and for too few epochs."""
        if not isinstance(plan.model, Pair):
            raise UserError(
                f"model must be a Pair of two networks for ASM, got {type(plan.model).__name__}: Pair(a, b), or "
                "build_model('pair:small', …)"
            )
        self.first = self.options.first_sorted(plan.epochs)
        self.plan, self.labels = plan, labels_of(plan.dataset)
        self.wrong = known_wrong(plan.dataset, len(self.labels))
        classes = count_outputs(plan.model, plan.dataset, device=plan.device.type)
        self.record = AsmRecord.empty(len(self.labels), classes)
        self.record.about = {"data": dataset_digest(plan.dataset), "labels": labels_digest(self.labels)}
        self.record.about["options"] = identity(self.options)
        self.record.about["classes"] = class_names(plan.dataset) or list(range(classes))
        shape = len(self.labels), 2, classes
        self.probs = torch.full(shape, 1 / classes, device=plan.device)  # what both said of each sample last
        self.seen, self.touched = (torch.zeros(shape[0], dtype=torch.bool, device=plan.device) for _ in range(2))
        self.erased = _ERASED[self.options.erase]
        if self.options.erase == "suspect" and isinstance(plan.transform, ErasedOnly):
            plan.transform = plan.transform.view  # how much is erased shows beside the whole image
        plan.transform = Views(plan.transform, self.options.strong or strong_view(), self.erased)
        self._tell()

    @property
    def partition(self) -> Partition:
        """The last one."""
        return self.record.partition

    def epoch_start(self, epoch: int) -> dict[str, float]:
        """Sort the labels; columns for the epoch's row: share of each subset, and λ."""
        self.plan.inputs.epoch_start(epoch)
        self._share()
        options, begun = self.options, self.first if self.options.ramp_from == "warm-up" else 0
        self.lam = ramp(epoch + 1 - begun, self.plan.epochs - begun, beta=options.ramp_beta, peak=options.ramp_peak)
        if epoch >= self.first and epoch not in self.record.epochs:  # a resumed epoch keeps its partition
            self.record.add(epoch, self._sorted(), self.labels, self.wrong)
        self._tell()
        shares = np.bincount(self.record.subset, minlength=3) / len(self.labels)
        return dict(zip(("clean_share", "ambiguous_share", "noise_share"), shares.tolist(), strict=True)) | {
            "lam": round(self.lam, 6)
        }

    def _sorted(self) -> Partition:
        """The partition by what is known now; a sample that was never seen keeps its label's benefit of the doubt."""
        options = self.options
        if options.probabilities == "evaluation" or not self.seen.any():  # before the first epoch nothing is known
            networks = self.plan.model.a, self.plan.model.b
            both = [self._clean_probabilities(network) for network in networks]  # type: ignore[arg-type]
            self._remember(torch.arange(len(self.labels)), torch.stack(both, 1).to(self.probs.device))
            self.touched.zero_()  # the processes did it together
        probs, seen = self.probs.permute(1, 0, 2).cpu().numpy(), self.seen.cpu().numpy()
        if options.combine == "mean":
            probs = probs.mean(0)
        known = probs[..., seen, :]
        bounds = thresholds(known, self.labels[seen], low=options.low, high=options.high, rule=options.rule)
        found = partition(probs, self.labels, bounds, combine=options.combine)
        found.subset[~seen] = CLEAN
        return found

    def _clean_probabilities(self, network: torch.nn.Module) -> Tensor:
        plan = self.plan
        logits = logits_of(
            network, plan.dataset, preprocess=plan.inputs.preprocess, device=plan.device.type, workers=plan.workers
        )
        return logits.softmax(1)

    def _tell(self) -> None:
        """The loader each sample's subset, and the step."""
        self.subset = torch.from_numpy(self.record.subset.copy())
        self.plan.sampler.notes = self.record.subset.tolist()

    def loss(self, batch: Batch) -> Outcome:
        plan, options = self.plan, self.options
        *views, strong = batch.images
        subset = self.subset[batch.index]
        noise, count = (subset == NOISE).nonzero()[:, 0], len(batch.index)
        where = torch.isin(subset, torch.tensor(sorted(self.erased), dtype=torch.uint8))
        with plan.autocast():
            inputs = plan.inputs(views[0], batch.labels, batch.index, where)
            if len(noise):
                inputs = torch.cat([inputs, plan.inputs.plain(strong[noise.to(plan.device)])])
            logits = plan.student(inputs, apart=True)  # one call: batch statistics of all, and processes count calls
            batch.check(logits)
            known = None if plan.teacher is None else plan.teacher(views[-1], batch.index)
        weak, hard = logits.float().split([count, len(noise)], 1)
        if options.probabilities == "training":
            self._remember(batch.index, weak.detach().softmax(-1).permute(1, 0, 2))
        subset = subset.to(plan.device, non_blocking=True)
        labels = batch.labels
        if options.erase == "suspect":
            labels = _moved(plan.inputs.shown, views[-1], batch.labels, subset, weak.shape[-1])
        value = tri_loss(
            weak,
            hard if len(noise) else None,
            labels,
            subset,
            lam=self.lam,
            omega=options.omega,
            gamma=options.gamma,
            detach=options.detach,
            reduction=options.reduction,
        )
        if known is not None:
            value = value + (0.1 if options.distil is None else options.distil) * F.mse_loss(weak.mean(0), known)
        return Outcome(value, weak.mean(0))

    def _remember(self, index: Tensor, probs: Tensor) -> None:
        """Take (B, 2, K) as what both networks say of these samples now."""
        index = index.to(self.probs.device, non_blocking=True)
        if self.options.memory:
            kept = torch.where(self.seen[index], self.options.memory, 0.0)[:, None, None]
            probs = kept * self.probs[index] + (1 - kept) * probs
        self.probs[index] = probs
        self.seen[index] = self.touched[index] = True

    def _share(self) -> None:
        share_rows([self.probs, self.seen], self.touched)

    def state_dict(self) -> dict[str, Any]:
        self._share()
        record = {f"record.{name}": torch.from_numpy(array) for name, array in self.record.arrays().items()}
        return {"probs": self.probs, "seen": self.seen, **record, **self.plan.inputs.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.probs.copy_(state["probs"])
        self.seen.copy_(state["seen"])
        arrays = {k.removeprefix("record."): v.numpy() for k, v in state.items() if k.startswith("record.")}
        self.record = AsmRecord.of(arrays, self.record.about)
        self.plan.inputs.load_state_dict(state)
        self._tell()

    def __repr__(self) -> str:
        return f"ASM({', '.join(f'{name}={value!r}' for name, value in identity(self.options).items())})"


def _moved(erased: Tensor, clean: Tensor, labels: Tensor, subset: Tensor, classes: int) -> Tensor:
    """(B, classes) targets: the label of a suspect image gives the erased share of its mass to all classes alike.

    After SANM (CVPR 2023), which erases more where a label is suspect and moves as much of its mass.
    """
    share = (erased != clean).any(1).float().mean((1, 2)) * (subset != CLEAN)
    whole = F.one_hot(labels, classes).float()
    return whole + share[:, None] * (1 / classes - whole)
