"""``pasm-aug run``, the main job: teacher, rounds of PASM, the same rounds for the baselines, one table, one report."""

from __future__ import annotations

import argparse

from pasm_aug.cli.options.fields import add_fields
from pasm_aug.cli.options.groups import PAPER, add_data, add_model, add_search
from pasm_aug.cli.options.noise import add_noise
from pasm_aug.cli.options.training import BASELINES, TEACHER_EPOCHS, add_erasing, add_method, add_start, add_training
from pasm_aug.core.parsers import at_least, path, seeds
from pasm_aug.rounds import options


def add_run(parser: argparse.ArgumentParser) -> None:
    """The options of ``pasm-aug run``."""
    start = add_start(parser, kept="run.yaml")
    start.add_argument(
        "--out", metavar="DIR", type=path, help="run folder; an existing run is resumed (default: runs/DATA)"
    )
    start.add_argument(
        "--preset",
        choices=("paper",),
        help="paper: "
        + ", ".join(
            f"{k.replace('_', '-')} {v:.4g}" if isinstance(v, float) else f"{k.replace('_', '-')} {v}"
            for k, v in PAPER.items()
        )
        + "; options given beside it win",
    )
    start.add_argument(
        "--seeds",
        metavar="S,S,…",
        type=seeds,
        help="the whole run under each of these seeds (0,1,2 or 0-4), each in a folder of its own in --out, with its "
        "own first teacher; table and report give means with their intervals. More seeds may follow later",
    )
    add_noise(add_data(parser))
    add_model(parser)
    _add_rounds(parser)
    add_search(
        parser,
        "; with --augment online: squares tried exactly for each image in each step, a whole number (default: 4)",
    )
    add_erasing(parser)
    add_method(parser)
    add_training(parser)
    parser.set_defaults(augment="online")  # of what was measured the best (benchmarks/README.md)


def _add_rounds(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("rounds (Algorithm 1)")
    add_fields(group, options.RoundOptions, "rounds", first="stopping")
    group.add_argument(
        "--teacher-epochs",
        metavar="E",
        type=at_least(1, int),
        help="epochs of the first teacher (default: "
        + "; ".join(f"{epochs} with --method {method}" for method, epochs in TEACHER_EPOCHS.items())
        + ")",
    )
    group.add_argument(
        "--teacher-lr",
        metavar="LR",
        type=at_least(0, float),
        default=0.05,
        help="learning rate of the first teacher",
    )
    group.add_argument(
        "--baselines",
        metavar="ARMS",
        help="arms to compare with, same epochs, comma-separated; an empty string for none of them (default: "
        + "; with ".join(
            ("" if method == "pasm" else f"--method {method} ") + arms for method, arms in BASELINES.items()
        )
        + ")",
    )


def run(args: argparse.Namespace) -> None:
    """Teacher, PASM, baselines, table, report; of each seed."""
    if args.seeds:
        from pasm_aug.cli.seeds import run_seeds  # loads torch: not for --help

        run_seeds(args, add_run)
        return
    from pasm_aug.cli.job import run_job  # loads torch: not for --help

    run_job(args, add_run)
