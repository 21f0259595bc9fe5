"""``--dry-run``: every stage once on one batch, in a folder that vanishes, and what all of it will take.

The stages are the real ones on a few images. Each is timed after a first go that warms up (compiled kernels, caches).
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import time
from itertools import islice
from pathlib import Path
from typing import Any

from torch import nn
from torch.utils.data import Subset

from pasm_aug.cli import job
from pasm_aug.cli.dry_run_mine import try_mine
from pasm_aug.cli.estimate import (
    Amount,
    Pace,
    rough_duration,
    seconds_of_round,
    seconds_of_run,
    seconds_of_train,
    sure_rounds,
)
from pasm_aug.cli.finish import finish
from pasm_aug.cli.fit import fit
from pasm_aug.cli.networks import open_model
from pasm_aug.cli.opening import model_factory, say
from pasm_aug.cli.options.settle import settle_train
from pasm_aug.cli.recorded import check_config, config_of
from pasm_aug.cli.trial import FEW, affordable, memory, sample_of, stage, tell, vanishing_folder, warm_up
from pasm_aug.core.image_content import to_uint8_tensor
from pasm_aug.core.options import replaced
from pasm_aug.core.processes import process_state
from pasm_aug.data.base import Split
from pasm_aug.models import load_model
from pasm_aug.rounds.arms import AUGMENTS, ONE_ROUND, matched_to, mines
from pasm_aug.rounds.stopping import MAX_ROUNDS
from pasm_aug.training.evaluation import evaluate
from pasm_aug.training.loading import EpochSampler

EPOCHS = 3  # the first warms up
LOOKS = 10  # forwards of a test image: 19 hidden parts, most of them through windows at half the cost


def dry_run(args: argparse.Namespace) -> None:
    """Try ``pasm-aug run``, ``train`` or ``mine`` with these options; nothing of it stays.

    Raises:
        ValueError: a stage failed; says which and why.
    """
    say("dry run: one batch of every stage; nothing is kept")
    if getattr(args, "seeds", None):
        say(f"what follows is for one seed; --seeds asks for {len(args.seeds)}")
    with vanishing_folder() as folder:
        {"run": _try_run, "train": _try_train, "mine": try_mine}[args.command](args, folder)


def _try_run(args: argparse.Namespace, folder: Path) -> None:
    names = job.check_run(args)
    config = config_of(args)
    check_config(args.out, config)
    pace, splits, amount, stored = _read(args, ("train", "val", "test"))
    rounds = min(1, sure_rounds(args))
    with stage("making the network"):
        options = job.round_options(args, splits["train"])
    search, share = affordable(options.point_search, tuple(to_uint8_tensor(splits["train"][0][0]).shape))
    quick: dict[str, Any] = {"epochs": EPOCHS, "warmup": min(args.warmup, EPOCHS), "rounds": rounds, "tracker": None}
    quick |= {"asm_warm_up": min(args.asm_warm_up, 0.5)}  # else none of so few epochs would be sorted
    quick |= {"search": search, "progress": False, "teacher_training": {"epochs": EPOCHS, "lr": args.teacher_lr}}
    model, arms = model_factory(args, len(splits["train"].classes)), {}
    results = job.run_arms(names, model, splits, folder, replaced(options, **quick))
    with stage("first teacher"):
        arms[names[0]] = [result for _, result in islice(results, 1)]
        teacher = load_model(folder / "round-0", model=model())
    with stage("scoring"):
        pace.start, pace.score = _seconds_of_scoring(teacher, splits["val"], args)
    if not args.teacher:
        pace.step["teacher"] = _seconds_of_step(_rows(folder / "round-0"), splits, args, pace)
    if any(mines(arm, matched_to(names)) for arm in names):
        with stage("search"):
            warm_up(search, options.miner or teacher, splits["train"])
    queries = 0.0
    for arm in names:
        with stage(f"round of {AUGMENTS[arm]}"):
            arms.setdefault(arm, []).extend(result for _, result in islice(results, rounds + (arm != names[0])))
        last = arms[arm][-1]
        if not last.round:
            continue
        pace.step[arm] = _seconds_of_step(_rows(Path(last.folder)), splits, args, pace)
        if last.queries and not queries:
            pace.mine = share * last.seconds["mine"] / len(splits["train"])
            queries = share * last.queries / len(splits["train"])
    with stage("test scores"):
        list(results)
    started = time.perf_counter()
    with stage("report"), contextlib.redirect_stdout(io.StringIO()):
        if process_state().is_main_process:
            finish(folder, arms, splits["train"], config, {})
    pace.report = time.perf_counter() - started
    seconds = seconds_of_run(args, names, pace, amount)
    number = sure_rounds(args)
    tell(seconds, f" with {number} round{'s' * (number != 1)}")
    if args.rounds is None and number < MAX_ROUNDS and names[0] not in ONE_ROUND:
        further = sum(seconds_of_round(args, names, pace, amount, number + 1).values())
        say(f"Each further round takes about {rough_duration(further)}; at most {MAX_ROUNDS} rounds are run.")
    teacher_steps = f"{args.teacher_epochs * amount.steps:,} of the first teacher, " if not args.teacher else ""
    say(f"Steps: {teacher_steps}{args.epochs * amount.steps:,} of each student in each round.")
    if queries:
        say(f"Queries of the search: about {queries * amount.train:,.0f} in each mining, {queries:,.0f} an image.")
    say(memory(stored))


def _try_train(args: argparse.Namespace, folder: Path) -> None:
    settle_train(args)
    pace, splits, amount, stored = _read(args, ("train", "val"))
    teacher = open_model(args, "teacher", splits["train"].classes) if args.teacher else None
    quick = {"epochs": EPOCHS, "warmup": min(args.warmup, EPOCHS), "quiet": True, "tracker": None}
    quick |= {"asm_warm_up": min(args.asm_warm_up, 0.5)}
    tried = argparse.Namespace(**vars(args) | quick)
    with stage("training"):
        trained = fit(tried, splits["train"], splits["val"], teacher, folder)
    with stage("scoring"):
        pace.start, pace.score = _seconds_of_scoring(trained.model, splits["val"], args)
    pace.step[args.augment] = _seconds_of_step(trained.history, splits, args, pace)
    tell(seconds_of_train(args, pace, amount), "")
    say(f"Steps: {args.epochs * amount.steps:,}.")
    say(memory(stored))


def _read(args: argparse.Namespace, names: tuple[Split, ...]) -> tuple[Pace, dict[str, Any], Amount, int]:
    """Open the splits as they will be and read one batch of each; also the bytes that all images will take."""
    pace, counts = Pace(time.perf_counter() - args.started), {"test": 0}
    splits: dict[str, Any] = {}
    stored = 0
    with stage("reading the images"):
        for name in names:
            found = sample_of(args, name, args.batch_size)
            splits[name], counts[name] = found.images, found.length
            pace.opening, stored = pace.opening + found.opening, stored + found.stored
            pace.read = found.each or pace.read  # the last split's: the first ones warm up
    return pace, splits, Amount(**counts, steps=_steps(counts["train"], args), looks=LOOKS), stored


def _seconds_of_scoring(network: nn.Module, split: Any, args: argparse.Namespace) -> tuple[float, float]:
    """Seconds to begin, and for each image: of the second go on few images, and on more."""
    few = Subset(split, range(min(FEW, len(split))))
    took = {}
    for part in (few, few, split):
        started = time.perf_counter()
        evaluate(network, part, device=args.device, workers=args.workers)
        took[len(part)] = time.perf_counter() - started
    each = max(0.0, took[len(split)] - took[len(few)]) / max(1, len(split) - len(few))
    return max(0.0, took[len(few)] - len(few) * each), each


def _seconds_of_step(rows: list[dict[str, Any]], splits: dict[str, Any], args: argparse.Namespace, pace: Pace) -> float:
    """Seconds for one step of the optimiser, from the rows of a training on a batch; the first epoch warms up."""
    warm = [float(row["seconds"]) for row in (rows[1:] or rows)]
    epoch = sum(warm) / len(warm) - pace.scoring(len(splits["val"]))
    return max(epoch, 1e-4) / _steps(len(splits["train"]), args)


def _rows(folder: Path) -> list[dict[str, Any]]:
    with open(folder / "metrics.csv", newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def _steps(length: int, args: argparse.Namespace) -> int:
    return len(EpochSampler(length, args.batch_size, least=2, world=process_state().num_processes))
