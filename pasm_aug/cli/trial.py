"""What every ``--dry-run`` does: stages on few images, each told as it ends, in a folder that vanishes."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import broadcast_object_list
from torch import nn

from pasm_aug.cli.estimate import rough_duration
from pasm_aug.cli.noise import with_noise
from pasm_aug.cli.opening import IN_MEMORY, data_options, say
from pasm_aug.core.errors import UserError
from pasm_aug.core.image_content import same_channels, to_uint8_tensor
from pasm_aug.core.processes import process_state
from pasm_aug.data.base import Split
from pasm_aug.data.in_memory import InMemory
from pasm_aug.data.registry import open_dataset
from pasm_aug.search.point_search import PointSearch
from pasm_aug.training.guards import TOLD

FEW = 2  # images for a first go
POPULATION = 8  # of a search that is too dear to be tried in full: it makes 16 queries an image


@dataclasses.dataclass(frozen=True)
class Sample:
    """A few images of a split.

    Attributes:
        images: they. length: of the whole split.
        opening, each: seconds to open the split, and to read an image of it.
        stored: bytes that the whole split will take in memory.
    """

    images: Any
    length: int
    opening: float
    each: float
    stored: int


def sample_of(args: argparse.Namespace, split: Split, count: int) -> Sample:
    """Open a split as it will be, and read ``count`` of its images, or one of each class."""
    started = time.perf_counter()
    dataset = open_dataset(args.data, args.root, split, size=args.image_size, limit=args.limit, **data_options(args))
    with_noise(args, split, dataset)  # a list may be of other data; the batch itself is timed with true labels
    opened = time.perf_counter()
    few: Any = dataset.limited(max(count, len(dataset.classes)))
    size, each, stored = len(dataset) * 3 * args.image_size**2, 0.0, 0
    if size <= IN_MEMORY or args.decoded:
        few = InMemory(few, progress=False)
        each = (time.perf_counter() - opened) / len(few)
        stored = 0 if args.decoded else size * to_uint8_tensor(few[0][0]).shape[0] // 3
    return Sample(few, len(dataset), opened - started, each, stored)


def affordable(search: PointSearch, shape: tuple[int, ...]) -> tuple[PointSearch, float]:
    """A search that takes seconds, and how many times as dear the chosen one is."""
    if search.mode == "seeded":
        return search, 1.0
    small = dataclasses.replace(search, mode="paper", population_size=POPULATION, generations=1)
    return small, search.cost(shape) / small.cost(shape)


def warm_up(search: PointSearch, teacher: nn.Module, dataset: Any) -> None:
    """Search the first images, so that compiling is not timed."""
    few = [dataset[index] for index in range(min(FEW, len(dataset)))]
    images = torch.stack(same_channels([to_uint8_tensor(image) for image, _ in few]))
    search.run(teacher, images, [int(label) for _, label in few])


def tell(seconds: dict[str, float], condition: str = "") -> None:
    """Say how long all of it will take, and each stage."""
    say(f"\nAll of it will take about {rough_duration(sum(seconds.values()))}{condition}, of which:")
    for name, value in seconds.items():
        say(f"  {rough_duration(value):>8}  {name}")


def memory(stored: int) -> str:
    """The most memory that was taken so far, with what the images of all splits will add."""
    parts = []
    if sys.platform != "win32":
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
        parts.append(f"{(peak + stored) / 2**30:.1f} GB ({stored / 2**20:,.0f} MB of it images)")
    if process_state().device.type == "cuda":
        parts.append(f"{torch.cuda.max_memory_allocated() / 2**30:.1f} GB on the GPU")
    return f"Memory: about {'; '.join(parts)}." if parts else ""


@contextlib.contextmanager
def stage(name: str) -> Iterator[None]:
    """Says that a stage is fine and what it took, or what is wrong with it."""
    started = time.perf_counter()
    try:
        yield
    except Exception as error:
        told = isinstance(error, (UserError, OSError, *TOLD))
        kind = "" if told else f"{type(error).__name__}: "
        raise UserError(f"{name}: {kind}{error}") from error
    say(f"  {name:<60} ok {time.perf_counter() - started:6.1f} s")


@contextlib.contextmanager
def vanishing_folder() -> Iterator[Path]:
    """One temporary folder for all processes."""
    state = process_state()
    with contextlib.ExitStack() as stack:
        own = stack.enter_context(tempfile.TemporaryDirectory(prefix="dry-run-")) if state.is_main_process else None
        yield Path(broadcast_object_list([own])[0])
        state.wait_for_everyone()
