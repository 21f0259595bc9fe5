"""The options of every training, for ``pasm-aug run`` and ``pasm-aug train``, and how the trainer calls them."""

from __future__ import annotations

import argparse
from typing import Any

from pasm_aug.cli.options.groups import Switch, add_machine, at_least, decay


def add_training(parser: argparse.ArgumentParser, *, epochs: int, lr: float) -> None:
    group = parser.add_argument_group("training (section IV-B; Eq. 4)")
    group.add_argument(
        "--epochs", metavar="E", type=at_least(1, int), default=epochs, help="epochs; in `run`, of each student"
    )
    group.add_argument("--lr", metavar="LR", type=at_least(0, float), default=lr, help="learning rate at its highest")
    group.add_argument(
        "--schedule",
        choices=("milestones", "cosine", "constant"),
        default="milestones",
        help="how it falls. milestones: ×0.1 at 60 %% and 85 %% of the epochs (the paper's way); cosine: smoothly to "
        "0, with nothing to tune; constant: not at all",
    )
    group.add_argument(
        "--warmup",
        metavar="E",
        type=at_least(0, float),
        default=0.0,
        help="epochs (0.5 is half of one) over which the learning rate rises from 0; use it when the loss jumps or "
        "turns to NaN at the start, or with large batches",
    )
    group.add_argument("--batch-size", metavar="B", type=at_least(2, int), default=32, help="images a step")
    group.add_argument(
        "--accumulate",
        metavar="N",
        type=at_least(1, int),
        default=1,
        help="cut each batch into N parts, one after the other: the same step in about 1/N of the memory",
    )
    group.add_argument(
        "--weight-decay",
        metavar="W",
        type=at_least(0, float),
        default=1e-4,
        help="pull of the weights towards 0; more (5e-4) where training accuracy runs far ahead of validation",
    )
    group.add_argument(
        "--alpha", metavar="A", type=at_least(0, float), default=1.0, help="weight of the cross-entropy in Eq. 4"
    )
    group.add_argument(
        "--beta",
        metavar="B",
        type=at_least(0, float),
        default=0.1,
        help="weight of the distance to the teacher's logits in Eq. 4 (the paper: 0.5, 0.1, 0.01)",
    )


def add_care(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("noisy labels, rare classes, overfitting (all off by default)")
    group.add_argument(
        "--label-smoothing",
        metavar="S",
        type=at_least(0, float, below=1),
        default=0.0,
        help="share of each label that is spread over all classes; 0.1 helps where labels are noisy or the network is "
        "too sure of itself",
    )
    group.add_argument(
        "--class-weights",
        choices=("none", "balanced"),
        default="none",
        help="balanced: an error on a rare class costs more, in inverse proportion to its images",
    )
    group.add_argument(
        "--sampling",
        choices=("shuffle", "balanced"),
        default="shuffle",
        help="shuffle: every image once an epoch; balanced: drawn so that each class comes equally often; use this "
        "or --class-weights, not both",
    )
    group.add_argument(
        "--ema",
        metavar="D",
        type=decay,
        help="score and keep a running average of the weights, with this decay a step (0.99 … 0.9999: over about "
        "1/(1 - D) steps); smoother, for long trainings (default: off)",
    )
    group.add_argument(
        "--early-stop",
        metavar="E",
        type=at_least(1, int),
        help="stop a training after E epochs without a better validation accuracy and keep its best epoch (default: "
        "off: train all epochs and keep the last)",
    )


def add_training_machine(parser: argparse.ArgumentParser) -> None:
    group = add_machine(parser)
    group.add_argument(
        "--precision",
        choices=("no", "bf16", "fp16"),
        default="no",
        help="numbers in training. no: 32 bits; bf16: half the memory and faster on recent GPUs; fp16: the same on "
        "older ones",
    )
    group.add_argument(
        "--channels-last", action=Switch, help="another layout of images in memory: often faster on GPUs with bf16"
    )
    group.add_argument(
        "--compile", action=Switch, help="torch.compile the network: a minute at the start, then faster; for long runs"
    )
    group.add_argument(
        "--deterministic",
        action=Switch,
        help="the same numbers from every run on a GPU too, at some speed; on a CPU they are the same anyway",
    )
    group.add_argument(
        "--checkpoint-minutes",
        metavar="M",
        type=at_least(0, float),
        default=10.0,
        help="save the state within an epoch too, so often: what a lost machine can cost; 0: after every step",
    )
    group.add_argument(
        "--tensorboard", action=Switch, help="write curves for TensorBoard too: tensorboard --logdir DIR of --out"
    )


def training_keywords(args: argparse.Namespace) -> dict[str, Any]:
    """The options as keywords of :func:`pasm_aug.training.trainer.train`."""
    same = ["epochs", "lr", "schedule", "warmup", "weight_decay", "batch_size", "accumulate", "sampling", "ema"]
    same += ["seed", "device", "precision", "channels_last", "compile", "workers"]
    return {name: getattr(args, name) for name in same} | {
        "checkpoint_seconds": 60 * args.checkpoint_minutes,
        "progress": not args.quiet,
    }


def check_training(args: argparse.Namespace) -> None:
    """What can be seen to be wrong before any image is read.

    Raises:
        ValueError: a warm-up longer than a training; no package for --tensorboard.
    """
    shortest = args.epochs if getattr(args, "teacher", None) else min(args.epochs, getattr(args, "teacher_epochs", 1e9))
    if args.warmup > shortest:
        raise ValueError(
            f"--warmup must be at most the {shortest} epochs of the shortest training, got {args.warmup:g}"
        )
    if args.tensorboard:
        from pasm_aug.training.tensorboard import check_installed  # loads torch: not for --help

        check_installed()
