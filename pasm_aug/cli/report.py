"""``pasm-aug report``: a run's table and page again, or several runs side by side."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pasm_aug.core.files import write_atomic
from pasm_aug.core.parsers import path

if TYPE_CHECKING:  # --help reads the options without loading torch
    from pasm_aug.report.run_folder import Run


def add_report(parser: argparse.ArgumentParser) -> None:
    """The options of ``pasm-aug report``."""
    parser.add_argument(
        "runs", metavar="DIR", type=path, nargs="+", help="a run folder; several are compared side by side"
    )
    parser.add_argument(
        "--out",
        dest="page",
        metavar="FILE",
        type=path,
        help="the page to write (default: report.html in DIR; of several, comparison.html beside the first)",
    )


def report(args: argparse.Namespace) -> None:
    """Write the report of one finished run again, or a page that compares several."""
    from pasm_aug.cli.changed import changed_options  # these load torch: not for --help
    from pasm_aug.cli.finish import finish
    from pasm_aug.cli.run import add_run
    from pasm_aug.cli.seeds import seeds_in, summarise
    from pasm_aug.core.checksums import damaged, resealed
    from pasm_aug.report.comparison import write_comparison
    from pasm_aug.report.run_folder import read_run, rewritten

    if len(args.runs) == 1 and seeds_in(args.runs[0]):
        summarise(args.runs[0], (), add_run, copy=args.page)
        return
    runs = [read_run(folder) for folder in args.runs]
    if len(runs) > 1:
        page = args.page or args.runs[0].resolve().parent / "comparison.html"
        print(f"comparison: {write_comparison(page, runs)}")
        return
    run = runs[0]
    whole = all(map(rewritten, damaged(run.folder)))
    with resealed(run.folder, enabled=whole):  # a list that tells of damage stays
        page = finish(run.folder, run.arms, _training_images(run), run.config, {}, changed_options(run.config, add_run))
    if args.page:
        args.page.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(args.page, page.read_bytes())


def _training_images(run: Run) -> Any:
    """The training split of a run; ``None``, and a word on why, where it is not there any more as it was."""
    from pasm_aug.cli.opening import open_split, say
    from pasm_aug.cli.options.noise import LIST
    from pasm_aug.core.image_content import dataset_digest

    root = run.config["root"] and Path(run.config["root"])
    noise = run.folder / LIST if run.config.get("noise") else None  # as it was, wherever a list of the user's is now
    here = {"quiet": False, "decoded": None, "workers": 0, "root": root, "noise": noise}
    try:
        dataset = open_split(argparse.Namespace(**(run.config | here)), "train")
        known = (run.model.get("data") or {}).get("digest")
        if known in (None, dataset_digest(dataset)):
            return dataset
        say("the training images are not those of the run any more, so the report goes without them")
    except (ValueError, OSError) as error:
        say(f"the training images cannot be opened, so the report goes without them: {error}")
    return None
