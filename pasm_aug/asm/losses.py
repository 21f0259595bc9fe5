"""What ASM learns from each subset: clean labels, half of an ambiguous one, none of a wrong one.

The losses are those of the supplement of ASM (arXiv 2310.05618) and of MAN, the first author's method before; where
good practice parts from MAN's code, both are options.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from pasm_aug.asm.options import REDUCTIONS
from pasm_aug.asm.subsets import AMBIGUOUS, CLEAN, NOISE
from pasm_aug.core.errors import UserError


def ramp(epoch: float, epochs: int, *, beta: float = 0.65, peak: float = 0.9) -> float:
    """λ, how far ambiguous images go by the other network instead of their label: ``peak · exp(-β (1 - e / 0.9 E)²)``.

    The supplement calls it a sigmoid; the formula, and MAN's code, is this Gaussian, which reaches ``peak`` at nine
    tenths of the epochs. Here it stays there; MAN's falls again, from 0.9 to 0.893 in the last epoch.

    Args:
        epoch: e, counted from 1 as in MAN's code. epochs: E.
    """
    return peak * math.exp(-beta * (1 - min(1.0, epoch / (0.9 * epochs))) ** 2)


def tri_loss(
    weak: Tensor,
    strong: Tensor | None,
    labels: Tensor,
    subset: Tensor,
    *,
    lam: float,
    omega: float = 0.6,
    gamma: float = 1.0,
    detach: bool = True,
    reduction: str = "subset",
) -> Tensor:
    """``L_clean + ω L_ambiguous + γ L_noise``.

    *Published*: clean, the mean of both networks' cross-entropies; ambiguous, (1-λ) of that and λ times the mean of
    KL(p₂‖p₁) and KL(p₁‖p₂); noise, the squared distance of each network's probabilities on a weak and a strong view, in
    MAN's code as here its mean over the K classes (a K-th of the sum) and both networks; ω = 0.6, γ = 1. *Open there*:
    what is averaged over the images, and which side of the last two is a constant.

    Args:
        weak: (2, B, K) logits of both networks. strong: (2, M, K) on the strong view of the M images that are noise, in
            their order; ``None`` leaves the last term out.
        labels: (B,) int64, or (B, K) floating that sum to 1. subset: (B,) of
            :class:`~pasm_aug.asm.subsets.Partition`.
        lam: λ in [0, 1], see :func:`ramp`.
        detach: each network learns from the other's probabilities as they are, and the strong view from the weak one;
            ``False``: both sides move towards each other (MAN's code).
        reduction: ``"subset"``: each term is the mean over its own images (MAN's code), so that few images weigh as
            much as many; ``"batch"``: a mean over all images, so that a batch that is cut, or shared out to processes,
            gives the same step. The first was better by 5.7 points of 700 validation images, on the one seed of drawn
            faces that has both (benchmarks/README.md): a hint, no finding.

    Raises:
        ValueError: shapes that do not fit, λ out of range, an unknown reduction.
    """
    if weak.ndim != 3 or len(weak) != 2 or subset.shape != weak.shape[1:2]:
        raise UserError(
            f"weak must be (2, B, K) and subset (B,), got {tuple(weak.shape)} and {tuple(subset.shape)}: logits of two "
            "networks"
        )
    if not 0 <= lam <= 1:
        raise UserError(f"lam must lie in [0, 1], got {lam}")
    if reduction not in REDUCTIONS:
        raise UserError(f"reduction must be one of {', '.join(REDUCTIONS)}, got {reduction!r}")
    entropy = (
        F.cross_entropy(weak[0], labels, reduction="none") + F.cross_entropy(weak[1], labels, reduction="none")
    ) / 2
    log_p = F.log_softmax(weak, -1)
    target = log_p.detach() if detach else log_p
    apart = [F.kl_div(log_p[i], target[1 - i], reduction="none", log_target=True).sum(-1) for i in (0, 1)]
    ambiguous = (1 - lam) * entropy + lam * (apart[0] + apart[1]) / 2
    each = [_mean(entropy, subset == CLEAN, reduction), omega * _mean(ambiguous, subset == AMBIGUOUS, reduction)]
    if strong is not None:
        noise = subset == NOISE
        seen = weak[:, noise].softmax(-1)
        if strong.shape != seen.shape:
            raise UserError(f"strong must be {tuple(seen.shape)}, the images that are noise, got {tuple(strong.shape)}")
        far = ((seen.detach() if detach else seen) - strong.softmax(-1)).square().mean((0, 2))
        each.append(gamma * far.sum() / (len(subset) if reduction == "batch" else max(1, len(far))))
    return torch.stack(each).sum()


def _mean(values: Tensor, which: Tensor, reduction: str) -> Tensor:
    """Of the values (B,) of a subset; no GPU is waited for."""
    total = torch.where(which, values, 0).sum()
    return total / (len(values) if reduction == "batch" else which.sum().clamp(min=1))
