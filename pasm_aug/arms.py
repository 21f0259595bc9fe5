"""The arms of a comparison: which transform erases, and what random geometry follows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the command line's --help reads AUGMENTS without loading torch
    from torchvision.transforms import v2

AUGMENTS = {
    "point": "PASM: erased at the mined point",
    "none": "no erasing",
    "random": "RandomErasing (torchvision)",
    "random-matched": "same square at a random place",
}


def default_geometry() -> v2.Transform:
    """The random geometry of the command line: a horizontal flip.

    No more on purpose: a first teacher must be able to fit its training data, or erasing hard places only hurts.
    """
    from torchvision.transforms import v2

    return v2.RandomHorizontalFlip()


def make_erase(
    augment: str, cache: Any, *, p: float = 1.0, size: float | int = 31 / 224, value: Any = "point"
) -> Callable[..., Any] | None:
    """The erasing transform of one arm.

    ``"point"`` erases at the mined point; ``"random-matched"`` a square of the same size and fill at a random place;
    ``"random"`` is torchvision's ``RandomErasing`` with its published settings; ``"none"`` erases nothing.
    """
    from torchvision.transforms import v2

    from pasm_aug.transforms import PointAdversarialErase

    if augment == "point":
        return PointAdversarialErase(cache, p=p, size=size, value=value)
    if augment == "random-matched":
        return PointAdversarialErase(None, p=p, size=size, value=value)
    if augment == "random":
        return v2.RandomErasing()
    if augment == "none":
        return None
    raise ValueError(f"augment must be one of {', '.join(AUGMENTS)}, got {augment!r}")
