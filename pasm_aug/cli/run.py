"""The main job: teacher, rounds of PASM, the same rounds for the baselines, one table and one report."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pasm_aug.cache.position_cache import PositionCache
from pasm_aug.cli.opening import about, default_image_size, model_factory, open_model, open_split, plain, say
from pasm_aug.cli.options.file import write_options
from pasm_aug.cli.options.run import add_run
from pasm_aug.cli.options.training import check_training, training_keywords
from pasm_aug.cli.report import finish
from pasm_aug.core.checksums import resealed
from pasm_aug.core.files import read_json, write_json
from pasm_aug.core.processes import process_state
from pasm_aug.report.regions import region_sentence, region_shares
from pasm_aug.rounds.algorithm import run_rounds
from pasm_aug.rounds.arms import AUGMENTS, default_geometry, make_erase
from pasm_aug.rounds.results import RoundResult, write_rounds
from pasm_aug.rounds.resume import check_folder
from pasm_aug.search.point_search import PointSearch

# Options that change no result: a run goes on with others of these.
HERE_ONLY = {"out", "decoded", "command", "device", "workers", "quiet", "preset", "imports"}
HERE_ONLY |= {"options", "dry_run", "checkpoint_minutes", "tensorboard", "deterministic"}


def run(args: argparse.Namespace) -> None:
    """The main job: teacher, PASM, baselines, table, report."""
    names = check_run(args)
    config = config_of(args)
    if process_state().is_main_process:
        check_folder(args.out)
    begun = check_config(args.out, config)
    started = time.perf_counter()
    splits = {name: open_split(args, name) for name in ("train", "val", "test")}
    stages = {"imports": args.imports, "reading the images": time.perf_counter() - started}
    train_split = splits["train"]
    options = round_options(args, train_split)
    if process_state().is_main_process:
        args.out.mkdir(parents=True, exist_ok=True)
        with resealed(args.out):
            write_options(args.out / "run.yaml", args, add_run)
            if not begun:
                write_json(args.out / "config.json", config)
    if begun:
        say(f"going on with the run in {args.out}")
    say(
        f"{args.data}: {len(train_split):,} training, {len(splits['val']):,} validation, {len(splits['test']):,} test "
        f"images of {args.image_size}×{args.image_size}, {len(train_split.classes)} classes → {args.out}"
    )
    arms: dict[str, list[RoundResult]] = {}
    for arm, result in run_arms(names, splits, args.out, options):
        arms.setdefault(arm, []).append(result)
        if result.round or len(arms) == 1:
            say(_line(result, train_split))
    if not process_state().is_main_process:
        return
    first, *others = arms.values()
    with resealed(args.out):
        write_rounds(args.out / "rounds.csv", first + [r for results in others for r in results if r.round])
        finish(args.out, arms, train_split, config, stages)


def check_run(args: argparse.Namespace) -> list[str]:
    """Fill in the size of the images and the folder; returns the arms, the first of which leads.

    Raises:
        ValueError: an arm, or an option of the erasing, that cannot be.
    """
    check_training(args)
    args.image_size = default_image_size(args)
    args.out = args.out or Path("runs") / args.data
    names = [args.augment, *(arm for arm in args.baselines.split(",") if arm and arm != args.augment)]
    for arm in names:
        make_erase(arm, None, p=args.p, size=args.mask_size, value=args.value)
    return names


def config_of(args: argparse.Namespace) -> dict[str, Any]:
    """The options that a run's results depend on, as ``config.json`` holds them."""
    return {k: plain(v) for k, v in vars(args).items() if k not in HERE_ONLY}


def round_options(args: argparse.Namespace, dataset: Any) -> dict[str, Any]:
    """Keywords of :func:`~pasm_aug.rounds.algorithm.run_rounds`; ``dataset`` is the training split.

    Raises:
        ValueError: a network that cannot be made or opened, or of other classes.
    """
    same = ["p", "value", "alpha", "beta", "student", "rounds", "patience", "margin", "keep_points", "refresh"]
    same += ["label_smoothing", "tensorboard"]
    early_stop = {"early_stop": args.early_stop} if args.early_stop else {}
    return (
        training_keywords(args)
        | early_stop
        | {name: getattr(args, name) for name in same}
        | {
            "model": model_factory(args, len(dataset.classes)),
            "info": about(args, dataset),
            "teacher": open_model(args.teacher, dataset.classes, "--teacher") if args.teacher else None,
            "miner": open_model(args.miner, dataset.classes, "--miner") if args.miner else None,
            "teacher_training": {"epochs": args.teacher_epochs, "lr": args.teacher_lr},
            "class_weights": None if args.class_weights == "none" else args.class_weights,
            "geometry": default_geometry(),
            "size": args.mask_size,
            "search": PointSearch(
                args.search,
                objective=args.objective,
                patch=args.mask_size,
                budget=args.budget,
                seed=args.seed,
                device=args.device,
            ),
        }
    )


def run_arms(
    names: Sequence[str], splits: Mapping[str, Any], out: Path, options: Mapping[str, Any]
) -> Iterator[tuple[str, RoundResult]]:
    """The rounds of the first arm, then as many of each other arm from the same first teacher, as they end.

    Args:
        options: of :func:`round_options`.
    """
    first: list[RoundResult] = []
    for result in run_rounds(datasets=splits, out=out, augment=names[0], **options):
        first.append(result)
        yield names[0], result
    forked = {"teacher": first[0], "rounds": first[-1].round, "teacher_training": None}
    for arm in names[1:]:
        for result in run_rounds(datasets=splits, out=out / "baselines" / arm, augment=arm, **{**options, **forked}):
            yield arm, result


def check_config(out: Path, config: dict[str, Any]) -> bool:
    """Whether ``out`` holds a begun run of these options.

    Raises:
        ValueError: it holds one of others; the message names what differs.
    """
    file = out / "config.json"
    if not file.exists():
        return False
    old = read_json(file)
    differing = [
        f"{k} was {old.get(k)!r}, now {config.get(k)!r}" for k in sorted(old | config) if old.get(k) != config.get(k)
    ]
    if differing:
        raise ValueError(f"--out {out} holds a run with other options ({'; '.join(differing)}): choose another --out")
    return True


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
