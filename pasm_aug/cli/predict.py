"""``pasm-aug predict``: what a network sees in photographs."""

from __future__ import annotations

import argparse
from pathlib import Path

from pasm_aug.cli.options.network import add_network
from pasm_aug.core.errors import UserError
from pasm_aug.core.parsers import at_least, path


def add_predict(parser: argparse.ArgumentParser) -> None:
    """The options of ``pasm-aug predict``."""
    parser.add_argument("images", metavar="IMAGE|DIR", type=path, help="an image, or a folder of them")
    group = parser.add_argument_group("network")
    add_network(group, "--checkpoint", required=True)
    group.add_argument(
        "--image-size",
        metavar="S",
        type=at_least(8, int),
        help="side of the images that it sees (default: as it was trained; of a FILE 48 for the small network, else "
        "224)",
    )
    group = parser.add_argument_group("photographs")
    group.add_argument("--out", metavar="DIR", type=path, help="write predictions.csv and marked images there")
    group.add_argument(
        "--no-align", action="store_true", help="the images are faces already, as the network was trained on"
    )
    group.add_argument("--select", choices=("largest", "center", "all"), default="all", help="which faces of an image")
    group.add_argument(
        "--no-face", choices=("keep", "skip"), default="keep", help="classify an image without a face whole, or not"
    )
    group.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto: a GPU if there is one")
    group.add_argument("--quiet", action="store_true", help="no progress bar")


def predict(args: argparse.Namespace) -> None:
    """Find, align and classify the faces of photographs; print, and with --out write a table and marked images."""
    from pasm_aug.cli.environment import is_read
    from pasm_aug.cli.networks import open_any_model, trained_size  # these load torch: not for --help
    from pasm_aug.cli.opening import say
    from pasm_aug.core.files import beside, save_image, write_atomic
    from pasm_aug.core.processes import process_state
    from pasm_aug.core.progress import progress_bar
    from pasm_aug.data.align.aligner import FaceAligner
    from pasm_aug.data.files import ImageError, find_images
    from pasm_aug.training.prediction import Prediction, annotated, images_of, likeliest, table
    from pasm_aug.training.prediction import predict as predict_images

    files = images_of(args.images)
    if args.out and args.images.is_dir() and args.out.resolve().is_relative_to(args.images.resolve()):
        raise UserError(f"--out must lie outside of {args.images}, whose images are read, got {args.out}")
    model, info = open_any_model(args, "checkpoint")
    size, classes = trained_size(args, "checkpoint"), list(info["classes"])
    device = process_state(args.device).device
    aligner = None if args.no_align else FaceAligner(max(size, 112), select=args.select, device=args.device)
    root = args.images if args.images.is_dir() else args.images.parent
    results: list[Prediction] = []
    corrupt = 0
    bar = progress_bar(files, name="predicting", shown=not args.quiet and len(files) >= 10)
    for one in predict_images(
        model,
        bar,
        image_size=size,
        channels=info.get("channels", 3),
        aligner=aligner,
        no_face=args.no_face,
        device=device,
    ):
        if isinstance(one, ImageError):
            corrupt += 1
            say(f"left out: {one}")
            continue
        results.append(one)
        face = "" if one.box or args.no_align else " (no face found: the whole image)"
        say(f"{one.file.relative_to(root)}: {likeliest(one.probabilities, classes)}{face}")
        if not (args.out or is_read()):
            return
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        write_atomic(args.out / "predictions.csv", table(results, classes, root))
        faces: dict[Path, list[Prediction]] = {}
        for one in results:
            faces.setdefault(one.file, []).append(one)
        for file, own in faces.items():
            target = beside(args.out / file.relative_to(root), ".marked.png")  # a.jpg and a.png keep an image each
            target.parent.mkdir(parents=True, exist_ok=True)
            save_image(target, annotated(file, own, classes))
        say(f"→ {args.out}/predictions.csv")
    if args.images.is_dir():
        for reason, count in find_images(args.images).left_out.items():
            say(f"left out, {reason}: {count:,}")
    if not results:
        raise UserError(f"no face in {args.images} was classified: {corrupt:,} of {len(files):,} images unreadable")
