"""The stages alone: train one network, mine one split, score one network."""

from __future__ import annotations

import argparse
import functools
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import Subset

from pasm_aug import evaluation, training
from pasm_aug.align_command import align
from pasm_aug.arms import MINED, arm_positions, default_geometry, make_erase
from pasm_aug.attack.search import PointSearch
from pasm_aug.cache import PositionCache
from pasm_aug.commands_on_pictures import check, predict
from pasm_aug.crossdata import MappedLabels, less
from pasm_aug.evaluation import Metrics
from pasm_aug.files import write_atomic, write_json
from pasm_aug.functional import distillation_loss
from pasm_aug.job import check_config, config_of, report, run
from pasm_aug.mining import mine_positions
from pasm_aug.models import save_model
from pasm_aug.opening import (
    about,
    also_in_training,
    default_image_size,
    model_factory,
    open_any_model,
    open_model,
    open_split,
    plain,
    say,
    trained_size,
)
from pasm_aug.options.file import write_options
from pasm_aug.options.run import add_train
from pasm_aug.options.training import check_training, training_keywords
from pasm_aug.processes import process_state
from pasm_aug.report.figures import confusion_figure
from pasm_aug.results import RoundResult
from pasm_aug.rounds.folder import read_round, write_round
from pasm_aug.training.balance import class_weights, labels_of
from pasm_aug.training.guards import DivergedError
from pasm_aug.transforms import PairedView

__all__ = ["align", "check", "evaluate", "mine", "predict", "report", "run", "train"]


def train(args: argparse.Namespace) -> None:
    """Train one network into a folder, or say that it lies there."""
    check_train(args)
    config = config_of(args)
    check_config(args.out, config)
    train_split, val = open_split(args, "train"), open_split(args, "val")
    info = about(args, train_split) | {"seed": args.seed, "parent": plain(args.teacher)}
    teacher = open_model(args.teacher, train_split.classes, "--teacher") if args.teacher else None
    if done := read_round(args.out, model_factory(args, len(train_split.classes))()):
        say(f"{args.out} holds this network already: {_scores(done[0])}")
        return
    first = process_state().is_main_process
    args.out.mkdir(parents=True, exist_ok=True)
    if first:
        write_options(args.out / "train.yaml", args, add_train)
        write_json(args.out / "config.json", config)
    try:
        trained = fit(args, train_split, val, teacher, args.out)
    except DivergedError as error:
        if first and error.result.epoch:
            save_model(args.out, error.result.model, info | {"diverged_after_epoch": error.result.epoch})
        raise
    score = functools.partial(evaluation.evaluate, trained.model, device=args.device, workers=args.workers)
    arm, number = ("teacher", 0) if teacher is None else (args.augment, 1)
    result = RoundResult(arm, number, str(args.out), None, True, score(train_split), score(val))
    write_round(result, trained, info)
    kept = f" (weights of epoch {trained.epoch})" if trained.epoch < len(trained.history) else ""
    say(f"{_scores(result)}{kept}  → {args.out}")


def _scores(result: RoundResult) -> str:
    return f"train {result.train.accuracy:.1%}  val {result.val.accuracy:.1%}"


def check_train(args: argparse.Namespace) -> None:
    """Fill in the size of the pictures.

    Raises:
        ValueError: options of ``train`` that need another one beside them.
    """
    check_training(args)
    args.image_size = default_image_size(args)
    if args.augment in MINED and args.positions is None:
        raise ValueError(f"--augment {args.augment} needs --positions FILE, which `pasm-aug mine` writes")
    if args.augment.startswith("cam-") and args.teacher is None:
        raise ValueError(f"--augment {args.augment} needs --teacher DIR, whose class activation maps it follows")


def fit(
    args: argparse.Namespace, train_split: Any, val: Any, teacher: nn.Module | None, out: Path
) -> training.TrainResult:
    """What ``train`` does once its data are open; all files go into ``out``, or the training there goes on."""
    mined = PositionCache.open(args.positions) if args.augment in MINED else None
    places = arm_positions(
        args.augment, mined, teacher, train_split, out, seed=args.seed, device=args.device, progress=not args.quiet
    )
    erase = make_erase(args.augment, places, p=args.p, size=args.mask_size, value=args.value)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(args.seed)
        network = model_factory(args, len(train_split.classes))()
    balanced = args.class_weights == "balanced"
    loss = functools.partial(
        distillation_loss,
        alpha=args.alpha,
        beta=args.beta,
        label_smoothing=args.label_smoothing,
        class_weights=class_weights(labels_of(train_split), len(train_split.classes)) if balanced else None,
    )
    return training.train(
        network,
        train_split,
        val=val,
        augment=PairedView(erase, default_geometry()),
        teacher=teacher,
        loss=loss,
        checkpoint=out / "training.safetensors",
        metrics=out / "metrics.csv",
        tensorboard=out / "tensorboard" if args.tensorboard else None,
        patience=args.early_stop,
        **training_keywords(args),
    )


