"""What an erasing transform does to one's own images, to look at: a contact sheet. Loaded when it is asked for."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import PIL.Image
from torch.utils._pytree import tree_flatten

from pasm_aug.core.contact_sheet import Cell, contact_sheet
from pasm_aug.core.errors import UserError
from pasm_aug.core.image_content import as_uint8
from pasm_aug.core.items import class_names
from pasm_aug.core.rng import derive_seed
from pasm_aug.core.seeding import reseed, seeded
from pasm_aug.transforms.images import as_mined


def preview_sheet(erase: Any, dataset: Any, *, count: int = 8, draws: int = 3, seed: int = 0) -> PIL.Image.Image:
    """Rows of an image and several draws of the transform; what the cache does not know is framed in red.

    Args:
        erase: a v2 transform that erases; its counters stay, and so do the global random states.
        dataset: map-style, items (image, label, …), dicts or images, without random transforms.
        count: images, evenly spread. draws: of the transform, for each. seed: of the draws.

    Returns:
        PIL image: RGB.

    Raises:
        ValueError: no image, or a count or draws below 1.
    """
    for name, value in (("count", count), ("draws", draws)):
        if value < 1:
            raise UserError(f"{name} must be at least 1, got {value}")
    length = len(dataset)
    indices = sorted({length * i // count for i in range(count)} if length else ())
    twin = copy.deepcopy(erase)  # it counts on its own
    misses = getattr(getattr(twin, "_make_params", None), "misses", None)
    if misses is not None and misses.on_miss == "raise":
        misses.on_miss = "skip"  # here a miss is to be seen
    classes = class_names(dataset)
    with _undisturbed(seed):
        return contact_sheet([_row(twin, dataset[i], classes, draws, derive_seed(seed, i)) for i in indices])


def _row(erase: Any, sample: Any, classes: Sequence[str], draws: int, seed: int) -> list[Cell]:
    whole = _image(erase, sample)
    cells = [Cell(whole, _class_of(sample, classes))]
    for draw in range(draws):
        reseed(derive_seed(seed, draw), gpus=False)
        before = _misses(erase)
        erased = _image(erase, erase(sample))
        missed = _misses(erase) > before
        same = np.array_equal(as_uint8(whole), as_uint8(erased))
        known = getattr(erase, "cache", None) is not None
        title = "miss: " * (missed and known) + ("not erased" if same else "random place" if missed else "erased")
        cells.append(Cell(erased, title, missed and known))
    return cells


def _misses(erase: Any) -> int:
    return erase.stats()["misses"] if hasattr(erase, "stats") else 0


def _image(erase: Any, sample: Any) -> Any:
    """The first image of a sample, in [0, 1] or 0…255."""
    leaves, _ = tree_flatten(sample)
    for leaf, is_image in zip(leaves, erase._needs_transform_list(leaves), strict=True):
        if is_image:
            return as_mined(leaf, getattr(erase, "_normalisation", None))
    raise UserError(f"items of the data set must hold an image, got {type(sample).__name__} without one")


def _class_of(sample: Any, classes: Sequence[str]) -> str:
    label = sample.get("label") if isinstance(sample, dict) else None
    if isinstance(sample, tuple | list) and len(sample) > 1:
        label = sample[1]
    try:
        label = int(label)  # type: ignore[arg-type]
    except (TypeError, ValueError, RuntimeError):  # none, or one-hot
        return ""
    return classes[label] if 0 <= label < len(classes) else str(label)


@contextmanager
def _undisturbed(seed: int) -> Iterator[None]:
    """The global random states of torch, numpy and Python are afterwards as before."""
    states = np.random.get_state(), random.getstate()  # noqa: NPY002
    try:
        with seeded(seed):
            yield
    finally:
        np.random.set_state(states[0])  # noqa: NPY002
        random.setstate(states[1])
