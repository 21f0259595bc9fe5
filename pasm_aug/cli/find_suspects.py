"""What ``pasm-aug audit`` does: probabilities by networks of folds, or by a given one, then a ranking in files."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import Subset

from pasm_aug.asm.noise_counts import read_noise_counts
from pasm_aug.asm.out_of_sample import judge_by_folds
from pasm_aug.asm.record import labels_digest
from pasm_aug.cli.networks import open_any_model, trained_size
from pasm_aug.cli.noise import noise_line, noise_record, with_noise, write_noise
from pasm_aug.cli.opening import about, data_options, held, model_factory, say
from pasm_aug.cli.options.fields import keywords_of
from pasm_aug.cli.options.groups import default_image_size
from pasm_aug.cli.options.network import check_classes
from pasm_aug.cli.options.noise import settle_noise
from pasm_aug.cli.recorded import BEFORE, config_of
from pasm_aug.core.errors import UserError
from pasm_aug.core.files import read_json, write_atomic, write_csv, write_json
from pasm_aug.core.image_content import dataset_digest
from pasm_aug.core.options import replaced
from pasm_aug.core.processes import process_state
from pasm_aug.core.progress import progress_bar
from pasm_aug.core.recorded_options import refuse
from pasm_aug.data.joined import JoinedSplits, open_splits
from pasm_aug.data.mapped_labels import MappedLabels
from pasm_aug.data.noisy_labels import NoisyLabels
from pasm_aug.data.origin import labels_of
from pasm_aug.report.suspect_sheet import MOST, suspect_sheet
from pasm_aug.report.suspects import Findings
from pasm_aug.rounds.arms import make_geometry
from pasm_aug.training.evaluation import logits_of
from pasm_aug.training.losses import distillation_loss
from pasm_aug.training.options import LossOptions, TrainingOptions

LINES = 5  # of the most suspicious images, on the terminal
AT_ONCE = 2048  # images between two steps of a progress bar
SHOWN_ONLY = ("top", "partitions")  # options that change what is shown, not what is found


def audit_into_folder(args: argparse.Namespace) -> None:
    """Rank the labels, and write ``suspects.csv``, ``suspects.png`` and what it takes to go on into ``--out``."""
    check_audit(args)
    images = open_splits(args.data, args.root, args.split, size=args.image_size, limit=args.limit, **data_options(args))
    given: Any = images if len(images.parts) > 1 else next(iter(images.parts.values()))
    noisy = with_noise(args, args.split, given)  # refused before the images are read, as the partition is
    counts = None if args.partitions is None else read_noise_counts(args.partitions, noisy)
    if args.partitions is not None and counts is None:
        say(f"{args.partitions} does not tell how often a label was called noise")
    dataset = with_noise(args, args.split, held(args, given, args.split))
    record(args, dataset)
    if noise := noise_line(args, dataset):
        say(noise)
    found = judged(args, images, dataset, counts)
    if process_state().is_main_process:
        write_noise(args.out, dataset)
        write_csv(args.out / "suspects.csv", found.rows())
        top = found.order[: args.top].tolist()
        sheet = suspect_sheet((images.image(int(found.place[one])) for one in top), found.captions(len(top)))
        write_atomic(args.out / "suspects.png", sheet)
    say(f"\n{found.table()}\n\nmost suspicious of {len(found.labels):,}:\n{found.top(min(LINES, args.top))}\n")
    for remark in filter(None, (found.measured(), found.doubt())):
        say(f"{remark}\n")
    say(
        f"→ {args.out}/suspects.csv and suspects.png. What to do next: look at the sheet; correct what is wrong, or "
        "keep only its rows in suspects.csv and leave these images out with --exclude; audit again into another --out. "
        "Leave out no image unseen: rare and hard ones are suspects too."
    )


def check_audit(args: argparse.Namespace) -> None:
    """Fill in the size of the images and the folder.

    Raises:
        ValueError: options that cannot be.
    """
    settle_noise(args)
    check_classes(args, "network")
    for name in ("noise", "partitions"):
        if getattr(args, name) is not None and args.split != "train":
            raise UserError(f"--{name} is of training labels: --split must be train with it, got {args.split}")
    if args.top > MOST:
        raise UserError(f"--top must be at most {MOST:,} images, got {args.top:,}")
    if args.network is None and args.warmup > args.epochs:
        raise UserError(f"--warmup must be at most the {args.epochs} epochs of a training, got {args.warmup:g}")
    args.image_size = trained_size(args, "network") if args.network else default_image_size(args)
    args.out = args.out or Path("runs") / f"audit-{args.data}"


def record(args: argparse.Namespace, dataset: Any) -> None:
    """Write what the probabilities depend on into the folder, or compare it with what is there.

    Raises:
        ValueError: the folder holds an audit of other options or labels, or something else.
    """
    options = {name: value for name, value in config_of(args).items() if name not in SHOWN_ONLY}
    options |= {"images": len(dataset), "labels": labels_digest(labels_of(dataset)), "digest": dataset_digest(dataset)}
    file = args.out / "audit.json"
    if file.exists():
        other = f"--out {args.out} holds an audit of other options or labels ({{differing}}): choose another --out"
        refuse(BEFORE | read_json(file), options, other)
        say(f"going on with the audit in {args.out}")
    elif args.out.exists() and any(args.out.iterdir()):
        raise UserError(f"--out must be a new folder or an existing audit's, got {args.out}, which holds other files")
    process_state().wait_for_everyone()  # until all have looked at what is there
    if process_state().is_main_process:
        args.out.mkdir(parents=True, exist_ok=True)
        write_json(file, options)


def judged(args: argparse.Namespace, images: JoinedSplits, dataset: Any, counts: np.ndarray | None) -> Findings:
    """What the network, or those of the folds, say of the images; of classes that a network does not know, nothing."""
    if args.network is None:
        about(args, dataset)  # what is wrong with the network shows now
        say(
            f"{len(dataset):,} images of {len(dataset.classes)} classes, each to be judged by a network that has not "
            f"seen it, and by the others: {args.folds} trainings of {args.epochs} epochs"
        )
        labels, classes, place = labels_of(dataset), list(dataset.classes), np.arange(len(dataset))
        found = judge_by_folds(
            model_factory(args, len(classes)),
            dataset,
            folds=args.folds,
            seed=args.seed,
            groups=persons(images),
            out=args.out / "folds",
            augment=make_geometry(args.geometry),
            loss=functools.partial(distillation_loss, **keywords_of(args, LossOptions)),
            options=replaced(TrainingOptions(), **keywords_of(args, TrainingOptions)),
            workers=args.workers,
            progress=not args.quiet,
        )
        probabilities, together = found.out_of_sample, found.together
    else:
        model, info = open_any_model(args, "network")
        known = MappedLabels(dataset, info["classes"], channels=info.get("channels"))
        say(f"{memory_line(args, info, images, dataset)}. Without --network each image has one that has not seen it.")
        if known.dropped:
            gone = ", ".join(f"{count:,} {name}" for name, count in known.dropped.items())
            say(f"left out, for the network does not know their class: {gone}")
        labels, classes, place = known.labels, list(info["classes"]), known.indices
        probabilities, together = in_sample(model, known, args), None
    paths, names = relative(images.paths, args.root), np.array(dataset.classes)
    return Findings(
        probabilities,
        labels,
        classes,
        place=place,
        split=images.split_of[place].tolist(),
        index=images.index_of[place].tolist(),
        path=[paths[one] if paths else "" for one in place],
        together=together,
        noise_epochs=None if counts is None else counts[place],
        truth=names[dataset.true_labels[place]].tolist() if isinstance(dataset, NoisyLabels) else None,
    )


def memory_line(args: argparse.Namespace, info: Mapping[str, Any], images: JoinedSplits, dataset: Any) -> str:
    """What a network may remember of these labels, by what its ``model.json`` says of the data."""
    trained, noise = info.get("data", {}), noise_record(args, dataset)
    digest = trained.get("digest")
    true = digest in map(dataset_digest, images.parts.values())
    same = trained.get("flipped") == noise.get("flipped")  # a digest looks at few labels
    more = "longer, the more wrong labels it remembers and hides (agreed, below, near 100%: it tells nothing)"
    if same and (digest == dataset_digest(dataset) or (true and not noise)):
        return f"{args.network} was trained on these very images: the {more}"
    if true and noise and not trained.get("flipped"):
        return f"{args.network} was trained on these very images with their true labels: it finds more than it could"
    return f"If {args.network} was trained on these images, the {more}"


def in_sample(model: nn.Module, dataset: Any, args: argparse.Namespace) -> np.ndarray:
    """(N, K) float32 of a network as it is."""
    starts = range(0, len(dataset), AT_ONCE)
    quiet = args.quiet or not process_state().is_main_process
    logits = [
        logits_of(model, Subset(dataset, range(at, min(at + AT_ONCE, len(dataset)))), device=args.device,
                  workers=args.workers)
        for at in progress_bar(starts, name="judging", unit=f" × {AT_ONCE:,} images", shown=not quiet)
    ]  # fmt: skip
    return torch.cat(logits).double().softmax(1).float().numpy()


def persons(images: JoinedSplits) -> list[Any] | None:
    """(N,) who is on each image, an unknown one a person of its own; ``None`` where nobody is known."""
    return images.persons and [name or number for number, name in enumerate(images.persons)]


def relative(paths: list[Path] | None, root: Path | None) -> list[str]:
    """The files below ``root``, with ``/``; empty where they are not known."""
    return [
        (file.relative_to(root) if root is not None and file.is_relative_to(root) else file).as_posix()
        for file in paths or ()
    ]
