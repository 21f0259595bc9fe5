"""``pasm-aug check``: look at a data set before anything is trained on it."""

from __future__ import annotations

import argparse
from pathlib import Path

from pasm_aug.cli.options.groups import DATA
from pasm_aug.cli.options.settle import check_place
from pasm_aug.core.errors import UserError
from pasm_aug.core.parsers import path


def add_check(parser: argparse.ArgumentParser) -> None:
    """The options of ``pasm-aug check``."""
    parser.add_argument(
        "--data",
        choices=tuple(DATA),
        default="folder",
        help="; ".join(f"{name}: {text}" for name, text in DATA.items()),
    )
    parser.add_argument("--root", metavar="DIR", type=path, help="where the data set lies (not for synthetic)")
    parser.add_argument(
        "--out", metavar="DIR", type=path, help="for check.json and contact-sheet.png (default: runs/check-DATA)"
    )
    parser.add_argument("--no-read", action="store_true", help="count only, read no image")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def check(args: argparse.Namespace) -> None:
    """Open every split, read every image, print what was found and write it down with a contact sheet."""
    from pasm_aug.cli.opening import data_options, say  # these load torch: not for --help
    from pasm_aug.core.files import save_image, write_json
    from pasm_aug.data.inspection import check_data, contact_sheet

    out = args.out or Path("runs") / f"check-{args.data}"
    check_place(args, out)
    found, splits = check_data(
        args.data, args.root, read=not args.no_read, progress=not args.quiet, **data_options(args)
    )
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "check.json", found.asdict())
    save_image(out / "contact-sheet.png", contact_sheet(splits))
    say(f"{args.data}{f' in {args.root}' if args.root else ''}\n\n{found.text()}\n\n→ {out}/contact-sheet.png")
    if found.broken:
        raise UserError("; ".join(f"{split}: {why}" for split, why in found.broken.items()))
    if not found.sound:
        bad = sum(len(split.unreadable) for split in found.splits.values())
        raise UserError(f"{bad:,} images of {args.data} cannot be read, see above and {out / 'check.json'}")