def mine(args: argparse.Namespace) -> None:
    """Search a split into a cache file."""
    args.image_size = args.image_size or trained_size(args.teacher)
    dataset = open_split(args, args.split)
    teacher = open_model(args.teacher, dataset.classes, "--teacher")
    search = PointSearch(
        args.search,
        points=args.points,
        objective=args.objective,
        patch=args.mask_size,
        budget=args.budget,
        seed=args.seed,
        batch_size=args.query_batch,
        device=args.device,
    )
    cache = mine_positions(
        teacher,
        dataset,
        args.out,
        search=search,
        device=args.device,
        workers=args.workers,
        resume=not args.no_resume,
        progress=not args.quiet,
    )
    say(cache.summary())


def evaluate(args: argparse.Namespace) -> None:
    """Score a network on data whose classes it shares by name; with and without pictures that it was trained on."""
    args.image_size = args.image_size or trained_size(args.checkpoint)
    model, info = open_any_model(args.checkpoint)
    known = MappedLabels(open_split(args, args.split), info["classes"], channels=info.get("channels"))
    score = functools.partial(evaluation.evaluate, model, device=args.device, workers=args.workers)
    scores = score(known)
    say(f"{args.data} {args.subset or args.split}: {in_words(scores)}")
    if known.dropped:
        gone = ", ".join(f"{count:,} {name}" for name, count in known.dropped.items())
        say(f"left out, for the network does not know their class: {gone}")
    results: dict[str, Any] = scores.asdict() | {"mean_per_class": scores.mean_per_class, "left_out": known.dropped}
    if args.split in ("val", "test") and args.data != "synthetic" and not args.no_overlap:
        both = np.isin(known.indices, seen_in_training(args))
        without = less(scores, score(Subset(known, np.flatnonzero(both)))) if both.any() else scores  # type: ignore[arg-type]
        results["without_overlap"] = without and without.asdict() | {"mean_per_class": without.mean_per_class}
        if both.any():
            rest = "nothing" if without is None else in_words(without)
            say(f"{int(both.sum()):,} of them also stand in {args.data}'s training split; without these: {rest}")
    say(f"\n{confusion_text(scores, known.classes)}")
    if process_state().is_main_process:
        if args.json:
            args.json.parent.mkdir(parents=True, exist_ok=True)
            write_json(args.json, results)
        if args.out:
            args.out.mkdir(parents=True, exist_ok=True)
            write_json(args.out / "scores.json", results)
            figure = confusion_figure({f"{args.data} {args.subset or args.split}": scores.confusion}, known.classes)
            write_atomic(args.out / "confusion.png", figure)
            say(f"\n→ {args.out}")


def seen_in_training(args: argparse.Namespace) -> np.ndarray:
    """:func:`~pasm_aug.opening.also_in_training`; where training cannot be opened, none, and a word about it."""
    try:
        return also_in_training(args)
    except (FileNotFoundError, ValueError) as error:
        say(f"not compared with the training split, which cannot be opened: {error}")
        return np.zeros(0, dtype=np.int64)


def in_words(scores: Metrics) -> str:
    """Accuracy, overall and as the mean over classes."""
    return (
        f"{scores.accuracy:.2%} of {scores.count:,} images right, mean over the classes {scores.mean_per_class:.2%}, "
        f"loss {scores.loss:.3f}"
    )


def confusion_text(scores: Metrics, classes: list[str]) -> str:
    """Confusion matrix (rows: true classes, counts) with recall per class, as aligned text."""
    wide = max(8, *map(len, classes))
    lines = ["  ".join(f"{name:>{wide}}" for name in ("", *classes, "recall"))]
    for name, row, recall in zip(classes, scores.confusion, scores.per_class, strict=True):
        cells = (name, *map(str, row), "–" if recall is None else f"{recall:.1%}")
        lines.append("  ".join(f"{cell:>{wide}}" for cell in cells))
    return "\n".join(lines)
