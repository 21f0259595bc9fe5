"""``pasm-aug check``: look at a data set before anything is trained on it."""

from __future__ import annotations

import argparse
from pathlib import Path

from pasm_aug.cli.opening import data_options, say
from pasm_aug.core.files import save_image, write_json
from pasm_aug.data.inspection import check_data, contact_sheet


def check(args: argparse.Namespace) -> None:
    """Open every split, read every image, print what was found and write it down with a contact sheet."""
    found, splits = check_data(
        args.data, args.root, read=not args.no_read, progress=not args.quiet, **data_options(args)
    )
    out = args.out or Path("runs") / f"check-{args.data}"
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "check.json", found.asdict())
    save_image(out / "contact-sheet.png", contact_sheet(splits))
    say(f"{args.data}{f' in {args.root}' if args.root else ''}\n\n{found.text()}\n\n→ {out}/contact-sheet.png")
    if found.broken:
        raise ValueError("; ".join(f"{split}: {why}" for split, why in found.broken.items()))
    if not found.sound:
        bad = sum(len(split.unreadable) for split in found.splits.values())
        raise ValueError(f"{bad:,} images of {args.data} cannot be read, see above and {out / 'check.json'}")
