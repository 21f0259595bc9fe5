"""``pasm-aug mine``: the points of a split, into a cache file."""

from __future__ import annotations

import argparse

from pasm_aug.cli.opening import (
    open_model,
    open_split,
    say,
    trained_size,
)
from pasm_aug.search.mine import mine_positions
from pasm_aug.search.point_search import PointSearch


def mine(args: argparse.Namespace) -> None:
    """Search a split into a cache file."""
    args.image_size = args.image_size or trained_size(args.teacher)
    dataset = open_split(args, args.split)
    teacher = open_model(args.teacher, dataset.classes, "--teacher")
    search = PointSearch(
        args.search,
        points=args.points,
        objective=args.objective,
        patch=args.mask_size,
        budget=args.budget,
        seed=args.seed,
        batch_size=args.query_batch,
        device=args.device,
    )
    cache = mine_positions(
        teacher,
        dataset,
        args.out,
        search=search,
        device=args.device,
        workers=args.workers,
        resume=not args.no_resume,
        progress=not args.quiet,
    )
    say(cache.summary())
