"""From logits to scores, and what may not pass: the objective with its checks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from pasm_aug.core.errors import UserError
from pasm_aug.core.networks import take_logits
from pasm_aug.search.objectives import Objective, check_objective, log_odds


@dataclass(frozen=True)
class Clean:
    """What the teacher says of unchanged images.

    Attributes:
        logits: (B, classes) float64. prediction: (B,) int64, its largest. target: (B,) int64, the attacked class.
        scores: (B,) float64, the objective. probabilities: (B,) float64 of the target.
    """

    logits: NDArray[np.float64]
    prediction: NDArray[np.int64]
    target: NDArray[np.int64]
    scores: NDArray[np.float64]
    probabilities: NDArray[np.float64]


class Judge:
    """Scores logits by an objective; arguments as of :class:`~pasm_aug.search.teacher.TeacherObjective`."""

    def __init__(self, objective: Objective, attack: str) -> None:
        self.objective = check_objective(objective)
        self.attacks_prediction = attack == "predicted" or objective == "predicted_prob"

    @staticmethod
    def truth(labels: ArrayLike, count: int) -> Tensor:
        """Labels (B,) as int64."""
        truth = torch.as_tensor(np.asarray(labels, dtype=np.int64))
        if truth.shape != (count,):
            raise UserError(f"labels must have shape (B,) = ({count},), got {tuple(truth.shape)}")
        return truth

    def columns(self, logits: Tensor, truth: Tensor, part: slice) -> tuple[Tensor, ...]:
        """The columns of :class:`Clean` for images ``part``."""
        self._check_labels(truth[part], logits.shape[1], part.start)
        prediction = logits.argmax(dim=1)
        target = prediction if self.attacks_prediction else truth[part]
        scores = self.scores(logits, target, range(part.start, part.stop))
        return logits, prediction, target, scores, log_odds(logits, target).sigmoid()

    @staticmethod
    def checked(outputs: object, count: int, index: ArrayLike | None = None) -> Tensor:
        """Logits of what the network returned, in float64 on the CPU.

        ``index`` names the images for messages, in order without it.
        """
        logits = take_logits(outputs)
        if len(logits) != count or logits.shape[1] < 2:
            raise UserError(
                f"teacher must return logits (B, classes) with B = {count}, classes >= 2, got {tuple(logits.shape)}"
            )
        logits = logits.to("cpu", torch.float64)
        if not torch.isfinite(logits).all():
            bad = int((~torch.isfinite(logits)).any(dim=1).nonzero()[0])
            image = bad if index is None else np.asarray(index)[bad]
            raise UserError(f"teacher must return finite logits, got {logits[bad].tolist()} for image {image}")
        return logits

    def scores(self, logits: Tensor, target: Tensor, index: ArrayLike) -> Tensor:
        """The objective (B,) in float64 on the CPU."""
        scores = self.objective(logits, target)
        if not isinstance(scores, Tensor) or scores.shape != target.shape:
            got = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
            raise UserError(f"objective must return one number per image, shape {tuple(target.shape)}, got {got}")
        scores = scores.to("cpu", torch.float64)
        if torch.isnan(scores).any():
            bad = int(torch.isnan(scores).nonzero()[0])
            raise UserError(f"objective must not return NaN, got NaN for image {np.asarray(index)[bad]}")
        return scores

    @staticmethod
    def _check_labels(labels: Tensor, classes: int, start: int) -> None:
        wrong = ((labels < 0) | (labels >= classes)).nonzero()
        if len(wrong):
            first = int(wrong[0])
            raise UserError(
                f"labels must lie in 0..{classes - 1}, for the teacher has {classes} outputs; "
                f"got {int(labels[first])} for image {start + first}"
            )
