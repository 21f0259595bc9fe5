"""The command line: ``pasm-aug run | train | mine | …``; one command = one parser + one function.

Exit codes: 0 done; 2 the user's mistake, told in one line; 1 a defect of ours, with its traceback; 130 interrupted;
143 terminated by a scheduler.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from pasm_aug.cli.align import add_align
from pasm_aug.cli.environment import Terminated, deterministic, ended_by_sigterm, recorded, warnings_in_one_line
from pasm_aug.cli.options.file import read_options, set_options
from pasm_aug.cli.options.groups import (
    DATA,
    PAPER,
    HelpFormatter,
    add_data,
    add_machine,
    add_mask_size,
    add_search,
    add_subset,
)
from pasm_aug.cli.options.run import add_run, add_train

EXAMPLES = """examples:
  pasm-aug run                                                the whole method on drawn faces, 3 to 5 minutes
  pasm-aug run --dry-run                                      every stage on one batch, and how long all will take
  pasm-aug run --data fer2013 --root DIR --limit 6000         on FER2013
  pasm-aug run --data folder --root DIR --model resnet18      on your own images in class folders
  pasm-aug run --options runs/folder/run.yaml --out DIR       an earlier run again, into another folder
  pasm-aug check --data rafdb --root DIR                      look at a data set first
  pasm-aug align PHOTOS FACES                                 photographs into aligned faces
  pasm-aug evaluate --checkpoint runs/folder/round-1 --data ckplus --root DIR   score one network on other data
  pasm-aug predict PHOTO --checkpoint runs/folder/round-1     what it sees in a photograph
"""


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="pasm-aug",
        description="Point Adversarial Self Mining (arXiv 2008.11401): hard erased examples instead of random ones.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, text, add in (
        ("run", "the whole method: teacher, rounds of mining and distilling, baselines, table, report", add_run),
        ("train", "train one network, with or without a teacher and mined positions", add_train),
        ("mine", "search the most informative point of every image, into a cache file", add_mine),
        ("evaluate", "score a trained network on a split, of any data set that shares classes with it", add_evaluate),
        ("predict", "find, align and classify the faces in photographs", add_predict),
        ("align", "photographs into aligned faces, folder by folder", add_align),
        ("check", "look at a data set before training: counts, unreadable files, duplicates, contact sheet", add_check),
        ("report", "write a run's table and report.html again", add_report),
    ):
        add(commands.add_parser(name, help=text, description=text, formatter_class=HelpFormatter, allow_abbrev=False))
    return parser


def add_mine(parser: argparse.ArgumentParser) -> None:
    add_data(parser, split="train")
    group = parser.add_argument_group("mining")
    group.add_argument("--teacher", metavar="DIR", type=Path, required=True, help="folder of the trained network")
    group.add_argument(
        "--out", metavar="FILE", type=Path, required=True, help="cache to write; an interrupted one goes on"
    )
    group.add_argument("--points", metavar="K", type=int, default=1, help="places for each image")
    group.add_argument("--query-batch", metavar="B", type=int, help="images a forward (default: automatic)")
    group.add_argument("--no-resume", action="store_true", help="start anew, whatever lies there")
    add_mask_size(add_search(parser))
    add_machine(parser)


def add_evaluate(parser: argparse.ArgumentParser) -> None:
    add_data(parser, split="test")
    group = parser.add_argument_group("evaluation")
    group.add_argument("--checkpoint", metavar="DIR", type=Path, required=True, help="folder of the trained network")
    add_subset(group)
    group.add_argument(
        "--no-overlap",
        action="store_true",
        help="do not look for images that stand in the training split too (it has to be read for that)",
    )
    group.add_argument("--json", metavar="FILE", type=Path, help="write the scores there as well")
    group.add_argument("--out", metavar="DIR", type=Path, help="write scores.json and confusion.png there as well")
    add_machine(parser)


def add_predict(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("images", metavar="IMAGE|DIR", type=Path, help="an image, or a folder of them")
    parser.add_argument("--checkpoint", metavar="DIR", type=Path, required=True, help="folder of the trained network")
    parser.add_argument("--out", metavar="DIR", type=Path, help="write predictions.csv and marked images there")
    parser.add_argument(
        "--no-align", action="store_true", help="the images are faces already, as the network was trained on"
    )
    parser.add_argument("--select", choices=("largest", "center", "all"), default="all", help="which faces of an image")
    parser.add_argument(
        "--no-face", choices=("keep", "skip"), default="keep", help="classify an image without a face whole, or not"
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto: a GPU if there is one")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def add_check(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data",
        choices=tuple(DATA),
        default="folder",
        help="; ".join(f"{name}: {text}" for name, text in DATA.items()),
    )
    parser.add_argument("--root", metavar="DIR", type=Path, help="where the data set lies (not for synthetic)")
    parser.add_argument(
        "--out", metavar="DIR", type=Path, help="for check.json and contact-sheet.png (default: runs/check-DATA)"
    )
    parser.add_argument("--no-read", action="store_true", help="count only, read no image")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def add_report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "runs", metavar="DIR", type=Path, nargs="+", help="a run folder; several are compared side by side"
    )
    parser.add_argument(
        "--out",
        dest="page",
        metavar="FILE",
        type=Path,
        help="the page to write (default: report.html in DIR; of several, comparison.html beside the first)",
    )


def parse(words: Sequence[str]) -> argparse.Namespace:
    """The options of a command line; ahead of the defaults come a preset, then ``--options FILE``, then ``words``.

    Raises:
        ValueError: a file of options that cannot be read or holds anything wrong.
    """
    parser = build_parser()
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    early.add_argument("--options", nargs="?", type=Path)
    early.add_argument("--preset", nargs="?")
    given, _ = early.parse_known_args(words[1:])
    if words and words[0] in ("run", "train"):
        commands = next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
        command = commands.choices[words[0]]
        values = read_options(given.options, command) if given.options else {}
        if "paper" in (given.preset, values.get("preset")):
            command.set_defaults(**PAPER)
        set_options(command, values)
    return parser.parse_args(words)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    try:
        with ended_by_sigterm(), warnings_in_one_line():
            return _run(list(sys.argv[1:] if argv is None else argv))
    except Terminated:
        print("\npasm-aug: terminated; the same command goes on from here", file=sys.stderr)
        return 143
    except KeyboardInterrupt:
        print("\npasm-aug: interrupted; the same command goes on from here", file=sys.stderr)
        return 130


def _run(words: Sequence[str]) -> int:
    try:
        args = parse(words)
    except ValueError as error:
        return _mistake(error)
    if getattr(args, "device", None) == "auto":
        args.device = None
    started = time.perf_counter()
    module = "dry_run" if getattr(args, "dry_run", False) else args.command
    work = getattr(importlib.import_module(f"pasm_aug.cli.{module}"), module)  # loads torch: not for --help
    from pasm_aug.core.processes import process_state
    from pasm_aug.training.guards import DivergedError, OutOfMemoryError

    args.imports = time.perf_counter() - started
    try:
        with deterministic(getattr(args, "deterministic", False)):
            process_state(getattr(args, "device", None))
            recorded(work)(args)
    except (ValueError, OSError, LookupError, DivergedError, OutOfMemoryError) as error:
        if isinstance(error, KeyError | IndexError):
            raise
        return _mistake(error)
    return 0


def _mistake(error: Exception) -> int:
    print(f"pasm-aug: error: {' '.join(str(error).split())}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
