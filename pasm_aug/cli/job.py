"""What ``pasm-aug run`` does: opens what is needed, runs the rounds of every arm, and reports."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from pasm_aug.cache.position_cache import PositionCache
from pasm_aug.cli.changed import changed_options
from pasm_aug.cli.finish import finish
from pasm_aug.cli.networks import open_model
from pasm_aug.cli.noise import check_noise, noise_line, write_noise
from pasm_aug.cli.opening import about, model_factory, new_model, open_split, say
from pasm_aug.cli.options.fields import keywords_of
from pasm_aug.cli.options.file import write_options
from pasm_aug.cli.options.groups import SEARCH_BUDGET
from pasm_aug.cli.options.settle import settle_run
from pasm_aug.cli.options.training import method_of
from pasm_aug.cli.recorded import check_config, config_of, plain
from pasm_aug.core.checksums import resealed
from pasm_aug.core.errors import UserError
from pasm_aug.core.file_lock import FileLock
from pasm_aug.core.files import write_json
from pasm_aug.core.options import replaced
from pasm_aug.core.processes import process_state
from pasm_aug.core.weights import misfit
from pasm_aug.report.regions import region_sentence, region_shares
from pasm_aug.rounds import options as rounds_options
from pasm_aug.rounds.algorithm import iter_rounds
from pasm_aug.rounds.arms import AUGMENTS, make_erase, make_geometry, matched_to
from pasm_aug.rounds.erasing import Erasing
from pasm_aug.rounds.options import RoundOptions
from pasm_aug.rounds.results import RoundResult, write_rounds
from pasm_aug.rounds.resume import check_folder
from pasm_aug.search.point_search import PointSearch


def run_job(args: argparse.Namespace, add: Callable[[argparse.ArgumentParser], None]) -> None:
    """The main job: teacher, PASM, baselines, table, report.

    Args:
        add: adds the command's options to a parser; ``run.yaml`` shows them in its groups.
    """
    stages = {"imports": time.perf_counter() - args.started}
    names = check_run(args)
    config = config_of(args)
    if process_state().is_main_process:
        check_folder(args.out)
    existing = check_config(args.out, config)
    started = time.perf_counter()
    splits = {name: open_split(args, name) for name in ("train", "val", "test")}
    stages["reading the images"] = time.perf_counter() - started
    train_split = splits["train"]
    check_noise(args.out, train_split)
    model, options = model_factory(args, len(train_split.classes)), round_options(args, train_split)
    main = process_state().is_main_process
    if main:
        args.out.mkdir(parents=True, exist_ok=True)
    with FileLock(args.out / "run", enabled=main):
        if main:
            existing = check_config(args.out, config)  # again: another process may have begun meanwhile
            with resealed(args.out):
                write_noise(args.out, train_split)
                write_options(args.out / "run.yaml", args, add)  # when it was written, its inputs had been looked at
                if not existing:
                    write_json(args.out / "config.json", config)
        if existing:
            say(f"going on with the run in {args.out}")
        arms = _tell_rounds(args, names, splits, model, options)
        if main:
            first, *others = arms.values()
            with resealed(args.out):
                write_rounds(args.out / "rounds.csv", first + [r for results in others for r in results if r.round])
                finish(args.out, arms, train_split, config, stages, changed_options(config, add))


def _tell_rounds(
    args: argparse.Namespace,
    names: Sequence[str],
    splits: Mapping[str, Any],
    model: Callable[[], nn.Module],
    options: RoundOptions,
) -> dict[str, list[RoundResult]]:
    """The results of every arm; each is told as it ends."""
    train_split = splits["train"]
    say(
        f"{args.data}: {len(train_split):,} training, {len(splits['val']):,} validation, {len(splits['test']):,} test "
        f"images of {args.image_size}×{args.image_size}, {len(train_split.classes)} classes → {args.out}"
    )
    if line := noise_line(args, train_split):
        say(line)
    arms: dict[str, list[RoundResult]] = {}
    for arm, result in run_arms(names, model, splits, args.out, options):
        arms.setdefault(arm, []).append(result)
        if result.round or len(arms) == 1:
            say(_line(result, train_split))
    return arms


def check_run(args: argparse.Namespace) -> list[str]:
    """Fill in the size of the images and the folder; returns the arms, the first of which leads.

    Raises:
        ValueError: an arm, or an option of the erasing, that cannot be.
    """
    names = settle_run(args)
    for arm in names:
        make_erase(arm, None, **keywords_of(args, Erasing), matched_to=matched_to(names))
    return names


def round_options(args: argparse.Namespace, dataset: Any) -> RoundOptions:
    """What the command line says of the rounds; ``dataset`` is the training split.

    Raises:
        ValueError: a network that cannot be made or opened, or of other classes.
    """
    search = PointSearch(
        args.search,
        objective=args.objective,
        patch=args.mask_size,
        budget=SEARCH_BUDGET if args.augment == "online" else args.budget,
        seed=args.seed,
        device=args.device,
    )
    given = (
        keywords_of(args, rounds_options.RoundOptions)
        | {
            "info": about(args, dataset) | ({"parent": plain(args.teacher)} if args.teacher else {}),
            "teacher": open_first_teacher(args, dataset.classes) if args.teacher else None,
            "miner": open_model(args, "miner", dataset.classes) if args.miner else None,
            "teacher_training": {"epochs": args.teacher_epochs, "lr": args.teacher_lr},
            "geometry": make_geometry(args.geometry),
            "search": search,
            "progress": not args.quiet,
        }
        | method_of(args)
    )
    return replaced(rounds_options.RoundOptions(), **given)


def open_first_teacher(args: argparse.Namespace, classes: Sequence[str]) -> nn.Module:
    """The teacher that the rounds start from.

    Raises:
        ValueError: as :func:`~pasm_aug.cli.networks.open_model`; another architecture than ``--model``, which is what
            the rounds go on with.
    """
    teacher = open_model(args, "teacher", classes)
    ours = new_model(args, len(classes))
    if misfit(ours.state_dict(), teacher.state_dict()):
        architecture = teacher.info["architecture"]  # type: ignore[index]
        raise UserError(
            f"--teacher {args.teacher} is another network ({architecture}) than --model {args.model}, which the rounds "
            f"train: add --model {architecture}"
        )
    return teacher


def run_arms(
    names: Sequence[str],
    model: Callable[[], nn.Module],
    splits: Mapping[str, Any],
    out: Path,
    options: RoundOptions,
) -> Iterator[tuple[str, RoundResult]]:
    """The rounds of the first arm, then as many of each other arm from the same first teacher, as they end."""
    first: list[RoundResult] = []
    options = replaced(options, matched_to=matched_to(names))
    for result in iter_rounds(model, splits, out=out, options=replaced(options, augment=names[0])):
        first.append(result)
        yield names[0], result
    for arm in names[1:]:
        forks: dict[str, Any] = {"teacher": first[0], "teacher_training": None}
        if arm == "plain" and options.method == "asm":
            forks = {"method": "pasm"} | ({} if options.teacher else {"teacher": None})  # one that believed all labels
        forked = replaced(options, augment=arm, rounds=first[-1].round, **forks)
        for result in iter_rounds(model, splits, out=out / "baselines" / arm, options=forked):
            yield arm, result


def _line(result: RoundResult, dataset: Any) -> str:
    """One finished network, as a line of progress."""
    name = "first teacher" if result.round == 0 else f"{AUGMENTS[result.arm]} · round {result.round}"
    line = f"{name}: train {result.train.accuracy:.1%}, validation {result.val.accuracy:.1%}"
    if result.gain_over is not None:
        over = "the first teacher" if result.gain_over == 0 else f"round {result.gain_over}"
        line += f", {100 * result.gain:+.1f} points over {over} (standard error {100 * result.gain_error:.1f})"
    positions = Path(result.folder) / "positions.safetensors"
    shares = region_shares(dataset, PositionCache.open(positions)) if positions.exists() else None
    return f"{line}\n  {region_sentence(result.round, shares)}" if shares else line
