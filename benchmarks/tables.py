"""The paper, claim by claim: each of its tables and figures with ours beside it, on any data.

    python benchmarks/tables.py --table 1 … 7
    python benchmarks/tables.py --figure 3 | 5 | 6 | 7 | 8
    python benchmarks/tables.py --table 6 --data fer2013 --root FER2013 --limit 8000
    python benchmarks/tables.py --table 1 --preset paper --data rafdb --root RAFDB --device cuda
    python benchmarks/tables.py --table 4 --preset paper --data rafdb --root RAFDB --other-root CKPLUS

All options of ``pasm-aug run`` but those of the arms and rounds hold: without any, drawn faces and small networks,
minutes a table; ``--preset paper`` sets what the paper states. A network is trained once, in ``--out`` (by default
``runs/tables-DATA-…``, another for other options), whichever tables need it; a result is one line of
``results/tables.jsonl``, and the same command goes on where it stopped. Below each table stands what differs.
"""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common import campaign, table
from paper_claims import TABLES, Claim
from paper_figures import FIGURES, draw
from paper_runs import Bench

from pasm_aug.cli.options.groups import DATA
from pasm_aug.cli.parser import Parser
from pasm_aug.core.errors import UserError
from pasm_aug.core.parsers import path
from pasm_aug.training.interval import wilson

HERE = Path(__file__).parent
SHOWN = ("name", "on", "round", "accuracy")


def cell(row: dict[str, Any], *, picked: bool) -> str:
    """``78.1 ± 2.2``, in percent, with its 95 % interval; of the round that validation picked."""
    low, high = wilson(round(row["accuracy"] * row["count"]), row["count"])
    text = f"{100 * row['accuracy']:.1f} ± {50 * (high - low):.1f}"
    return f"{text} (round {row['round']})" if picked else text


def report(claim: Claim, bench: Bench, rows: list[dict[str, Any]]) -> str:
    """The paper's numbers and ours, and what differs."""
    papers = dict.fromkeys(name for row in claim.rows for name in row.paper)
    ours = dict.fromkeys(name for row in claim.rows for name in row.ours)
    lines, used = [], []
    for row in claim.rows:
        results = {name: bench.best(score, rows) for name, score in row.ours.items() if bench.has(score.on)}
        if not (row.paper or results):
            continue  # images that others have
        line: dict[str, Any] = {"label": row.label} | {f"paper {name}": row.paper.get(name) for name in papers}
        for name, result in results.items():
            if result:
                line[f"ours {name}"] = cell(result, picked=row.ours[name].round is None)
                used.append(result)
        lines.append(line)
    columns = {"label": ""} | {f"paper {name}": f"paper: {name}|.2f" for name in papers}
    columns |= {f"ours {name}": name if name == "ours" else f"ours: {name}" for name in ours}
    return "\n\n".join([table(columns, lines), *filter(None, (differing(claim, bench, used), claim.notes))])


def differing(claim: Claim, bench: Bench, used: list[dict[str, Any]]) -> str:
    """What of ours is not as in the paper, in a sentence or two."""
    if not used:
        return ""
    args, count = bench.args, used[0]["images"]
    names = bench.networks[: 1 + max(row["run"]["network"] for row in used)]
    data = "drawn faces" if args.data == "synthetic" else args.data
    parts = [
        f"{data}, {count['train']:,} to train and {count['val']:,} to validate ({claim.data})",
        *(f"`{name}` ({own})" for name, own in zip(names, ("ResNet-34", "VGG16"), strict=False)),
        f"{'random' if args.weights == 'none' else args.weights} weights at first (ImageNet's)",
        f"{args.image_size}×{args.image_size} pixels (224×224)",
        f"{args.teacher_epochs} epochs of the first teacher and {args.epochs} a round (not stated)",
        f"`--search {args.search}` (differential evolution, its budget not stated)",
        f"seed {args.seed}, validation picks the round (set by hand)",
    ]
    text = f"**Ours (the paper's)**: {'; '.join(parts)}."
    told = {row["on"]: row for row in used if row["left_out"] or row["apart"]}
    for name, row in told.items():
        gone = ", ".join(f"{n:,} {word}" for word, n in row["left_out"].items())
        text += f" Of {name} left out, for the network does not know the class: {gone}." if gone else ""
        if row["apart"]:
            text += f" {row['count'] - row['apart']['count']:,} images of {name} stand in the training split too: "
            text += f"{100 * row['apart']['accuracy']:.1f} % without them (run {row['run']['augment']})."
    return text


def parse(argv: Sequence[str] | None) -> tuple[argparse.Namespace, list[str]]:
    """Our options, and those of ``pasm-aug run``."""
    parser = Parser(
        prog="tables.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        epilog=f"and the options of pasm-aug run; --data one of {', '.join(DATA)}",
    )
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--table", type=int, choices=tuple(TABLES))
    which.add_argument("--figure", type=int, choices=tuple(FIGURES))
    parser.add_argument("--second", metavar="MODEL", help="the network in VGG16's place (default: a small VGG)")
    parser.add_argument("--other-root", metavar="DIR", type=path, help="of CK+ for table 4, of FER2013 for table 5")
    parser.add_argument("--results", metavar="FILE", type=path, default=HERE / "results" / "tables.jsonl")
    parser.add_argument("--figures", metavar="DIR", type=path, default=HERE / "figures", help="where PNGs go")
    return parser.parse_known_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run what is missing, and print; 2 for a mistake of the user."""
    own, words = parse(argv)
    claim = TABLES[own.table] if own.table else FIGURES[own.figure]
    try:
        bench = Bench(words, own.second, own.other_root)
        scores = bench.wanted(claim.rows)
        own.results.parent.mkdir(parents=True, exist_ok=True)
        rows = campaign(own.results, functools.partial(bench.missing, scores), SHOWN)
        name = f"Table {own.table}" if own.table else f"Figure {own.figure}"
        print(f"\n### {name}: {claim.title}\n\n{report(claim, bench, rows)}")
        if own.figure:
            print(f"\n{draw(own.figure, bench, claim, rows, own.figures)}")
    except (UserError, OSError) as error:
        print(f"tables.py: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
