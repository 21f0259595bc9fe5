"""The main job: teacher, rounds of PASM, the same rounds for the baselines, one table and one report."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from pasm_aug.arms import AUGMENTS, default_geometry, make_erase
from pasm_aug.attack.search import PointSearch
from pasm_aug.cache import PositionCache
from pasm_aug.files import read_json, write_json
from pasm_aug.opening import about, default_image_size, model_factory, open_model, open_split, plain, say
from pasm_aug.processes import process_state
from pasm_aug.report import region_sentence, region_shares, stage_seconds, text_table, verdict, write_report
from pasm_aug.results import RoundResult, write_rounds
from pasm_aug.rounds import run_rounds

HERE_ONLY = ("out", "decoded", "command", "device", "workers", "quiet", "preset", "imports")  # change no result


def run(args: argparse.Namespace) -> None:
    """The main job: teacher, PASM, baselines, table, report."""
    args.image_size = default_image_size(args)
    args.out = args.out or Path("runs") / args.data
    baselines = [arm for arm in args.baselines.split(",") if arm and arm != args.augment]
    for arm in (args.augment, *baselines):
        make_erase(arm, None, p=args.p, size=args.mask_size, value=args.value)
    config = {k: plain(v) for k, v in vars(args).items() if k not in HERE_ONLY}
    begun = check_config(args.out, config)
    started = time.perf_counter()
    splits = {name: open_split(args, name) for name in ("train", "val", "test")}
    stages = {"imports": args.imports, "reading the images": time.perf_counter() - started}
    train_split = splits["train"]
    info = about(args, train_split)
    miner = open_model(args.miner, train_split.classes, "--miner") if args.miner else None
    teacher = open_model(args.teacher, train_split.classes, "--teacher") if args.teacher else None
    if begun:
        say(f"going on with the run in {args.out}")
    elif process_state().is_main_process:
        args.out.mkdir(parents=True, exist_ok=True)
        write_json(args.out / "config.json", config)
    say(
        f"{args.data}: {len(train_split):,} training, {len(splits['val']):,} validation, {len(splits['test']):,} test "
        f"images of {args.image_size}×{args.image_size}, {len(train_split.classes)} classes → {args.out}"
    )
    options = {
        "geometry": default_geometry(),
        "p": args.p,
        "size": args.mask_size,
        "value": args.value,
        "alpha": args.alpha,
        "beta": args.beta,
        "student": args.student,
        "epochs": args.epochs,
        "lr": args.lr,
        "batch_size": args.batch_size,
        "precision": args.precision,
        "device": args.device,
        "workers": args.workers,
        "seed": args.seed,
        "progress": not args.quiet,
        "info": info,
        "miner": miner,
        "search": PointSearch(
            args.search,
            objective=args.objective,
            patch=args.mask_size,
            budget=args.budget,
            seed=args.seed,
            device=args.device,
        ),
    }
    arms: dict[str, list[RoundResult]] = {args.augment: []}
    factory = model_factory(args, len(train_split.classes))
    for result in run_rounds(
        factory,
        splits,
        out=args.out,
        teacher=teacher,
        augment=args.augment,
        rounds=args.rounds,
        teacher_training={"epochs": args.teacher_epochs, "lr": args.teacher_lr},
        **options,
    ):
        arms[args.augment].append(result)
        say(_line(result, train_split))
    for arm in baselines:
        arms[arm] = []
        for result in run_rounds(
            factory,
            splits,
            out=args.out / "baselines" / arm,
            teacher=arms[args.augment][0],
            augment=arm,
            rounds=arms[args.augment][-1].round,
            **options,
        ):
            arms[arm].append(result)
            if result.round:
                say(_line(result, train_split))
    if not process_state().is_main_process:
        return
    first, *others = arms.values()
    write_rounds(args.out / "rounds.csv", first + [r for results in others for r in results if r.round])
    finish(args.out, arms, train_split, config, stages)


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


def finish(
    out: Path,
    arms: dict[str, list[RoundResult]],
    train_split: Any,
    config: dict[str, Any],
    stages: dict[str, float],
) -> None:
    """Table, verdict, budget and report of a finished run."""
    stage = stages | stage_seconds(arms)
    started = time.perf_counter()
    page = write_report(out, arms, train_split, config=config, seconds=stage, size=config["mask_size"])
    stage["report"] = time.perf_counter() - started
    print(f"\n{text_table(arms)}\n\n{verdict(arms)}\n")
    for name, seconds in stage.items():
        print(f"  {seconds:7.1f} s  {name}")
    print(f"\nreport: {page}")
    if config["data"] == "synthetic":
        print("next, the same on your own pictures in class folders: pasm-aug run --data folder --root DIR")


def report(args: argparse.Namespace) -> None:
    """Read a finished run folder and write its report again."""
    config = read_json(args.out / "config.json")
    known = argparse.Namespace(
        **(
            config
            | {"quiet": False, "decoded": None, "workers": 0, "root": Path(config["root"]) if config["root"] else None}
        )
    )
    arms = {config["augment"]: _read_rounds(args.out)}
    for folder in sorted((args.out / "baselines").glob("*")):
        arms[folder.name] = [arms[config["augment"]][0], *_read_rounds(folder)]
    if any(r.test is None for results in arms.values() for r in results) or not next(iter(arms.values())):
        raise ValueError(f"{args.out} holds no finished run: go on with the command that began it")
    finish(args.out, arms, open_split(known, "train"), config, {})


def _read_rounds(folder: Path) -> list[RoundResult]:
    files = sorted(folder.glob("round-*/result.json"), key=lambda file: int(file.parent.name.split("-")[1]))
    return [RoundResult.load(file.parent) for file in files]


def _line(result: RoundResult, dataset: Any) -> str:
    """One finished network, as a line of progress."""
    name = "first teacher" if result.round == 0 else f"{AUGMENTS[result.arm]} · round {result.round}"
    line = f"{name}: train {result.train.accuracy:.1%}, validation {result.val.accuracy:.1%}"
    if result.round:
        line += ", better" if result.improved else ", no better"
    positions = Path(result.folder) / "positions.safetensors"
    shares = region_shares(dataset, PositionCache.open(positions)) if positions.exists() else None
    return f"{line}\n  {region_sentence(result.round, shares)}" if shares else line
