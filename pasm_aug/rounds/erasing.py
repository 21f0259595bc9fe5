"""The options of the square that is erased."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pasm_aug.core.options import option
from pasm_aug.core.parsers import fill, hardness, ratio, share
from pasm_aug.rounds.arms import QUERIES


@dataclass(frozen=True)
class Erasing:
    """The square that is erased; see :class:`~pasm_aug.transforms.erase.PointAdversarialErase`.

    Args:
        p (float): share of the images erased; the paper erases all.
        size (float or int, optional): side of the square, as a share of the shorter side or in pixels; default 31/224,
            of the arm ``"online"`` 13/48.
        value (str, number or sequence, optional): what fills it; default the colour found, of the arm ``"online"`` the
            image's mean.
        queries (int): squares that the arm ``"online"`` tries exactly in each step.
        hardness (str or float): which of them it erases; see
            :class:`~pasm_aug.search.online.OnlineAdversarialErase`.
    """

    p: float = option(1.0, "share of the images erased; the paper erases all", group="erasing", parse=ratio)
    size: float | int | None = option(
        None,
        "side of the square, in pixels or as a share of the image (default: 31/224; the paper: 23 to 39 at 224; with "
        "--augment online 13/48)",
        group="erasing",
        flag="mask-size",
        parse=share,
        metavar="S",
    )
    value: Any = option(
        None,
        "fill: point (the colour found), mean, random, or 0…255 (default: point; with --augment online mean)",
        group="erasing",
        parse=fill,
        metavar="V",
    )
    queries: int = option(QUERIES, flag="queries")
    hardness: str | float = option(
        "worst",
        "which of the squares tried --augment online erases. worst: the one that hurts most; drawn: by chance, the "
        "more it hurts the likelier; a number in (0, 1): the first that takes the true class's probability below it",
        group="erasing",
        parse=hardness,
        metavar="H",
    )
