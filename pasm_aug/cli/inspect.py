"""``pasm-aug inspect``: what a file of mined points holds."""

from __future__ import annotations

import argparse

from pasm_aug.core.parsers import path


def add_inspect(parser: argparse.ArgumentParser) -> None:
    """The options of ``pasm-aug inspect``."""
    parser.add_argument("positions", metavar="FILE", type=path, help="cache of `pasm-aug mine`, or of a run's round")
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=path,
        help="write drop.png, probabilities.png (before and after), positions.png (a heat map) and colours.png there",
    )
    parser.add_argument("--json", action="store_true", help="print the same as JSON, for other programs")


def inspect(args: argparse.Namespace) -> None:
    """Print which images, which teacher and which search the points are of, how far the probabilities fell, and where.

    Raises:
        ValueError: the file is missing, damaged or no position cache, by name.
    """
    import json

    from pasm_aug.cache.position_cache import PositionCache
    from pasm_aug.cli.opening import say  # loads torch: not for --help
    from pasm_aug.core.files import write_atomic
    from pasm_aug.core.processes import process_state
    from pasm_aug.report.mined_figures import point_figures
    from pasm_aug.report.mined_points import as_text, describe

    cache = PositionCache.open(args.positions)
    found = describe(cache)
    say(json.dumps(found, indent=2) if args.json else as_text(cache, found))
    if args.out and process_state().is_main_process:
        args.out.mkdir(parents=True, exist_ok=True)
        figures = point_figures(cache)
        for name, data in figures.items():
            write_atomic(args.out / name, data)
        if not args.json:
            say(f"\n→ {args.out}: {', '.join(figures) or 'nothing to draw'}")
