"""``pasm-aug mine``: the points of a split, into a cache file."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from pasm_aug.cli.options.fields import add_fields
from pasm_aug.cli.options.groups import SEARCH_BUDGET, add_data, add_machine, add_search
from pasm_aug.cli.options.network import add_network
from pasm_aug.core.errors import UserError
from pasm_aug.core.parsers import path
from pasm_aug.rounds.arms import square_of
from pasm_aug.rounds.erasing import Erasing

if TYPE_CHECKING:
    from pasm_aug.search.point_search import PointSearch


def add_mine(parser: argparse.ArgumentParser) -> None:
    """The options of ``pasm-aug mine``."""
    add_data(parser, split="train")
    group = parser.add_argument_group("mining")
    add_network(group, "--teacher", required=True)
    group.add_argument(
        "--out", metavar="FILE", type=path, required=True, help="cache to write; an interrupted one goes on"
    )
    group.add_argument("--points", metavar="K", type=int, default=1, help="points for each image")
    group.add_argument("--query-batch", metavar="B", type=int, help="images a forward (default: automatic)")
    group.add_argument(
        "--dry-run",
        action="store_true",
        help="search a few images, say how long all of them will take and what memory, and keep nothing",
    )
    group.add_argument("--no-resume", action="store_true", help="start anew, whatever lies there")
    add_fields(add_search(parser), Erasing, "erasing", only="size")
    add_machine(parser)


def mine(args: argparse.Namespace) -> None:
    """Search a split into a cache file."""
    from pasm_aug.cli.networks import open_model, trained_size  # these load torch: not for --help
    from pasm_aug.cli.opening import open_split, say
    from pasm_aug.search.mine import mine_positions

    args.image_size = trained_size(args, "teacher")
    dataset = open_split(args, args.split)
    teacher = open_model(args, "teacher", dataset.classes)
    closing: list[str] = []
    cache = mine_positions(
        teacher,
        dataset,
        args.out,
        search=search_of(args),
        device=args.device,
        workers=args.workers,
        resume=not args.no_resume,
        progress=not args.quiet,
        tell=closing.append,
    )
    say("\n".join([cache.summary(), "", *closing]))


def search_of(args: argparse.Namespace) -> PointSearch:
    """The search that the options ask for."""
    from pasm_aug.search.point_search import PointSearch

    if args.mask_size is not None and args.objective != "patch":
        raise UserError(f"--mask-size needs --objective patch, got {args.objective}")
    if args.budget is not None and args.search != "seeded":
        raise UserError(f"--budget needs --search seeded, got {args.search}")
    return PointSearch(
        args.search,
        points=args.points,
        objective=args.objective,
        patch=square_of("point", size=args.mask_size)["size"],
        budget=SEARCH_BUDGET if args.budget is None else args.budget,
        seed=args.seed,
        batch_size=args.query_batch,
        device=args.device,
    )
