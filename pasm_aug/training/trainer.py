"""Train one network: plain cross-entropy for the first teacher, Eq. 4 for the students.

accelerate supplies device, precision and processes; the order and the randomness of every epoch come from
:mod:`pasm_aug.training.loading`, one step from :mod:`pasm_aug.training.steps`, the state of an interrupted training from
:mod:`pasm_aug.training.checkpoint`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import Dataset

from pasm_aug.core.image_content import dataset_digest
from pasm_aug.core.processes import make_accelerator
from pasm_aug.models import Preprocess
from pasm_aug.training.balance import labels_of, sample_weights
from pasm_aug.training.evaluation import evaluate, logits_of
from pasm_aug.training.guards import DivergedError, OutOfMemoryError, memory_advice
from pasm_aug.training.loading import EpochSampler, make_loader
from pasm_aug.training.loop import EpochLoop, TrainingFiles
from pasm_aug.training.losses import distillation_loss
from pasm_aug.training.result import TrainResult
from pasm_aug.training.schedule import make_scheduler
from pasm_aug.training.steps import Loss, TrainingStep
from pasm_aug.transforms.paired_view import ErasedOnly, PairedView

__all__ = ["DivergedError", "OutOfMemoryError", "TrainResult", "train"]

SAMPLING = ("shuffle", "balanced")
PRECISIONS = ("no", "bf16", "fp16")
SET_BY_OTHERS = ("forward", "_compiled_call_impl", "_is_accelerate_prepared")  # on the network, by what prepares it


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
    schedule: str = "milestones",
    milestones: Sequence[float] = (0.6, 0.85),
    warmup: float = 0.0,
    weight_decay: float = 1e-4,
    batch_size: int = 32,
    accumulate: int = 1,
    sampling: str = "shuffle",
    ema: float | None = None,
    patience: int | None = None,
    preprocess: Callable[[Tensor], Tensor] | None = None,
    seed: int = 0,
    device: str | None = None,
    precision: str = "no",
    channels_last: bool = False,
    compile: bool = False,
    reuse_logits: bool | None = None,
    workers: int = 0,
    checkpoint: str | Path | None = None,
    checkpoint_seconds: float = 600.0,
    metrics: str | Path | None = None,
    tensorboard: str | Path | None = None,
    progress: bool = True,
    name: str = "training",
) -> TrainResult:
    """Train ``model`` on ``dataset``; with a ``teacher`` the loss is Eq. 4, without one its first term.

    The weights of the last epoch stand at the end, nothing is picked by looking at a split; unless ``patience`` is
    given, which picks the epoch of the best validation accuracy.

    Args:
        model: any classifier (B, C, H, W) → (B, classes); trained in place.
        dataset: items (image, label), the image a PIL image or uint8 (C, H, W): the deterministic head.
        val: scored after each epoch when given.
        augment: a :class:`PairedView`, whose first image the student sees and whose second the teacher, or a
            transform of the student's image alone (the teacher then sees the image of the data set).
        teacher: frozen, in eval mode; gives the clean logits.
        loss: ``loss(student_logits, teacher_logits or None, target)``; a mean over the images.
        optimizer: makes one from the parameters; default SGD with momentum 0.9 (the paper, section IV-B).
        scheduler: makes one from the optimiser, stepped once an epoch, in place of ``schedule``.
        schedule, milestones, warmup: see :func:`~pasm_aug.training.schedule.lr_factor`.
        batch_size: images a step, over all processes together.
        accumulate: parts that a batch is cut into to save memory; the step stays the same but for batch statistics
            (the loss must be a plain mean over the images).
        sampling: ``"shuffle"``: every image once an epoch; ``"balanced"``: as many draws with replacement, every class
            equally often.
        ema: decay in (0, 1) of an exponential moving average of the weights, updated at every step, which is then what
            is scored and returned.
        patience: stop after so many epochs without a better validation accuracy.
        preprocess: uint8 (B, C, H, W) → network input; default the model's own ``.preprocess``, else ImageNet's.
        precision: ``"no"`` (float32), ``"bf16"``, or ``"fp16"`` (on a GPU).
        channels_last: lay images and weights out for the GPU's tensor cores.
        compile: ``torch.compile`` the network while it trains.
        reuse_logits: ask the teacher once per image instead of once per step; ``None``: where no geometry follows the
            erasing, so that it would see the same image every time. The logits of the whole data set stay in memory.
        checkpoint: a file from which the same call goes on; written after each epoch, the one before is kept.
        checkpoint_seconds: written within an epoch too, when the last one is so old (of a single process).
        metrics: a CSV that is written anew after each epoch.
        tensorboard: a folder for event files.

    Raises:
        ValueError: bad options, an empty data set, labels the network has no output for, a damaged checkpoint.
        DivergedError: the loss is NaN or infinite; the model holds the weights of the last good epoch.
        OutOfMemoryError: a step does not fit into memory.
    """
    length = len(dataset)  # type: ignore[arg-type]
    _check(epochs, accumulate, sampling, ema, patience, val, precision)
    accelerator = make_accelerator(device, precision)
    if precision == "fp16" and accelerator.device.type == "cpu":
        raise ValueError("precision 'fp16' needs a GPU; 'bf16' works on a CPU too")
    for file in (checkpoint, metrics):
        if file:
            Path(file).parent.mkdir(parents=True, exist_ok=True)  # what cannot be, shows now, not after an epoch
    world = accelerator.num_processes
    if min(length, batch_size) < 2 * world:  # one image has no batch statistics
        raise ValueError(f"dataset and batch_size must hold at least {2 * world} images, got {length} and {batch_size}")
    transform = augment if augment is None or isinstance(augment, PairedView) else PairedView(augment)
    still = transform is None or transform.then is None
    if reuse_logits and not still:
        raise ValueError("reuse_logits must be False or None: the geometry shows the teacher another image each time")
    chances = sample_weights(labels_of(dataset)) if sampling == "balanced" else None
    sampler = EpochSampler(
        length, batch_size, seed=seed, weights=chances, least=2, rank=accelerator.process_index, world=world
    )
    preprocess = preprocess or getattr(model, "preprocess", None) or Preprocess()
    for_teacher = getattr(teacher, "preprocess", None) or preprocess  # it may normalise differently
    for module in (teacher, preprocess, for_teacher):
        if isinstance(module, nn.Module):
            module.to(accelerator.device)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    strides = [(weight, weight.stride()) for weight in model.parameters() if channels_last]
    model.to(device=accelerator.device, memory_format=layout if channels_last else None)  # type: ignore[call-overload]
    if optimizer is None:
        optimizer = functools.partial(torch.optim.SGD, lr=lr, momentum=0.9, weight_decay=weight_decay)
    optim, steps = optimizer(model.parameters()), len(sampler)
    rates: dict[str, Any] = {"schedule": schedule, "milestones": list(milestones), "warmup": warmup}
    rate = scheduler(optim) if scheduler else make_scheduler(optim, steps, epochs, **rates)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(ema), use_buffers=True) if ema else None
    own = {name: vars(model)[name] for name in SET_BY_OTHERS if name in vars(model)}
    try:
        if compile:
            model.compile()
        student, prepared = accelerator.prepare(model, optim)
        known = None
        if teacher is not None and still and reuse_logits is not False:
            with accelerator.autocast():
                known = logits_of(teacher, dataset, preprocess=for_teacher, device=device, workers=workers)
            transform = transform and ErasedOnly(transform)  # type: ignore[assignment]
        areas = hasattr(getattr(transform, "erase", None), "erased_area")
        identity = rates | {"seed": seed, "epochs": epochs, "lr": lr, "weight_decay": weight_decay, "ema": ema}
        identity |= {"batch_size": batch_size, "accumulate": accumulate, "sampling": sampling, "patience": patience}
        loop = EpochLoop(
            accelerator=accelerator,
            model=model,
            average=average,
            optimizer=optim,
            scheduler=rate,
            by_step=scheduler is None,
            sampler=sampler,
            loader=make_loader(dataset, sampler, transform, workers=workers, areas=areas),
            areas=areas,
            step=TrainingStep(
                accelerator, student, prepared, loss, preprocess, teacher=teacher, teacher_preprocess=for_teacher,
                accumulate=accumulate, memory_format=layout,
            ),
            known=known,
            score=None if val is None else functools.partial(
                evaluate, dataset=val, preprocess=preprocess, device=device, workers=workers
            ),
            files=TrainingFiles(checkpoint, checkpoint_seconds, metrics, tensorboard),
            identity=identity | {"precision": precision, "data": dataset_digest(dataset)},
            epochs=epochs, patience=patience, seed=seed, name=name, progress=progress,
        )  # fmt: skip
        with memory_advice(batch_size, accumulate):
            return loop.run()
    finally:  # whatever happened, the caller's network is its own again
        accelerator.unwrap_model(model, keep_fp32_wrapper=False)
        for name in SET_BY_OTHERS:
            vars(model).pop(name, None)
        vars(model).update(own)
        for weight, stride in strides:
            if weight.stride() != stride:
                weight.data = weight.data.new_empty_strided(weight.shape, stride).copy_(weight.data)
        model.eval()


def _check(
    epochs: int, accumulate: int, sampling: str, ema: float | None, patience: int | None, val: Any, precision: str
) -> None:
    if epochs < 1:
        raise ValueError(f"epochs must be at least 1, got {epochs}")
    if accumulate < 1:
        raise ValueError(f"accumulate must be at least 1, got {accumulate}")
    if sampling not in SAMPLING:
        raise ValueError(f"sampling must be one of {', '.join(SAMPLING)}, got {sampling!r}")
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
    if ema is not None and not 0 < ema < 1:
        raise ValueError(f"ema must be a decay in (0, 1) or None, got {ema}")
    if patience is not None and (patience < 1 or val is None):
        raise ValueError(f"patience must be at least 1 and needs a validation split, got {patience} and val={val!r}")
