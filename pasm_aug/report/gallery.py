"""Galleries of a report: a few training images, and the square that each round erased in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision import tv_tensors

from pasm_aug.core.geometry import patch_box, side_in_pixels
from pasm_aug.core.image_content import to_uint8_tensor
from pasm_aug.core.painting import erase_patch
from pasm_aug.report.charts import Mosaic
from pasm_aug.report.lettering import shortened
from pasm_aug.report.movement import RoundPoints
from pasm_aug.transforms.baselines import CamRegionErase

GALLERY, A_ROW = 8, 4  # images of a gallery, and beside each other
ROUNDS = 4  # rounds in a figure of images; more would make a page too heavy


def gallery_picks(labels: np.ndarray) -> list[int]:
    """Up to ``GALLERY`` indices: the first image of each class, then the second of each, and so on."""
    turn = np.empty(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        turn[members] = np.arange(len(members))
    return [int(index) for index in np.lexsort((labels, turn))[:GALLERY]]


def drop_picks(labels: np.ndarray, rounds: Sequence[RoundPoints], *, but: Sequence[int] = ()) -> list[int]:
    """Up to ``GALLERY`` indices: the images whose probability one pixel lowered most in any round, greatest first.

    Two of a class at most, as long as there are others; none of ``but``.
    """
    drop = np.zeros(len(labels))
    for r in rounds:
        points = r.mined_points()
        if points is not None and len(points.hit) == len(labels):
            drop = np.maximum(drop, np.where(points.hit, points.p_clean - points.p_point[:, 0], 0.0))
    order = [int(i) for i in np.argsort(-drop, kind="stable") if drop[i] > 0 and i not in set(but)]
    seen: dict[int, int] = {}
    few: list[int] = []
    more: list[int] = []
    for index in order:
        label = int(labels[index])
        seen[label] = seen.get(label, 0) + 1
        (few if seen[label] <= 2 else more).append(index)
    return (few + more)[:GALLERY]


def spread(rounds: Sequence[RoundPoints]) -> list[RoundPoints]:
    """At most ``ROUNDS`` of the rounds, evenly, the first and the last among them."""
    at = np.linspace(0, len(rounds) - 1, min(len(rounds), ROUNDS)).round().astype(int)
    return [rounds[i] for i in at]


def gallery_figures(
    dataset: Any, indices: Sequence[int], rounds: Sequence[RoundPoints], size: float | int
) -> list[bytes]:
    """:func:`gallery_figure` of four images each."""
    return [
        gallery_figure(dataset, indices[start : start + A_ROW], rounds, size) for start in range(0, len(indices), A_ROW)
    ]


def gallery_figure(dataset: Any, indices: Sequence[int], rounds: Sequence[RoundPoints], size: float | int) -> bytes:
    """Rows of images: as they are, then as each round erased them.

    Below a mined point stands the true class's probability before and after changing the *one pixel*.
    """
    mosaic = Mosaic(1 + len(rounds), A_ROW, left=0.16)
    for column, index in enumerate(indices):
        image, label = dataset[index]
        image = to_uint8_tensor(image)
        _show(mosaic, 0, column, image, _name(dataset, label))
        for row, points in enumerate(rounds, 1):
            _show(mosaic, row, column, *_erased(image, index, points, size))
    for row, name in enumerate(["as it is", *(f"round {r.round}" for r in rounds)]):
        mosaic.name_row(row, name)
    return mosaic.jpeg()


def online_figures(dataset: Any, shown: Mapping[str, Tensor]) -> list[bytes]:
    """Rows of four images each: as they are, and as an online adversary erased them first and last.

    Args:
        shown: ``samples`` (S,), ``first`` and ``last`` (S, C, H, W) uint8.
    """
    figures = []
    for start in range(0, len(shown["samples"]), A_ROW):
        part = {name: values[start : start + A_ROW] for name, values in shown.items()}
        mosaic = Mosaic(3, A_ROW, left=0.16)
        for column, index in enumerate(part["samples"].tolist()):
            image, label = dataset[index]
            _show(mosaic, 0, column, to_uint8_tensor(image), _name(dataset, label))
            _show(mosaic, 1, column, part["first"][column], "")
            _show(mosaic, 2, column, part["last"][column], "")
        for row, name in enumerate(("as it is", "first epoch", "last epoch")):
            mosaic.name_row(row, name)
        figures.append(mosaic.jpeg())
    return figures


def caption_figures(dataset: Any, indices: Sequence[int], captions: Sequence[str], rows: int = 2) -> list[bytes]:
    """Images with a caption above each, ``rows`` of four in a figure.

    Args:
        captions: as many as ``indices``, each of the same number of lines.
    """
    figures, step = [], rows * A_ROW
    for start in range(0, len(indices), step):
        part = indices[start : start + step]
        mosaic = Mosaic(-(-len(part) // A_ROW), A_ROW, lines=1 + captions[start].count("\n"))
        for place, index in enumerate(part):
            _show(mosaic, *divmod(place, A_ROW), to_uint8_tensor(dataset[index][0]), captions[start + place])
        figures.append(mosaic.jpeg())
    return figures


def _erased(image: Tensor, index: int, points: RoundPoints, size: float | int) -> tuple[Any, str]:
    """The image as a round erased it, and what to write above it."""
    found = points.used.lookup(indices=np.array([index]))
    if not found.hit[0]:
        return image, "not mined"
    if points.arm == "cam-region":
        with torch.random.fork_rng(devices=[]):
            return CamRegionErase(points.used, p=1.0)(tv_tensors.Image(image)), ""
    height, width = image.shape[1:]
    x, y = found.xy[0, 0].tolist()
    box = patch_box(x, y, side_in_pixels(size, min(height, width)), width, height)
    title = f"p {found.p_clean[0]:.2f} → {found.p_point[0, 0]:.2f}" if points.arm == "point" else ""
    return erase_patch(image, box, found.colour[0, 0].tolist()), title


def _name(dataset: Any, label: int) -> str:
    return shortened(dataset.classes[label] if dataset.classes else str(label))


def _show(mosaic: Mosaic, row: int, column: int, image: Tensor, title: str) -> None:
    array = image.permute(1, 2, 0).numpy()
    array = array if array.shape[2] == 3 else array[..., 0]
    mosaic.show(row, column, array, title, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
