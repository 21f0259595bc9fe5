"""What the search minimises, as functions of logits: Eq. 2 of the paper, read as Su et al. 2019 do.

A probability is held as its *log-odds*, z_y − log Σ_{j≠y} exp z_j, in float64: they rank exactly as the probability and
its logarithm do, but stay distinct where p rounds to 1 and its logarithm to 0, that is on most images that a good
teacher was trained on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from pasm_aug.core.errors import UserError

ObjectiveName = Literal["true_prob", "predicted_prob", "margin", "patch"]
Objective = ObjectiveName | Callable[[Tensor, Tensor], Tensor]


def log_odds(logits: Tensor, labels: Tensor) -> Tensor:
    """Log-odds (B,) of the soft-max probability of ``labels`` (B,) under ``logits`` (B, classes)."""
    own, others = _split(logits, labels)
    return own - others.logsumexp(dim=1)


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """The label's logit less the best other one, (B,)."""
    own, others = _split(logits, labels)
    return own - others.amax(dim=1)


def _split(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    column = labels[:, None]
    return logits.gather(1, column)[:, 0], logits.scatter(1, column, -torch.inf)


OBJECTIVES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "true_prob": log_odds,
    "predicted_prob": log_odds,
    "margin": margin,
    "patch": log_odds,
}


def check_objective(objective: Objective) -> Callable[[Tensor, Tensor], Tensor]:
    """The function of a named objective; a callable passes.

    Raises:
        ValueError: an unknown name. TypeError: neither a name nor a callable.
    """
    if isinstance(objective, str):
        if objective not in OBJECTIVES:
            raise UserError(f"objective must be one of {sorted(OBJECTIVES)} or a callable, got {objective!r}")
        return OBJECTIVES[objective]
    if not callable(objective):
        raise TypeError(f"objective must be a name or a callable, got {type(objective).__name__}")
    return objective
