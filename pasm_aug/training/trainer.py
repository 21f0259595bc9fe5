"""Train one network: plain cross-entropy for the first teacher, Eq. 4 for the students.

accelerate supplies device, precision and processes; the order and the randomness of every epoch come from
:mod:`pasm_aug.training.loading`, one step from :mod:`pasm_aug.training.steps`, the state of an interrupted
training from :mod:`pasm_aug.training.checkpoint`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.tracking import GeneralTracker
from torch import nn
from torch.utils.data import Dataset

from pasm_aug.core.errors import UserError
from pasm_aug.core.image_content import dataset_digest
from pasm_aug.core.items import check_map_style
from pasm_aug.core.networks import check_state
from pasm_aug.core.options import identity, plain, replaced, takes, without_addresses
from pasm_aug.core.processes import make_accelerator
from pasm_aug.data.origin import labels_of
from pasm_aug.models import preprocess_of
from pasm_aug.search.online import OnlineAdversarialErase
from pasm_aug.training.balance import sample_weights
from pasm_aug.training.borrowed import borrowed
from pasm_aug.training.distillation import Distillation, Loss
from pasm_aug.training.erased_gallery import ErasedGallery
from pasm_aug.training.evaluation import Evaluation, logits_of
from pasm_aug.training.guards import compile_advice, memory_advice
from pasm_aug.training.loading import EpochSampler, make_loader
from pasm_aug.training.loop import EpochLoop, TrainingFiles
from pasm_aug.training.losses import distillation_loss
from pasm_aug.training.method import Method, Plan
from pasm_aug.training.optimizing import averaged, make_optimizer
from pasm_aug.training.options import TrainingKeywords, TrainingOptions
from pasm_aug.training.result import TrainResult
from pasm_aug.training.steps import TrainingStep
from pasm_aug.training.student_input import StudentInput
from pasm_aug.training.teacher_logits import TeacherLogits
from pasm_aug.transforms.paired_view import ErasedOnly, PairedView

GALLERY = 8  # images that are kept as the step's adversary erased them


@takes(TrainingOptions)
def train(
    model: nn.Module,
    dataset: Dataset,
    *,
    val: Dataset | None = None,
    augment: PairedView | OnlineAdversarialErase | Callable[..., Any] | None = None,
    teacher: nn.Module | None = None,
    loss: Loss = distillation_loss,
    method: Method | None = None,
    seed: int = 0,
    workers: int = 0,
    checkpoint: str | Path | None = None,
    metrics: str | Path | None = None,
    tracker: GeneralTracker | None = None,
    progress: bool = True,
    name: str = "training",
    options: TrainingOptions | None = None,
    **keywords: Unpack[TrainingKeywords],
) -> TrainResult:
    """Train ``model`` on ``dataset``; with a ``teacher`` the loss is Eq. 4, without one its first term.

    The weights of the last epoch stand at the end, nothing is picked by looking at a split; unless ``patience`` is
    given, which picks the epoch of the best validation accuracy.

    Args:
        model (nn.Module): any classifier (B, C, H, W) → (B, classes); trained in place.
        dataset (Dataset): items (image, label), or dicts with these entries, the image a PIL image or uint8 (C, H, W):
            the deterministic head.
        val (Dataset, optional): scored after each epoch when given.
        augment (PairedView or callable, optional): a :class:`PairedView`, whose first image the student sees and whose
            second the teacher, or a transform of the student's image alone (the teacher then sees the image of the
            data set). An :class:`~pasm_aug.search.online.OnlineAdversarialErase`, alone or within a
            :class:`PairedView`, erases in the step, behind the geometry.
        teacher (nn.Module, optional): frozen, in eval mode; gives the clean logits.
        loss (callable): ``loss(student_logits, teacher_logits or None, target)``; a mean over the images.
        method (Method, optional): another way to train than by ``loss``, such as :class:`~pasm_aug.asm.method.ASM`; see
            :class:`~pasm_aug.training.method.Method` for one's own.
        seed (int): of the order and of everything random in an epoch.
        workers (int): processes that load images.
        checkpoint (path, optional): a file from which the same call goes on; written after each epoch, the one before
            is kept.
        metrics (path, optional): a CSV that is written anew after each epoch.
        tracker (GeneralTracker, optional): an experiment tracker of accelerate's, or one of your own on its base class;
            :func:`~pasm_aug.training.tracking.open_tracker` makes one by name. It is started and finished here, and
            gets every epoch.
        progress (bool): show a bar, called ``name``.
        options (TrainingOptions, optional): all other options at once; ``keywords`` win over them.
        keywords: those of :class:`~pasm_aug.training.options.TrainingOptions`, which explains them.

    Returns:
        TrainResult: the network, a row for each epoch, and the epoch whose weights it holds.

    Raises:
        TypeError: a keyword that is none; a tracker that is none of accelerate's; a data set without a length or items
            by index.
        ValueError: bad options, an empty data set, labels the network has no output for, a damaged checkpoint.
        DivergedError: the loss is NaN or infinite; the model holds the weights of the last good epoch.
        OutOfMemoryError: a step does not fit into memory.
    """
    check_map_style(dataset)
    if val is not None:
        check_map_style(val, "val")
    if not (method is None or hasattr(method, "setup")):
        raise TypeError(f"method must be a training method such as ASM(), got {method!r}")
    options = replaced(options or TrainingOptions(), "train", **keywords)
    if options.patience is not None and val is None:
        raise UserError(
            f"patience must be at least 1 and needs a validation split, got {options.patience} and val={val!r}"
        )
    accelerator = make_accelerator(options.device, options.precision, tracker)
    if options.precision == "fp16" and accelerator.device.type == "cpu":
        raise UserError("precision 'fp16' needs a GPU; 'bf16' works on a CPU too")
    if checkpoint:
        check_state(model)
    for file in (checkpoint, metrics):
        if file:
            Path(file).parent.mkdir(parents=True, exist_ok=True)  # what cannot be, shows now, not after an epoch
    sampler = _sampler(dataset, options, seed, accelerator)
    length = len(dataset)  # type: ignore[arg-type]
    transform: Callable[..., Any] | None
    view = augment if augment is None or isinstance(augment, PairedView) else PairedView(augment)
    still = view is None or view.then is None
    if options.reuse_logits and not still:
        raise UserError("reuse_logits must be False or None: the geometry shows the teacher another image each time")
    preprocess = preprocess_of(model, options.preprocess)
    adversary, gallery, transform = None, None, view
    if view is not None and isinstance(view.erase, OnlineAdversarialErase):
        adversary = view.erase.bound_to(model, preprocess, length, seed)
        gallery = ErasedGallery(np.unique(np.linspace(0, length - 1, GALLERY).astype(np.int64)))
        transform = None if still else view.clean_only
    for_teacher = getattr(teacher, "preprocess", None) or preprocess  # it may normalise differently
    for module in (teacher, preprocess, for_teacher):
        if isinstance(module, nn.Module):
            module.to(accelerator.device)
    # A caller may have turned gradients off for all that follows, as notebooks do.
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        borrowed(model, accelerator, channels_last=options.channels_last, compile=options.compile),
    ):
        optimizer, scheduler = make_optimizer(model, options, len(sampler))
        average = averaged(model, options.ema)
        student, prepared = accelerator.prepare(model, optimizer)
        logits = None
        if teacher is not None:
            logits = TeacherLogits(teacher, for_teacher)
            if still and options.reuse_logits is not False:
                with accelerator.autocast():
                    logits.cached = logits_of(
                        teacher, dataset, preprocess=for_teacher, device=options.device, workers=workers
                    )
        if isinstance(transform, PairedView) and (logits is None or logits.cached is not None):
            transform = ErasedOnly(transform)  # no teacher looks at the clean one
        plan = Plan(
            model=model,
            student=student,
            dataset=dataset,
            transform=transform,
            sampler=sampler,
            inputs=StudentInput(
                preprocess,
                memory_format=torch.channels_last if options.channels_last else torch.contiguous_format,
                adversary=adversary,
                gallery=gallery,
            ),
            teacher=logits,
            autocast=accelerator.autocast,
            device=accelerator.device,
            epochs=options.epochs,
            seed=seed,
            workers=workers,
        )
        method = method or Distillation(loss)
        about = _about(method)  # before what a training makes of it
        method.setup(plan)
        transform = plan.transform
        areas = hasattr(getattr(transform, "erase", None), "erased_area")
        loop = EpochLoop(
            accelerator=accelerator,
            model=model,
            average=average,
            optimizer=optimizer,
            scheduler=scheduler,
            by_step=options.scheduler is None,
            sampler=sampler,
            loader=make_loader(dataset, sampler, transform, workers=workers, areas=areas),
            areas=areas,
            step=TrainingStep(accelerator, prepared, plan, method, options.accumulate),
            gallery=gallery,
            score=None
            if val is None
            else Evaluation(val, preprocess=preprocess, device=options.device, workers=workers),
            files=TrainingFiles(checkpoint, options.checkpoint_seconds, metrics),
            identity=identity(options)
            | {"seed": seed, "data": dataset_digest(dataset)}
            | ({"adversary": plain(adversary.settings())} if adversary else {})
            | ({} if isinstance(method, Distillation) else {"method": about}),
            epochs=options.epochs,
            patience=options.patience,
            seed=seed,
            name=name,
            progress=progress,
        )
        with memory_advice(options.batch_size, options.accumulate), compile_advice():
            return loop.run()


def _about(method: Method) -> Any:
    """What a checkpoint compares: its ``repr`` without addresses; where it has none, its type and plain attributes."""
    kind = type(method)
    if kind.__repr__ is not object.__repr__:
        return without_addresses(repr(method))
    return {"type": f"{kind.__module__}.{kind.__qualname__}"} | plain(getattr(method, "__dict__", {}))


def _sampler(dataset: Any, options: TrainingOptions, seed: int, accelerator: Accelerator) -> EpochSampler:
    """The order of the epochs, shared out to the processes."""
    length, world = len(dataset), accelerator.num_processes
    if min(length, options.batch_size) < 2 * world:  # one image has no batch statistics
        raise UserError(
            f"dataset and batch_size must hold at least {2 * world} images, got {length} and {options.batch_size}"
        )
    chances = sample_weights(labels_of(dataset)) if options.sampling == "balanced" else None
    rank = accelerator.process_index
    return EpochSampler(length, options.batch_size, seed=seed, weights=chances, least=2, rank=rank, world=world)
