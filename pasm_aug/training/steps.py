"""One step of the optimiser: forward, loss, backward, in as many parts as memory asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from pasm_aug.core.eval_mode import eval_mode
from pasm_aug.core.networks import take_logits
from pasm_aug.search.online import OnlineAdversarialErase
from pasm_aug.training.erased_gallery import ErasedGallery
from pasm_aug.training.evaluation import check_targets

Loss = Callable[[Tensor, Tensor | None, Tensor], Tensor]


class TrainingStep:
    """Call it with a batch; it steps the optimiser and returns what :meth:`__call__` says.

    Args:
        student: as ``accelerator.prepare`` returned it.
        optimizer: the same.
        loss: ``loss(student_logits, teacher_logits or None, target)``.
        preprocess, teacher_preprocess: uint8 (B, C, H, W) → input of the student and of the teacher.
        teacher: frozen; its logits on the clean images enter the loss.
        accumulate: parts that a batch is cut into; each has two images at least, for the sake of batch statistics.
        memory_format: of the student's input.
        adversary: erases the student's images, which the teacher sees whole. gallery: keeps some of them.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        student: nn.Module,
        optimizer: torch.optim.Optimizer,
        loss: Loss,
        preprocess: Callable[[Tensor], Tensor],
        *,
        teacher: nn.Module | None = None,
        teacher_preprocess: Callable[[Tensor], Tensor] | None = None,
        accumulate: int = 1,
        memory_format: torch.memory_format = torch.contiguous_format,
        adversary: OnlineAdversarialErase | None = None,
        gallery: ErasedGallery | None = None,
    ) -> None:
        self.accelerator, self.student, self.optimizer, self.loss = accelerator, student, optimizer, loss
        self.preprocess, self.teacher, self.teacher_preprocess = preprocess, teacher, teacher_preprocess
        self.accumulate, self.memory_format = accumulate, memory_format
        self.adversary, self.gallery = adversary, gallery

    def begin(self, epoch: int) -> None:
        """Of an epoch, numbered from 0."""
        self.student.train()
        if self.adversary is not None:
            self.adversary.set_epoch(epoch)

    def end(self) -> None:
        """Of an epoch: share what the adversary found with the other processes."""
        if self.adversary is not None:
            self.adversary.synchronise()

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs of the adversary and the gallery, by name."""
        parts = {"adversary": self.adversary, "gallery": self.gallery}
        return {f"{name}.{k}": v for name, part in parts.items() if part for k, v in part.state_dict().items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """What :meth:`state_dict` gave, among other things."""
        for name, part in {"adversary": self.adversary, "gallery": self.gallery}.items():
            if part:
                own = {k: v for k, v in state.items() if k.startswith(f"{name}.")}
                part.load_state_dict({k.removeprefix(f"{name}."): v for k, v in own.items()})

    def __call__(
        self,
        images: Tensor,
        clean: Tensor | None,
        target: Tensor,
        size: int,
        clean_logits: Tensor | None = None,
        index: Tensor | None = None,
    ) -> Tensor:
        """Train on one batch.

        Args:
            images: (B, C, H, W) uint8, this process's share of the batch.
            clean: the same images for the teacher; ``None``: ``images``.
            target: (B,) int64, on the CPU.
            size: images of the batch over all processes.
            clean_logits: (B, classes), where the teacher has predicted before.
            index: (B,) int64 of the samples, on the CPU; for the adversary alone.

        Returns:
            Tensor: (5,) float64: summed loss, right predictions, images; pixels that the adversary erased, and saw.
        """
        device = self.accelerator.device
        parts = min(self.accumulate, max(1, len(target) // 2))
        total = torch.zeros(5, dtype=torch.float64, device=device)
        self.optimizer.zero_grad()
        cut = [
            [None] * parts if column is None else column.tensor_split(parts)
            for column in (images, clean, target, clean_logits, index)
        ]
        for number, (image, whole, label, known, rows) in enumerate(zip(*cut, strict=True), 1):
            assert image is not None
            assert label is not None
            count = len(label)
            image, labels = (part.to(device, non_blocking=True) for part in (image, label))
            with nullcontext() if number == parts else self.accelerator.no_sync(self.student):
                with self.accelerator.autocast():
                    shown = image if self.adversary is None else self.adversary(image, labels, index=rows)
                    inputs = self.preprocess(shown).contiguous(memory_format=self.memory_format)
                    if self.adversary is not None:
                        self.adversary.watch(inputs)
                        total[3:] += self.adversary.area
                        if self.gallery is not None and rows is not None:
                            self.gallery.add(rows, shown)
                    logits = take_logits(self.student(inputs))
                    check_targets(label, logits)
                    if self.teacher is not None and known is None:
                        known = self._teacher_logits(image if whole is None else whole.to(device, non_blocking=True))
                value = self.loss(logits.float(), None if known is None else known.to(device), labels)
                # The mean over the whole batch, however it is cut and shared (processes average their gradients).
                share = count * self.accelerator.num_processes / size
                self.accelerator.backward(value if share == 1 else value * share)
            hits = (logits.detach().argmax(1) == labels).sum()
            total[:3] += torch.stack([value.detach() * count, hits, torch.tensor(count, device=device)])
        self.optimizer.step()
        return total

    @torch.no_grad()
    def _teacher_logits(self, images: Tensor) -> Tensor:
        assert self.teacher is not None
        assert self.teacher_preprocess is not None
        with eval_mode(self.teacher):
            return take_logits(self.teacher(self.teacher_preprocess(images))).float()
