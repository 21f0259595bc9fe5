"""What the commands do: open the data, call the library, print what came out."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from pasm_aug import training
from pasm_aug.arms import AUGMENTS, default_geometry, make_erase
from pasm_aug.attack.search import PointSearch
from pasm_aug.cache import PositionCache
from pasm_aug.data import open_dataset
from pasm_aug.files import read_json, write_json
from pasm_aug.identity import dataset_digest
from pasm_aug.loading import InMemory
from pasm_aug.mining import mine_positions
from pasm_aug.models import IMAGENET_MEAN, IMAGENET_STD, build_model, load_model, save_model
from pasm_aug.processes import process_state
from pasm_aug.report import region_sentence, region_shares, text_table, verdict, write_report
from pasm_aug.results import RoundResult, write_csv, write_rounds
from pasm_aug.rounds import run_rounds
from pasm_aug.training import Metrics
from pasm_aug.transforms import PairedView

IN_MEMORY = 2 << 30  # bytes of decoded pictures above which they are read from the disk again and again
HERE_ONLY = ("out", "command", "device", "workers", "quiet", "preset")  # options that change no result


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


def _factory(args: argparse.Namespace, num_classes: int) -> Callable[[], nn.Module]:
    return lambda: build_model(args.model, num_classes, weights=args.weights, seed=args.seed)


def about(args: argparse.Namespace, dataset: Any) -> dict[str, Any]:
    """What ``model.json`` says of a network trained here."""
    return {
        "architecture": args.model,
        "classes": list(dataset.classes),
        "mean": list(IMAGENET_MEAN),
        "std": list(IMAGENET_STD),
        "image_size": args.image_size,
        "weights": args.weights,
        "data": {"name": args.data, "length": len(dataset), "digest": dataset_digest(dataset)},
    }


def _line(result: RoundResult, dataset: Any) -> str:
    """One finished network, as a line of progress."""
    name = "first teacher" if result.round == 0 else f"{AUGMENTS[result.arm]} · round {result.round}"
    line = f"{name}: train {result.train.accuracy:.1%}, validation {result.val.accuracy:.1%}"
    if result.round:
        line += ", better" if result.improved else ", no better"
    positions = Path(result.folder) / "positions.safetensors"
    shares = region_shares(dataset, PositionCache.open(positions)) if positions.exists() else None
    return f"{line}\n  {region_sentence(result.round, shares)}" if shares else line


def say(text: str = "") -> None:
    """Print on the first process only."""
    if process_state().is_main_process:
        print(text, flush=True)


def open_split(args: argparse.Namespace, split: str) -> Any:
    """A split with its deterministic head, decoded into memory when it fits."""
    dataset = open_dataset(
        args.data,
        args.root,
        split,
        size=args.image_size,
        limit=args.limit,
    )
    if len(dataset) * 3 * args.image_size**2 > IN_MEMORY:
        return dataset
    return InMemory(dataset, name=f"{split} images", progress=not args.quiet and process_state().is_main_process)


def run(args: argparse.Namespace) -> None:
    """The main job: teacher, PASM, baselines, table, report."""
    args.image_size = args.image_size or (48 if args.model == "small" else 224)
    args.out = args.out or Path("runs") / args.data
    baselines = [arm for arm in args.baselines.split(",") if arm and arm != args.augment]
    for arm in baselines:
        make_erase(arm, None)
    begin(args.out, {k: _plain(v) for k, v in vars(args).items() if k not in HERE_ONLY})
    clock, stage = time.perf_counter(), {}
    splits = {name: open_split(args, name) for name in ("train", "val", "test")}
    stage["reading the images"] = time.perf_counter() - clock
    train_split = splits["train"]
    say(
        f"{args.data}: {len(train_split):,} training, {len(splits['val']):,} validation, {len(splits['test']):,} test "
        f"images of {args.image_size}×{args.image_size}, {len(train_split.classes)} classes → {args.out}"
    )
    options = {
        "geometry": default_geometry(args.image_size),
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
        "info": about(args, train_split),
    }
    arms: dict[str, list[RoundResult]] = {args.augment: []}
    factory = _factory(args, len(train_split.classes))
    for result in run_rounds(
        factory,
        splits,
        out=args.out,
        teacher=args.teacher,
        miner=load_model(args.miner) if args.miner else None,
        search=PointSearch(args.search, seed=args.seed, device=args.device),
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
            teacher=args.out / "round-0",
            augment=arm,
            rounds=arms[args.augment][-1].round,
            **options,
        ):
            arms[arm].append(result)
            if result.round:
                say(_line(result, train_split))
    for arm, results in arms.items():
        for r in results:
            for kind, seconds in r.seconds.items():
                name = "first teacher" if r.arm == "teacher" else AUGMENTS[arm]
                if r.arm != "teacher" or arm == args.augment:
                    label = f"{name}: {'mining' if kind == 'mine' else 'training'}"
                    stage[label] = stage.get(label, 0) + seconds
    if not process_state().is_main_process:
        return
    first, *others = arms.values()
    write_rounds(args.out / "rounds.csv", first + [r for results in others for r in results if r.round])
    finish(args.out, arms, train_split, stage, args.mask_size)


def begin(out: Path, config: dict[str, Any]) -> None:
    """Write ``config.json``, or compare it with that of the begun run in ``out``."""
    file = out / "config.json"
    if file.exists():
        old = read_json(file)
        differing = [
            f"{k} was {old.get(k)!r}, now {config.get(k)!r}"
            for k in sorted(old | config)
            if old.get(k) != config.get(k)
        ]
        if differing:
            raise ValueError(
                f"--out {out} holds a run with other options ({'; '.join(differing)}): choose another --out"
            )
        say(f"resuming the run in {out}")
    elif process_state().is_main_process:
        out.mkdir(parents=True, exist_ok=True)
        write_json(file, config)


def finish(out: Path, arms: dict[str, list[RoundResult]], train_split: Any, stage: dict[str, float], size: Any) -> None:
    """Table, verdict, budget and report of a finished run."""
    config = read_json(out / "config.json")
    started = time.perf_counter()
    page = write_report(out, arms, train_split, config=config, seconds=stage, size=size)
    stage["report"] = time.perf_counter() - started
    print(f"\n{text_table(arms)}\n\n{verdict(arms)}\n")
    for name, seconds in stage.items():
        print(f"  {seconds:7.1f} s  {name}")
    print(f"\nreport: {page}")


def report(args: argparse.Namespace) -> None:
    """Read a finished run folder and write its report again."""
    config = read_json(args.out / "config.json")
    known = argparse.Namespace(**(config | {"quiet": False, "root": Path(config["root"]) if config["root"] else None}))
    arms = {config["augment"]: _read_rounds(args.out)}
    for folder in sorted((args.out / "baselines").glob("*")):
        arms[folder.name] = [arms[config["augment"]][0], *_read_rounds(folder)]
    if any(r.test is None for results in arms.values() for r in results) or not next(iter(arms.values())):
        raise ValueError(f"{args.out} holds no finished run: go on with the command that began it")
    finish(args.out, arms, open_split(known, "train"), {}, config["mask_size"])


def _read_rounds(folder: Path) -> list[RoundResult]:
    files = sorted(folder.glob("round-*/result.json"), key=lambda file: int(file.parent.name.split("-")[1]))
    return [RoundResult.load(file.parent) for file in files]


def train(args: argparse.Namespace) -> None:
    """Train one network into a folder."""
    args.image_size = args.image_size or (48 if args.model == "small" else 224)
    if args.augment == "point" and args.positions is None:
        raise ValueError("--augment point needs --positions FILE, which `pasm-aug mine` writes")
    train_split, val = open_split(args, "train"), open_split(args, "val")
    erase = make_erase(args.augment, args.positions, p=args.p, size=args.mask_size, value=args.value)
    args.out.mkdir(parents=True, exist_ok=True)
    trained = training.train(
        _factory(args, len(train_split.classes))(),
        train_split,
        val=val,
        augment=PairedView(erase, default_geometry(args.image_size)),
        teacher=load_model(args.teacher) if args.teacher else None,
        loss=lambda s, t, y: _eq4(s, t, y, args),
        epochs=args.epochs,
        lr=args.lr,
        batch_size=args.batch_size,
        seed=args.seed,
        device=args.device,
        precision=args.precision,
        workers=args.workers,
        checkpoint=args.out / "training.safetensors",
        progress=not args.quiet,
    )
    scores = {name: training.evaluate(trained.model, split) for name, split in (("train", train_split), ("val", val))}
    if process_state().is_main_process:
        save_model(
            args.out, trained.model, about(args, train_split) | {"seed": args.seed, "parent": _plain(args.teacher)}
        )
        write_csv(args.out / "metrics.csv", trained.history)
        (args.out / "training.safetensors").unlink(missing_ok=True)
    say(f"train {scores['train'].accuracy:.1%}  val {scores['val'].accuracy:.1%}  → {args.out}")


def _eq4(student: Any, teacher: Any, target: Any, args: argparse.Namespace) -> Any:
    from pasm_aug.functional import distillation_loss

    return distillation_loss(student, teacher, target, alpha=args.alpha, beta=args.beta)


def mine(args: argparse.Namespace) -> None:
    """Search a split into a cache file."""
    teacher = load_model(args.teacher)
    args.image_size = args.image_size or read_json(args.teacher / "model.json")["image_size"]
    dataset = open_split(args, args.split)
    search = PointSearch(
        args.search, points=args.points, seed=args.seed, batch_size=args.query_batch, device=args.device
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
    """Score a network and print accuracy, per-class recall and the confusion matrix."""
    model, info = load_model(args.checkpoint), read_json(args.checkpoint / "model.json")
    args.image_size = args.image_size or info["image_size"]
    dataset = open_split(args, args.split)
    if list(dataset.classes) != info["classes"]:
        raise ValueError(
            f"--data {args.data} has the classes {', '.join(dataset.classes)}; the network was trained on "
            f"{', '.join(info['classes'])}"
        )
    scores = training.evaluate(model, dataset, device=args.device, workers=args.workers)
    if args.json and process_state().is_main_process:
        write_json(args.json, scores.asdict())
    say(f"{args.data} {args.split}: {scores.accuracy:.2%} of {scores.count:,} images right, loss {scores.loss:.3f}\n")
    say(confusion_text(scores, dataset.classes))


def confusion_text(scores: Metrics, classes: list[str]) -> str:
    """Confusion matrix (rows: true classes, counts) with recall per class, as aligned text."""
    wide = max(map(len, classes))
    lines = [" " * wide + "".join(f"{name[:7]:>9}" for name in classes) + "   recall"]
    for name, row, recall in zip(classes, scores.confusion, scores.per_class, strict=True):
        lines.append(f"{name:>{wide}}" + "".join(f"{count:9d}" for count in row) + f"{recall:9.1%}")
    return "\n".join(lines)
