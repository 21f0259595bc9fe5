"""``pasm-aug mine --dry-run``: a few images searched for real, and what all of them will take."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from pasm_aug.cache.journal import journal_paths, read_journal
from pasm_aug.cache.position_cache import PositionCache
from pasm_aug.cli.mine import search_of
from pasm_aug.cli.networks import open_model, trained_size
from pasm_aug.cli.opening import say
from pasm_aug.cli.trial import affordable, memory, sample_of, stage, tell, warm_up
from pasm_aug.core.image_content import to_uint8_tensor
from pasm_aug.core.processes import process_state
from pasm_aug.search.mine import mine_positions

IMAGES = 32  # as many as are searched in lockstep


def try_mine(args: argparse.Namespace, folder: Path) -> None:
    """Search a few images into ``folder``, then say what the whole split will take."""
    imports = time.perf_counter() - args.started
    args.image_size = trained_size(args, "teacher")
    with stage("reading the images"):
        sample = sample_of(args, args.split, IMAGES)
    with stage("opening the teacher"):
        teacher = open_model(args, "teacher", sample.images.classes)
    shape = tuple(to_uint8_tensor(sample.images[0][0]).shape)
    search, share = affordable(search_of(args), shape)
    with stage("warming up"):
        warm_up(search, teacher, sample.images)
    started = time.perf_counter()
    with stage("mining"):
        found = mine_positions(
            teacher,
            sample.images,
            folder / "positions.safetensors",
            search=search,
            device=args.device,
            workers=args.workers,
            progress=False,
        )
    few = len(sample.images)
    each = share * (time.perf_counter() - started) / few
    known = 0 if args.no_resume else min(known_images(args.out), sample.length)
    if known:
        say(f"{known:,} images in {args.out} need no search again, if teacher and search are the same")
    stages = {"imports": imports, "reading the images": sample.opening + sample.each * sample.length}
    tell(stages | {"mining": each * (sample.length - known)})
    queries = share * found.metadata["queries"] / few
    say(f"Queries of the search: about {queries * (sample.length - known):,.0f}, {queries:,.0f} an image.")
    if process_state().num_processes > 1:
        say(f"The {process_state().num_processes} processes share the images, here as there.")
    say(memory(sample.stored))


def known_images(path: Path) -> int:
    """How many images a cache and the journals of an interrupted mining hold already."""
    finished = len(PositionCache.open(path).to_rows()) if path.exists() else 0
    return finished + sum(len(read_journal(journal)) for journal in journal_paths(path))
