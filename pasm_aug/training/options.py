"""The options of a training and of its loss, each named once: for callers, command line, records and comparison."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

from pasm_aug.core.errors import UserError
from pasm_aug.core.options import option
from pasm_aug.core.parsers import at_least, decay
from pasm_aug.training.schedule import SCHEDULES, check_schedule

if TYPE_CHECKING:  # --help reads the options without loading torch
    from torch import Tensor, nn
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

    from pasm_aug.core.processes import Device

SAMPLING = ("shuffle", "balanced")
PRECISIONS = ("no", "bf16", "fp16")


@dataclass(frozen=True)
class TrainingOptions:
    """What decides or tunes a training; keywords of :func:`~pasm_aug.training.trainer.train`.

    Args:
        epochs (int): passes over the data.
        lr (float): learning rate at its highest.
        schedule (str), milestones (sequence of float), warmup (float): see
            :func:`~pasm_aug.training.schedule.lr_factor`.
        batch_size (int): images a step, over all processes together.
        accumulate (int): parts that a batch is cut into to save memory; the step stays the same but for batch
            statistics (the loss must be a plain mean over the images).
        weight_decay (float): of the default optimiser.
        sampling (str): ``"shuffle"``: every image once an epoch; ``"balanced"``: as many draws with replacement, every
            class equally often.
        ema (float, optional): decay in (0, 1) of an exponential moving average of the weights, updated at every step,
            which is then what is scored and returned.
        patience (int, optional): stop after so many epochs without a better validation accuracy, and return the best.
        optimizer (callable, optional): makes one from the parameters; default SGD with momentum 0.9 (the paper,
            section IV-B).
        scheduler (callable, optional): makes one from the optimiser, stepped once an epoch, in place of ``schedule``.
        preprocess (callable, optional): uint8 (B, C, H, W) → network input; default the model's own ``.preprocess``.
        reuse_logits (bool, optional): query the teacher once per image instead of once per step; ``None``: where no
            geometry follows the erasing, so that it would see the same image every time. The logits of the whole data
            set stay in memory.
        precision (str): ``"no"`` (float32), ``"bf16"``, or ``"fp16"`` (on a GPU).
        channels_last (bool): lay images and weights out for the GPU's tensor cores.
        compile (bool): ``torch.compile`` the network while it trains.
        device (str or torch.device, optional): ``"cpu"`` or ``"cuda"``; default a GPU if there is one.
        checkpoint_seconds (float): the checkpoint is written within an epoch too, when the last one is so old (of a
            single process).

    Raises:
        ValueError: an option out of its range.
    """

    epochs: int = option(10, "epochs; in `run`, of each student", group="training", parse=at_least(1, int), metavar="E")
    lr: float = option(0.01, "learning rate at its highest", group="training", parse=at_least(0, float), metavar="LR")
    schedule: str = option(
        "milestones",
        "how it falls. milestones: ×0.1 at 60 %% and 85 %% of the epochs (the paper's way); cosine: smoothly to 0, "
        "with nothing to tune; constant: not at all",
        group="training",
        choices=SCHEDULES,
    )
    milestones: Sequence[float] = option((0.6, 0.85))
    warmup: float = option(
        0.0,
        "epochs (0.5 is half of one) over which the learning rate rises from 0; use it when the loss jumps or turns to "
        "NaN at the start, or with large batches",
        group="training",
        parse=at_least(0, float),
        metavar="E",
    )
    batch_size: int = option(32, "images a step", group="training", parse=at_least(2, int), metavar="B")
    accumulate: int = option(
        1,
        "cut each batch into N parts, one after the other: the same step in about 1/N of the memory",
        group="training",
        parse=at_least(1, int),
        metavar="N",
    )
    weight_decay: float = option(
        1e-4,
        "pull of the weights towards 0; more (5e-4) where training accuracy runs far ahead of validation",
        group="training",
        parse=at_least(0, float),
        metavar="W",
    )
    sampling: str = option(
        "shuffle",
        "shuffle: every image once an epoch; balanced: drawn so that each class comes equally often; use this or "
        "--class-weights, not both",
        group="care",
        choices=SAMPLING,
    )
    ema: float | None = option(
        None,
        "score and keep a running average of the weights, with this decay a step (0.99 … 0.9999: over about 1/(1 - D) "
        "steps); smoother, for long trainings (default: off)",
        group="care",
        parse=decay,
        metavar="D",
    )
    patience: int | None = option(
        None,
        "stop a training after E epochs without a better validation accuracy and keep its best epoch (default: off: "
        "train all epochs and keep the last)",
        group="care",
        flag="early-stop",
        keyword="early_stop",
        parse=at_least(1, int),
        metavar="E",
    )
    optimizer: Callable[[Iterable[nn.Parameter]], Optimizer] | None = option(None)
    scheduler: Callable[[Optimizer], LRScheduler] | None = option(None)
    preprocess: Callable[[Tensor], Tensor] | None = option(None)
    reuse_logits: bool | None = option(None)
    precision: str = option(
        "no",
        "numbers in training. no: 32 bits; bf16: half the memory, and faster on recent GPUs and on processors that "
        "compute in it (avx512_bf16 or amx_bf16 in lscpu: 1.6 to 1.9 times, ResNets); fp16: the same on older GPUs",
        group="machine",
        choices=PRECISIONS,
    )
    channels_last: bool = option(
        False,
        "another layout of images in memory: often faster on GPUs with bf16, and on a CPU for MobileNets and "
        "EfficientNets (1.5 to 1.7 times, without bf16)",
        group="machine",
    )
    compile: bool = option(
        False, "torch.compile the network: a minute at the start, then faster; for long runs", group="machine"
    )
    device: Device | None = option(None, flag="device", identity=None)
    checkpoint_seconds: float = option(
        600.0,
        "save the state within an epoch too, so often: what a lost machine can cost; 0: after every step",
        group="machine",
        flag="checkpoint-minutes",
        parse=at_least(0, float),
        metavar="M",
        unit=60.0,
        identity=None,
    )

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "accumulate"):
            if not isinstance(number := getattr(self, name), numbers.Integral):
                raise TypeError(f"{name} must be a whole number, got {number!r}")
            if number < 1:
                raise UserError(f"{name} must be at least 1, got {number}")
        for name, known in (("sampling", SAMPLING), ("precision", PRECISIONS)):
            if getattr(self, name) not in known:
                raise UserError(f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}")
        if self.ema is not None and not 0 < self.ema < 1:
            raise UserError(f"ema must be a decay in (0, 1) or None, got {self.ema}")
        if self.patience is not None and self.patience < 1:
            raise UserError(f"patience must be at least 1 epoch or None (in rounds: early_stop), got {self.patience}")
        if self.scheduler is None:
            check_schedule(self.schedule, self.warmup, self.epochs)


@dataclass(frozen=True)
class LossOptions:
    """The weights of :func:`~pasm_aug.training.losses.distillation_loss`, Eq. 4 of the paper.

    Args:
        alpha (float), beta (float): of the cross-entropy, and of the distance to the teacher's logits.
        label_smoothing (float): of the cross-entropy, in [0, 1]; of a first teacher's too.
        class_weights (str, optional): ``"balanced"`` weighs the cross-entropy by how rare a class is.

    Raises:
        ValueError: an option out of its range.
    """

    alpha: float = option(
        1.0, "weight of the cross-entropy in Eq. 4", group="training", parse=at_least(0, float), metavar="A"
    )
    beta: float = option(
        0.1,
        "weight of the distance to the teacher's logits in Eq. 4 (the paper: 0.5, 0.1, 0.01)",
        group="training",
        parse=at_least(0, float),
        metavar="B",
    )
    label_smoothing: float = option(
        0.0,
        "share of each label that is spread over all classes; 0.1 helps where labels are noisy or the network is too "
        "sure of itself",
        group="care",
        parse=at_least(0, float, below=1),
        metavar="S",
    )
    class_weights: str | None = option(
        None,
        "balanced: an error on a rare class costs more, in inverse proportion to its images",
        group="care",
        choices=("none", "balanced"),
        absent="none",
    )

    def __post_init__(self) -> None:
        if not 0 <= self.label_smoothing <= 1:
            raise UserError(f"label_smoothing must be a share in [0, 1], got {self.label_smoothing}")
        if self.class_weights not in (None, "balanced"):
            raise UserError(f"class_weights must be None or 'balanced', got {self.class_weights!r}")


class CommonKeywords(TypedDict, total=False):
    """Names and types of the options that ``train`` and ``run_rounds`` share, for editors and type checkers."""

    epochs: int
    lr: float
    schedule: str
    milestones: Sequence[float]
    warmup: float
    batch_size: int
    accumulate: int
    weight_decay: float
    sampling: str
    ema: float | None
    optimizer: Callable[[Iterable[nn.Parameter]], Optimizer] | None
    scheduler: Callable[[Optimizer], LRScheduler] | None
    preprocess: Callable[[Tensor], Tensor] | None
    reuse_logits: bool | None
    precision: str
    channels_last: bool
    compile: bool
    device: Device | None
    checkpoint_seconds: float


class TrainingKeywords(CommonKeywords, total=False):
    """:class:`TrainingOptions` as keywords."""

    patience: int | None
