"""The command line: ``pasm-aug run | train | mine | …``; one command = one parser + one function.

Exit codes: 0 done; 2 the user's mistake, told in one line; 1 a defect of ours, with its traceback in a file; 130
interrupted; 143 terminated by a scheduler.
"""

from __future__ import annotations

import argparse
import importlib
import os
import re
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from pasm_aug.cli.align import add_align
from pasm_aug.cli.audit import add_audit
from pasm_aug.cli.check import add_check
from pasm_aug.cli.environment import (
    Terminated,
    deterministic,
    ended_by_sigterm,
    importable_here,
    output_anywhere,
    recorded,
    warnings_in_one_line,
)
from pasm_aug.cli.evaluate import add_evaluate
from pasm_aug.cli.export import add_export
from pasm_aug.cli.import_model import add_import_model
from pasm_aug.cli.inspect import add_inspect
from pasm_aug.cli.memory import keep_freed_memory
from pasm_aug.cli.mine import add_mine
from pasm_aug.cli.options.file import read_options, set_options
from pasm_aug.cli.options.groups import PAPER, HelpFormatter
from pasm_aug.cli.parser import Parser, Version, complete
from pasm_aug.cli.predict import add_predict
from pasm_aug.cli.preview import add_preview
from pasm_aug.cli.report import add_report
from pasm_aug.cli.run import add_run
from pasm_aug.cli.train import add_train
from pasm_aug.core.errors import UserError
from pasm_aug.core.parsers import path

EXAMPLES = """examples:
  pasm-aug run                                                the whole method on drawn faces, 3 to 5 minutes
  pasm-aug run --dry-run                                      every stage on one batch, and how long all will take
  pasm-aug run --data fer2013 --root DIR --limit 6000         on FER2013
  pasm-aug run --data folder --root DIR --model resnet18      on your own images in class folders
  pasm-aug run --options runs/folder/run.yaml --out DIR       an earlier run again, into another folder
  pasm-aug check --data rafdb --root DIR                      look at a data set first
  pasm-aug audit --data folder --root DIR                     which of its labels are probably wrong
  pasm-aug preview --data folder --root DIR                   what the erasing does to your images, as a PNG
  pasm-aug inspect runs/folder/round-1/positions.safetensors  what a file of mined points holds
  pasm-aug align PHOTOS FACES                                 photographs into aligned faces
  pasm-aug evaluate --checkpoint runs/folder/round-1 --data ckplus --root DIR   score one network on other data
  pasm-aug import-model my.pt --model resnet18 --classes a,b,c --out mine   your own network, as a folder
  pasm-aug predict PHOTO --checkpoint runs/folder/round-1     what it sees in a photograph
  pasm-aug export runs/folder/round-1                         the network as model.onnx, its preprocessing inside
"""


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = Parser(
        prog="pasm-aug",
        description="Point Adversarial Self Mining (arXiv 2008.11401): hard erased examples instead of random ones.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=Version, help="the versions of this package and of torch")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, text, add in (
        ("run", "the whole method: teacher, rounds of mining and distilling, baselines, table, report", add_run),
        ("train", "train one network, with or without a teacher and mined positions", add_train),
        ("mine", "search the most informative point of every image, into a cache file", add_mine),
        ("evaluate", "score a trained network on a split, of any data set that shares classes with it", add_evaluate),
        ("predict", "find, align and classify the faces in photographs", add_predict),
        ("import-model", "make a folder of your own network's weights, for every command to take", add_import_model),
        ("align", "photographs into aligned faces, folder by folder", add_align),
        ("check", "look at a data set before training: counts, unreadable files, duplicates, contact sheet", add_check),
        ("audit", "rank the labels of a data set by how probably they are wrong: table, contact sheet", add_audit),
        ("preview", "see what the erasing does to your own images: a contact sheet", add_preview),
        ("inspect", "see what a file of mined points holds: data, teacher, search, what was found", add_inspect),
        ("export", "write a trained network as one file for other programs (ONNX, torch.export)", add_export),
        ("report", "write a run's table and report.html again", add_report),
    ):
        add(commands.add_parser(name, help=text, description=text, formatter_class=HelpFormatter, allow_abbrev=False))
    return parser


