"""A contact sheet of images whose labels are probably wrong, most suspicious first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from pasm_aug.core.errors import UserError
from pasm_aug.core.image_content import AnyImage, as_uint8
from pasm_aug.report.charts import png

COLUMNS = 8
CELL, SIDE, LINES = 136, 124, 40  # pixels: width of a cell, longest side of an image in it, height of the words below
DPI = 100
MOST = 1200  # images: more would be too tall to be drawn


def suspect_sheet(images: Iterable[AnyImage], captions: Sequence[tuple[str, str]]) -> bytes:
    """PNG of ``COLUMNS`` images a row, each in its own proportions, with two lines below.

    Args:
        images: grey or colour, of any sizes; as many as ``captions``.
        captions: the two lines below each, such as ``("1. happiness", "→ fear 98.1%")``.
    """
    count = len(captions)
    if not 1 <= count <= MOST:
        raise UserError(f"a contact sheet must hold 1 to {MOST:,} images, got {count:,}")
    width, height = sheet_size(count)
    figure = Figure((width / DPI, height / DPI))
    panel = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    panel.axis("off")
    panel.set_xlim(0, width)
    panel.set_ylim(height, 0)
    for place, (image, lines) in enumerate(zip(images, captions, strict=True)):
        array = small(image)
        scale = SIDE / max(array.shape[:2])
        w, h = scale * array.shape[1], scale * array.shape[0]
        x = place % COLUMNS * CELL + (CELL - w) / 2
        y = place // COLUMNS * (CELL + LINES) + (CELL + SIDE) / 2 - h  # on the words below it
        extent = (x, x + w, y + h, y)
        panel.imshow(array, extent=extent, cmap="gray", vmin=0, vmax=255, interpolation="nearest", aspect="auto")
        middle, below = place % COLUMNS * CELL + CELL / 2, place // COLUMNS * (CELL + LINES) + CELL
        for number, line in enumerate(lines):  # a name may hold a $, which is no formula
            panel.text(middle, below + 17 * number, line, fontsize=8, ha="center", va="top", parse_math=False)
    panel.set_xlim(0, width)  # every image has set them anew
    panel.set_ylim(height, 0)
    return png(figure, DPI)


def sheet_size(count: int) -> tuple[int, int]:
    """Width and height in pixels of a sheet of ``count`` images."""
    return COLUMNS * CELL, -(-count // COLUMNS) * (CELL + LINES)


def small(image: AnyImage) -> np.ndarray:
    """uint8 (h, w) or (h, w, 3), at most ``SIDE`` high and wide: a photograph of many pixels is never drawn whole."""
    array = as_uint8(image)
    found = Image.fromarray(array[0] if len(array) == 1 else np.ascontiguousarray(array.transpose(1, 2, 0)))
    found.thumbnail((SIDE, SIDE))
    return np.asarray(found)
