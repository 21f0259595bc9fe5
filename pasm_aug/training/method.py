"""What a training minimises, as an object: five calls, and all else (epochs, checkpoints, processes) is the trainer's.

PASM's own is :class:`~pasm_aug.training.distillation.Distillation`; :class:`~pasm_aug.asm.method.ASM` is another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from pasm_aug.training.evaluation import check_targets
from pasm_aug.training.loading import EpochSampler
from pasm_aug.training.student_input import StudentInput
from pasm_aug.training.teacher_logits import TeacherLogits


@dataclass(frozen=True)
class Batch:
    """A batch, or this process's part of it.

    Attributes:
        images: each (B, C, H, W) uint8, on the device: what the plan's transform makes of a sample, in its order; with
            a :class:`~pasm_aug.transforms.paired_view.PairedView` the erased and the clean one.
        labels: (B,) int64, on the device. target: the same on the CPU. index: (B,) int64 of the samples, on the CPU.
    """

    images: Sequence[Tensor]
    labels: Tensor
    target: Tensor
    index: Tensor

    def check(self, logits: Tensor) -> None:
        """Raise a ValueError for labels that ``logits`` (…, classes) have no output for; no GPU is waited for."""
        check_targets(self.target, logits.flatten(0, -2))


@dataclass(frozen=True)
class Outcome:
    """What a method makes of a batch.

    Attributes:
        loss: scalar, a mean over the batch's images.
        logits: (B, classes) of the student, for the running accuracy.
    """

    loss: Tensor
    logits: Tensor


@dataclass
class Plan:
    """A training that is about to begin; a method's ``setup`` may change ``transform``, and set ``sampler.notes``.

    Attributes:
        model: the network that is trained. student: the same as accelerate wraps it; this one is to be called.
        dataset: items (image, label).
        transform: of the loader: ``transform(image, label) → (image, …, label)``; ``None``: the image as it is. With
            ``sampler.notes`` it is called as ``transform(image, label, note)``.
        sampler: the order of the epochs.
        inputs: turns images into the student's input, and erases them where that is done in the step.
        teacher: gives the logits on the clean images; ``None`` without a teacher.
        autocast: makes the context in which networks are called.
    """

    model: nn.Module
    student: nn.Module
    dataset: Dataset
    transform: Callable[..., Any] | None
    sampler: EpochSampler
    inputs: StudentInput
    teacher: TeacherLogits | None
    autocast: Callable[[], AbstractContextManager[Any]]
    device: torch.device
    epochs: int
    seed: int
    workers: int


class Method(Protocol):
    """What :func:`~pasm_aug.training.trainer.train` takes as ``method``; its ``repr`` says what it depends on."""

    def setup(self, plan: Plan) -> None:
        """Before the first epoch, and before :meth:`load_state_dict` where a training goes on."""

    def epoch_start(self, epoch: int) -> Mapping[str, float] | None:
        """Before an epoch, numbered from 0, in every process; returns more columns for the epoch's row.

        A training that goes on within an epoch calls it again.
        """

    def loss(self, batch: Batch) -> Outcome:
        """Of one batch; the student is in training mode."""

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs, by name: tensors; called in every process."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """What :meth:`state_dict` gave."""