def parse(words: Sequence[str]) -> argparse.Namespace:
    """The options of a command line; ahead of the defaults come a preset, then ``--options FILE``, then ``words``.

    Raises:
        ValueError: a file of options that cannot be read or holds anything wrong.
    """
    parser = build_parser()
    early = Parser(prog=parser.prog, add_help=False, allow_abbrev=False)
    early.add_argument("--options", nargs="?", type=path)
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


def check_together(args: argparse.Namespace) -> None:
    """Refuse options that cannot stand beside each other in any command.

    Raises:
        ValueError: a folder for faces that are drawn; a seed beside several.
    """
    if getattr(args, "root", None) is not None and args.data == "synthetic":
        raise UserError(f"--root {args.root} is not for --data synthetic, which draws its faces: add --data folder")
    if getattr(args, "seeds", None) and args.seed:
        raise UserError(f"--seeds takes the place of --seed, got --seed {args.seed} beside it")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    if "_ARGCOMPLETE" in os.environ:  # a shell asks what may follow
        complete(build_parser())
    if argv is None:  # a process of its own
        keep_freed_memory()
    try:
        with ended_by_sigterm(), output_anywhere(), warnings_in_one_line():
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
        check_together(args)
    except UserError as error:
        return _mistake(error)
    if getattr(args, "device", None) == "auto":
        args.device = None
    args.started = time.perf_counter()
    try:
        from pasm_aug.cli.at_once import told_at_once  # loads numpy: not for --help

        if told_at_once(args):
            return 0
    except (UserError, OSError) as error:
        return _mistake(error)
    except Exception as error:
        return _defect(error, words, args.out)
    module = "dry_run" if getattr(args, "dry_run", False) else args.command.replace("-", "_")
    work = getattr(importlib.import_module(f"pasm_aug.cli.{module}"), module)  # loads torch: not for --help
    from pasm_aug.core.processes import process_state
    from pasm_aug.training.guards import TOLD

    try:
        with deterministic(getattr(args, "deterministic", False)), importable_here():
            process_state(getattr(args, "device", None))
            recorded(work)(args)
    except (UserError, OSError, *TOLD) as error:
        return _mistake(error)
    except Exception as error:
        return _defect(error, words, getattr(args, "out", None))
    return 0


def _mistake(error: Exception) -> int:
    print(f"pasm-aug: error: {said(error)}", file=sys.stderr)
    return 2


def _defect(error: Exception, words: Sequence[str], out: Path | None) -> int:
    """One line, and the traceback in a file: in the command's own folder, else among the temporary ones."""
    text = f"{' '.join(['pasm-aug', *words])}\n\n{''.join(traceback.format_exception(error))}"
    try:
        handle, name = tempfile.mkstemp(".txt", "pasm-aug-error-", out if out is not None and out.is_dir() else None)
    except OSError:  # read-only, or full
        handle, name = tempfile.mkstemp(".txt", "pasm-aug-error-")
    with open(handle, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)
    line = f"{type(error).__name__}: {said(error)}"
    print(f"pasm-aug: a defect of pasm-aug, please report it with {name}: {line}", file=sys.stderr)
    return 1


def said(error: Exception) -> str:
    """An error's message in one line; of one in a loader worker the message alone, without the worker's traceback."""
    lines = str(error).strip().splitlines()
    if lines and re.match(r"Caught \w+ in \w+ worker process", lines[0]):
        return re.sub(r"^[\w.]+: ", "", lines[-1].strip())
    return " ".join(" ".join(lines).split())


if __name__ == "__main__":
    sys.exit(main())
