"""What a student is trained on: Eq. 4 of the paper."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from pasm_aug.core.errors import UserError


def distillation_loss(
    student_logits: Tensor,
    teacher_logits: Tensor | None,
    target: Tensor,
    *,
    alpha: float = 1.0,
    beta: float = 0.1,
    label_smoothing: float = 0.0,
    class_weights: Tensor | None = None,
) -> Tensor:
    """``alpha * CE(student, target) + beta * MSE(student, teacher)``: Eq. 4 of the paper.

    The student's logits are taken on the erased image, the teacher's on the clean one. The paper leaves the reduction
    of the MSE open; here it is the mean over batch × classes (``beta`` depends on that).

    Args:
        student_logits: (B, classes) floating.
        teacher_logits: (B, classes) floating, detached; ``None`` leaves the second term out.
        target: (B,) int64 labels.
        label_smoothing: share of the target that is spread over all classes (Szegedy et al. 2016), in [0, 1].
        class_weights: (classes,) floating, of the cross-entropy. Its sum is divided by B, not by the weights as torch
            does it, so a batch that is cut into parts, or shared out to processes, gives the same step.

    Raises:
        ValueError: student and teacher logits differ in shape; ``label_smoothing`` outside [0, 1].
    """
    if not 0 <= label_smoothing <= 1:
        raise UserError(f"label_smoothing must lie in [0, 1], got {label_smoothing}")
    if class_weights is None:
        loss = alpha * F.cross_entropy(student_logits, target, label_smoothing=label_smoothing)
    else:
        each = F.cross_entropy(
            student_logits, target, class_weights.to(student_logits), reduction="none", label_smoothing=label_smoothing
        )
        loss = alpha * each.mean()
    if teacher_logits is None or beta == 0:
        return loss
    if student_logits.shape != teacher_logits.shape:
        raise UserError(
            f"teacher_logits must have the student's shape {tuple(student_logits.shape)}, "
            f"got {tuple(teacher_logits.shape)}: a teacher with another number of classes?"
        )
    return loss + beta * F.mse_loss(student_logits, teacher_logits)
