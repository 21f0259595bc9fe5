"""``pasm-aug evaluate``: score a trained network on a split."""

from __future__ import annotations

import argparse
import functools
from typing import TYPE_CHECKING, Any

from pasm_aug.cli.options.groups import add_data, add_machine, add_subset
from pasm_aug.cli.options.network import add_network
from pasm_aug.core.parsers import path

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from pasm_aug.training.metrics import Metrics
    from pasm_aug.training.occlusion_metrics import OcclusionMetrics

FILLS = ("black", "grey", "white", "mean", "random")  # the evaluation's, which would load torch


def add_evaluate(parser: argparse.ArgumentParser) -> None:
    """The options of ``pasm-aug evaluate``."""
    add_data(parser, split="test")
    group = parser.add_argument_group("evaluation")
    add_network(group, "--checkpoint", required=True)
    add_subset(group)
    group.add_argument(
        "--no-overlap",
        action="store_true",
        help="do not look for images that stand in the training split too (it has to be read for that)",
    )
    group.add_argument("--json", metavar="FILE", type=path, help="write the scores there as well")
    group.add_argument("--out", metavar="DIR", type=path, help="write scores.json and confusion.png there as well")
    group = parser.add_argument_group("occlusion")
    group.add_argument(
        "--occlusion",
        action="store_true",
        help="score it also with a part of every image hidden: squares of 7, 13 and 19 of 48 pixels, each at 6 × 6 "
        "places (mean: over the places; worst: only what is right at every one of them counts), and the rows of the "
        "eyes and of the mouth; with two fills 219 times the work of scoring once; with --out also occlusion.csv, "
        "occlusion.png and occlusion_classes.png",
    )
    group.add_argument(
        "--occlusion-fills",
        metavar="F,…",
        type=fills,
        default="black,mean",
        help="what the squares are filled with, each in turn: black, grey, white, mean (the image's own mean colour), "
        "random (noise, the same at every call with one --seed)",
    )
    add_machine(parser)


def fills(text: str) -> list[str]:
    """``black,mean`` → its words."""
    found = [word.strip() for word in text.split(",")]
    for word in found:
        if word not in FILLS:
            raise argparse.ArgumentTypeError(f"wanted some of {', '.join(FILLS)}, with commas between, got {text!r}")
    return found


def evaluate(args: argparse.Namespace) -> None:
    """Score a network on data whose classes it shares by name; with and without images that it was trained on."""
    import numpy as np
    from torch.utils.data import Subset

    from pasm_aug.cli.networks import open_any_model, trained_size  # these load torch: not for --help
    from pasm_aug.cli.opening import open_split, say
    from pasm_aug.core.files import write_atomic, write_csv, write_json
    from pasm_aug.core.processes import process_state
    from pasm_aug.data.mapped_labels import MappedLabels
    from pasm_aug.report.figures import confusion_figure
    from pasm_aug.report.occlusion_figures import class_occlusion_figure, occlusion_figure
    from pasm_aug.training import evaluation

    args.image_size = trained_size(args, "checkpoint")
    model, info = open_any_model(args, "checkpoint")
    known = MappedLabels(open_split(args, args.split), info["classes"], channels=info.get("channels"))
    score = functools.partial(evaluation.evaluate, model, device=args.device, workers=args.workers)
    scores = score(known)
    say(f"{args.data} {args.subset or args.split}: {summary(scores)}")
    if known.dropped:
        gone = ", ".join(f"{count:,} {name}" for name, count in known.dropped.items())
        say(f"left out, for the network does not know their class: {gone}")
    results: dict[str, Any] = scores.asdict() | {"mean_per_class": scores.mean_per_class, "left_out": known.dropped}
    if args.split in ("val", "test") and args.data != "synthetic" and not args.no_overlap:
        both = np.isin(known.indices, seen_in_training(args))
        without = evaluation.less(scores, score(Subset(known, np.flatnonzero(both)))) if both.any() else scores  # type: ignore[arg-type]
        results["without_overlap"] = without and without.asdict() | {"mean_per_class": without.mean_per_class}
        if both.any():
            rest = "nothing" if without is None else summary(without)
            say(f"{int(both.sum()):,} of them also stand in {args.data}'s training split; without these: {rest}")
    say(f"\n{confusion_text(scores, known.classes)}")
    hidden = occlusion_of(model, known, args) if args.occlusion else None
    if hidden:
        results["occlusion"] = hidden.asdict()
        say(f"\n{occlusion_text(hidden)}")
    if process_state().is_main_process:
        if args.json:
            args.json.parent.mkdir(parents=True, exist_ok=True)
            write_json(args.json, results)
        if args.out:
            args.out.mkdir(parents=True, exist_ok=True)
            write_json(args.out / "scores.json", results)
            figure = confusion_figure({f"{args.data} {args.subset or args.split}": scores.confusion}, known.classes)
            write_atomic(args.out / "confusion.png", figure)
            if hidden:
                write_csv(args.out / "occlusion.csv", hidden.rows())
                write_atomic(args.out / "occlusion.png", occlusion_figure(hidden, known.classes))
                write_atomic(args.out / "occlusion_classes.png", class_occlusion_figure(hidden, known.classes))
            say(f"\n→ {args.out}")


def occlusion_of(model: nn.Module, dataset: Any, args: argparse.Namespace) -> OcclusionMetrics:
    """The scores with a part of every image hidden."""
    from pasm_aug.training.occlusion import evaluate_occlusion

    options = {"device": args.device, "workers": args.workers, "seed": args.seed, "progress": not args.quiet}
    return evaluate_occlusion(model, dataset, fills=args.occlusion_fills, **options)


def seen_in_training(args: argparse.Namespace) -> np.ndarray:
    """:func:`~pasm_aug.cli.opening.also_in_training`; where training cannot be opened, none, and a word about it."""
    import numpy as np

    from pasm_aug.cli.opening import also_in_training, say

    try:
        return also_in_training(args)
    except (FileNotFoundError, ValueError) as error:
        say(f"not compared with the training split, which cannot be opened: {error}")
        return np.zeros(0, dtype=np.int64)


def summary(scores: Metrics) -> str:
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


def occlusion_text(hidden: OcclusionMetrics) -> str:
    """Accuracy under every square, mean over its places and at all of them, and under the bands, as aligned text."""
    table = [("square", "fill", "mean", "worst")]
    table += [(f"{s.side} px", s.fill, f"{s.mean:.1%}", f"{s.worst:.1%}") for s in hidden.squares]
    bands = [f"{name} (rows {b.top}…{b.bottom - 1}) {b.accuracy:.1%}" for name, b in hidden.bands.items()]
    return "\n".join(
        [
            f"right with a square on the image; without {hidden.clean:.1%}",
            *("  ".join(f"{cell:>8}" for cell in row) for row in table),
            f"right with the rows blacked out of: {', '.join(bands)}",
        ]
    )
