"""What ``pasm-aug train`` does: one network, fitted into a folder of its own."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from pasm_aug.cache.position_cache import PositionCache
from pasm_aug.cli.networks import open_model
from pasm_aug.cli.noise import check_noise, noise_line, write_noise
from pasm_aug.cli.opening import about, model_factory, open_split, say
from pasm_aug.cli.options.fields import keywords_of
from pasm_aug.cli.options.file import write_options
from pasm_aug.cli.options.settle import settle_train
from pasm_aug.cli.options.training import method_of
from pasm_aug.cli.outcome import scores_line
from pasm_aug.cli.recorded import check_config, config_of, plain
from pasm_aug.core.errors import UserError
from pasm_aug.core.file_lock import FileLock
from pasm_aug.core.files import write_json
from pasm_aug.core.options import replaced
from pasm_aug.core.processes import process_state
from pasm_aug.core.seeding import seeded
from pasm_aug.data.origin import labels_of
from pasm_aug.models import save_model
from pasm_aug.rounds.arms import MINED, arm_positions, hit_rate, make_erase, make_geometry
from pasm_aug.rounds.erasing import Erasing
from pasm_aug.rounds.folder import read_round, write_round
from pasm_aug.rounds.options import RoundOptions
from pasm_aug.rounds.results import RoundResult
from pasm_aug.training import evaluation
from pasm_aug.training import trainer as training
from pasm_aug.training.balance import class_weights
from pasm_aug.training.guards import DivergedError
from pasm_aug.training.losses import distillation_loss
from pasm_aug.training.options import LossOptions, TrainingOptions
from pasm_aug.training.result import TrainResult
from pasm_aug.training.tracking import open_tracker
from pasm_aug.transforms.paired_view import PairedView


def fit_into_folder(args: argparse.Namespace, add: Callable[[argparse.ArgumentParser], None]) -> None:
    """Train one network into a folder, or say that it lies there.

    Args:
        add: adds the command's options to a parser; ``train.yaml`` shows them in its groups.
    """
    settle_train(args)
    config = config_of(args)
    check_config(args.out, config)
    train_split, val = open_split(args, "train"), open_split(args, "val")
    check_noise(args.out, train_split)
    how = how_trained(args)
    info = about(args, train_split) | {"seed": args.seed, "parent": plain(args.teacher), "alone": how}
    teacher = open_model(args, "teacher", train_split.classes) if args.teacher else None
    if done := read_round(args.out, model_factory(args, len(train_split.classes))()):
        say(f"{args.out} holds this network already: {scores_line(done[0])}")
        return
    first = process_state().is_main_process
    args.out.mkdir(parents=True, exist_ok=True)
    with FileLock(args.out / "train", enabled=first):
        if first:
            write_noise(args.out, train_split)
            write_options(args.out / "train.yaml", args, add)  # when it was written, its inputs had been looked at
            write_json(args.out / "config.json", config)
        if line := noise_line(args, train_split):
            say(line)
        try:
            trained = fit(args, train_split, val, teacher, args.out)
        except DivergedError as error:
            if first and error.result.epoch:
                save_model(args.out, error.result.model, info | {"diverged_after_epoch": error.result.epoch})
            raise
        score = functools.partial(evaluation.evaluate, trained.model, device=args.device, workers=args.workers)
        arm, number = ("teacher", 0) if teacher is None else (args.augment, 1)
        result = RoundResult(arm, number, str(args.out), None, True, score(train_split), score(val))
        result.seconds = {"train": sum(row["seconds"] for row in trained.history)}
        result.erased_share = trained.history[-1].get("erased_share", 0.0)
        if args.augment in MINED:
            result.hit_rate = hit_rate(PositionCache.open(args.positions), train_split)
        write_round(result, trained, info)
    kept = f" (weights of epoch {trained.epoch})" if trained.epoch < len(trained.history) else ""
    say(f"{scores_line(result)}{kept}  → {args.out}")


def _options(args: argparse.Namespace) -> RoundOptions:
    """What the command line says that rounds would take, too."""
    return replaced(RoundOptions(), **keywords_of(args, RoundOptions) | method_of(args))


def how_trained(args: argparse.Namespace) -> dict[str, Any]:
    """What the model card tells of the training: the arm, the method and its options."""
    names = ("loss", "training", *(["asm"] if args.method != "pasm" else []))
    options = _options(args).identity()
    return {"augment": args.augment, "method": args.method, "geometry": args.geometry} | {n: options[n] for n in names}


def fit(args: argparse.Namespace, train_split: Any, val: Any, teacher: nn.Module | None, out: Path) -> TrainResult:
    """What ``train`` does once its data are open; all files go into ``out``, or the training there goes on."""
    method = _options(args).training_method
    mined = PositionCache.open(args.positions) if args.augment in MINED else None
    if mined is not None and not hit_rate(mined, train_split):
        raise UserError(
            f"--positions {args.positions} knows none of the training images that were looked up: it was mined on "
            "another data set, split, --image-size or --limit"
        )
    points = arm_positions(
        args.augment, mined, teacher, train_split, out, seed=args.seed, device=args.device, progress=not args.quiet
    )
    erase = make_erase(args.augment, points, **keywords_of(args, Erasing))
    with seeded(args.seed):
        network = model_factory(args, len(train_split.classes))()
    weights = replaced(LossOptions(), **keywords_of(args, LossOptions))
    balanced = class_weights(labels_of(train_split), len(train_split.classes)) if weights.class_weights else None
    return training.train(
        network,
        train_split,
        val=val,
        augment=PairedView(erase, make_geometry(args.geometry)),
        teacher=teacher,
        loss=functools.partial(distillation_loss, **vars(weights) | {"class_weights": balanced}),
        method=method,
        options=replaced(TrainingOptions(), **keywords_of(args, TrainingOptions)),
        seed=args.seed,
        workers=args.workers,
        checkpoint=out / "training.safetensors",
        metrics=out / "metrics.csv",
        tracker=open_tracker(args.tracker, out) if args.tracker else None,
        progress=not args.quiet,
    )
