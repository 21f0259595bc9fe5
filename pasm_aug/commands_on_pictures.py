"""The commands that look at pictures: check a data set, predict photographs."""

from __future__ import annotations

import argparse
from pathlib import Path

from tqdm import tqdm

from pasm_aug.align import FaceAligner
from pasm_aug.check import check_data, contact_sheet
from pasm_aug.data.files import PictureError
from pasm_aug.files import save_picture, write_atomic, write_json
from pasm_aug.opening import data_options, open_any_model, say
from pasm_aug.predict import Prediction, annotated, in_words, pictures_of, table
from pasm_aug.predict import predict as predict_pictures
from pasm_aug.processes import process_state


def check(args: argparse.Namespace) -> None:
    """Open every split, read every picture, print what was found and write it down with a contact sheet."""
    found, splits = check_data(
        args.data, args.root, read=not args.no_read, progress=not args.quiet, **data_options(args)
    )
    out = args.out or Path("runs") / f"check-{args.data}"
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "check.json", found.asdict())
    save_picture(out / "contact-sheet.png", contact_sheet(splits))
    say(f"{args.data}{f' in {args.root}' if args.root else ''}\n\n{found.text()}\n\n→ {out}/contact-sheet.png")
    if found.broken:
        raise ValueError("; ".join(f"{split}: {why}" for split, why in found.broken.items()))
    if not found.sound:
        bad = sum(len(split.unreadable) for split in found.splits.values())
        raise ValueError(f"{bad:,} pictures of {args.data} cannot be read, see above and {out / 'check.json'}")


def predict(args: argparse.Namespace) -> None:
    """Find, align and classify the faces of photographs; print, and with --out write a table and marked pictures."""
    files = pictures_of(args.pictures)
    if args.out and args.pictures.is_dir() and args.out.resolve().is_relative_to(args.pictures.resolve()):
        raise ValueError(f"--out must lie outside of {args.pictures}, whose pictures are read, got {args.out}")
    model, info = open_any_model(args.checkpoint)
    size, classes = int(info["image_size"]), list(info["classes"])
    device = process_state(args.device).device
    aligner = None if args.no_align else FaceAligner(max(size, 112), select=args.select, device=args.device)
    root = args.pictures if args.pictures.is_dir() else args.pictures.parent
    results: list[Prediction] = []
    spoilt = 0
    bar = tqdm(files, desc="predicting", unit=" images", disable=args.quiet or len(files) < 10, leave=False)
    for one in predict_pictures(
        model,
        bar,
        image_size=size,
        channels=info.get("channels", 3),
        aligner=aligner,
        no_face=args.no_face,
        device=device,
    ):
        if isinstance(one, PictureError):
            spoilt += 1
            say(f"not read: {one}")
            continue
        results.append(one)
        face = "" if one.box or args.no_align else " (no face found: the whole picture)"
        say(f"{one.file.relative_to(root)}: {in_words(one.probabilities, classes)}{face}")
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        write_atomic(args.out / "predictions.csv", table(results, classes, root))
        faces: dict[Path, list[Prediction]] = {}
        for one in results:
            faces.setdefault(one.file, []).append(one)
        for file, own in faces.items():
            target = args.out / f"{file.relative_to(root)}.marked.png"  # a.jpg and a.png keep a picture each
            target.parent.mkdir(parents=True, exist_ok=True)
            save_picture(target, annotated(file, own, classes))
        say(f"→ {args.out}/predictions.csv")
    if not results:
        raise ValueError(f"no face in {args.pictures} was classified: {spoilt:,} of {len(files):,} pictures unreadable")
