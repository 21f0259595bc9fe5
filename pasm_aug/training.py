"""Train one network: plain cross-entropy for the first teacher, Eq. 4 for the students.

accelerate supplies device, precision and processes; the order and the randomness of every epoch come from
:mod:`pasm_aug.loading`, the state of an interrupted training from :mod:`pasm_aug.checkpoint`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import broadcast
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, MultiStepLR
from torch.utils.data import Dataset
from tqdm import tqdm

from pasm_aug.checkpoint import load_checkpoint, save_checkpoint
from pasm_aug.evaluation import check_targets, eval_mode, evaluate
from pasm_aug.functional import distillation_loss
from pasm_aug.loading import EpochSampler, make_loader
from pasm_aug.models import Preprocess
from pasm_aug.processes import make_accelerator
from pasm_aug.rng import derive_seed
from pasm_aug.samples import dataset_digest
from pasm_aug.transforms import PairedView

Loss = Callable[[Tensor, Tensor | None, Tensor], Tensor]


@dataclass
class TrainResult:
    """The trained network and one row of figures for each epoch."""

    model: nn.Module
    history: list[dict[str, float]] = field(default_factory=list)


class DivergedError(RuntimeError):
    """The loss became NaN or infinite."""


def train(
    model: nn.Module,
    dataset: Dataset,
    *,
    val: Dataset | None = None,
    augment: PairedView | Callable[..., Any] | None = None,
    teacher: nn.Module | None = None,
    loss: Loss = distillation_loss,
    optimizer: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer] | None = None,
    scheduler: Callable[[torch.optim.Optimizer], LRScheduler] | None = None,
    epochs: int = 10,
    lr: float = 0.01,
    milestones: Sequence[float] = (0.6, 0.85),
    weight_decay: float = 1e-4,
    batch_size: int = 32,
    preprocess: Callable[[Tensor], Tensor] | None = None,
    seed: int = 0,
    device: str | None = None,
    precision: str = "no",
    workers: int = 0,
    checkpoint: str | Path | None = None,
    progress: bool = True,
    name: str = "training",
) -> TrainResult:
    """Train ``model`` on ``dataset``; with a ``teacher`` the loss is Eq. 4, without one its first term.

    The weights of the last epoch stand at the end: nothing is picked by looking at a split.

    Args:
        model: any classifier (B, C, H, W) → (B, classes); trained in place.
        dataset: items (image, label), the image a PIL image or uint8 (C, H, W): the deterministic head.
        val: scored after each epoch when given.
        augment: a :class:`PairedView`, whose first image the student sees and whose second the teacher, or a
            transform of the student's image alone (the teacher then sees the picture of the data set).
        teacher: frozen, in eval mode; gives the clean logits.
        loss: ``loss(student_logits, teacher_logits or None, target)``.
        optimizer: makes one from the parameters; default SGD with momentum 0.9 (the paper, section IV-B).
        scheduler: makes one from the optimiser, stepped once an epoch; default ×0.1 at the ``milestones``.
        milestones: as shares of ``epochs``.
        batch_size: images a step, over all processes together.
        preprocess: uint8 (B, C, H, W) → network input; default the model's own ``.preprocess``, else ImageNet's.
        precision: ``"no"`` (float32) or ``"bf16"``.
        checkpoint: a file that is written after each epoch and from which the same call goes on.

    Raises:
        ValueError: bad options, an empty data set, labels the network has no output for.
        DivergedError: the loss is NaN or infinite.
    """
    if epochs < 1:
        raise ValueError(f"epochs must be at least 1, got {epochs}")
    length = len(dataset)  # type: ignore[arg-type]
    accelerator = make_accelerator(device, precision)
    least = 2 * accelerator.num_processes  # one image has no batch statistics
    if min(length, batch_size) < least:
        raise ValueError(f"dataset and batch_size must hold at least {least} images, got {length} and {batch_size}")
    preprocess = preprocess or getattr(model, "preprocess", None) or Preprocess()
    if isinstance(preprocess, nn.Module):
        preprocess = preprocess.to(accelerator.device)
    if optimizer is None:
        optim: torch.optim.Optimizer = torch.optim.SGD(
            model.parameters(), lr=lr, momentum=0.9, weight_decay=weight_decay
        )
    else:
        optim = optimizer(model.parameters())
    sched = (
        scheduler(optim) if scheduler else MultiStepLR(optim, sorted({max(1, round(m * epochs)) for m in milestones}))
    )
    history: list[dict[str, float]] = []
    identity = {"seed": seed, "epochs": epochs, "lr": lr, "milestones": list(milestones), "batch_size": batch_size}
    identity |= {"weight_decay": weight_decay, "precision": precision, "data": dataset_digest(dataset)}
    if checkpoint is not None and Path(checkpoint).exists():
        history = load_checkpoint(checkpoint, model, optim, sched, identity)
    own_forward = "forward" in vars(model)
    student, optim = accelerator.prepare(model, optim)
    if teacher is not None:
        teacher = teacher.to(accelerator.device)
        for_teacher = getattr(teacher, "preprocess", None) or preprocess  # it may normalise differently
    sampler = EpochSampler(
        length, batch_size, seed=seed, least=2, rank=accelerator.process_index, world=accelerator.num_processes
    )
    transform = augment if augment is None or isinstance(augment, PairedView) else PairedView(augment)
    loader = make_loader(dataset, sampler, transform, workers=workers)
    erased_area = getattr(getattr(transform, "erase", None), "erased_area", None)

    gpus = [accelerator.device] if accelerator.device.type == "cuda" else []
    for epoch in range(len(history), epochs):
        sampler.epoch, started = epoch, time.perf_counter()
        before = erased_area() if erased_area else (0, 0)
        student.train()
        total = torch.zeros(3, dtype=torch.float64, device=accelerator.device)
        bar = tqdm(
            loader,
            desc=f"{name} · epoch {epoch + 1}/{epochs}",
            unit=" batches",
            disable=not (progress and accelerator.is_main_process),
            leave=False,
        )
        with torch.random.fork_rng(devices=gpus):  # dropout and its like draw from (seed, epoch, process) alone
            torch.manual_seed(derive_seed(seed, epoch, accelerator.process_index, 1))
            for batch in bar:
                images, *clean, target = (part.to(accelerator.device, non_blocking=True) for part in batch)
                with accelerator.autocast():
                    logits = student(preprocess(images))
                    check_targets(target, logits)
                    clean_logits = (
                        _clean_logits(teacher, for_teacher(clean[0] if clean else images)) if teacher else None
                    )
                value = loss(logits.float(), clean_logits, target)
                if not torch.isfinite(value):
                    raise DivergedError(
                        f"{name}: the loss became {value.item()} in epoch {epoch + 1}; lower the learning rate"
                    )
                optim.zero_grad()
                accelerator.backward(value)
                optim.step()
                hits = (logits.detach().argmax(1) == target).sum()
                total += torch.stack(
                    [value.detach() * len(target), hits, torch.tensor(len(target), device=hits.device)]
                )
        for buffer in model.buffers():  # each process kept running statistics of its own share
            buffer.copy_(broadcast(buffer.detach().clone()))
        row: dict[str, float] = {"epoch": epoch + 1, "lr": float(sched.get_last_lr()[0])}
        total = accelerator.reduce(total)
        row |= {"loss": (total[0] / total[2]).item(), "running_accuracy": (total[1] / total[2]).item()}
        if erased_area:
            erased, seen = (now - then for now, then in zip(erased_area(), before, strict=True))
            row["erased_share"] = round(erased / max(seen, 1), 6)
        sched.step()
        if val is not None:
            scores = evaluate(
                accelerator.unwrap_model(student), val, preprocess=preprocess, device=device, workers=workers
            )
            row |= {"val_accuracy": scores.accuracy, "val_loss": scores.loss}
        history.append(row | {"seconds": round(time.perf_counter() - started, 2)})
        if checkpoint is not None and accelerator.is_main_process:
            save_checkpoint(checkpoint, accelerator.unwrap_model(student), optim, sched, history, identity)
    accelerator.unwrap_model(student, keep_fp32_wrapper=False)
    if not own_forward:
        vars(model).pop("forward", None)  # what mixed precision wrapped: the caller's network is its own again
    return TrainResult(model.eval(), history)


@torch.no_grad()
def _clean_logits(teacher: nn.Module, images: Tensor) -> Tensor:
    with eval_mode(teacher):
        return teacher(images).float()
