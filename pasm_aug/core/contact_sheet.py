"""A sheet of small images in rows with a word above each: drawn by Pillow alone, which every process has loaded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pasm_aug.core.errors import UserError
from pasm_aug.core.image_content import AnyImage, as_uint8

SIDE, GAP, LINE = 128, 6, 17  # pixels: longest side of an image, room around it, height of the word above
MARK = (220, 38, 38)
MOST = 200  # rows: more would be too tall for a screen
TALL = 6  # rows from which on they stand in two columns


class Cell(NamedTuple):
    """One image of a sheet.

    Attributes:
        image: PIL image, tensor or array as :func:`~pasm_aug.core.image_content.as_uint8` takes it.
        title: the word above it. marked: whether it gets a red frame.
    """

    image: AnyImage
    title: str = ""
    marked: bool = False


def contact_sheet(rows: Sequence[Sequence[Cell]]) -> Image.Image:
    """RGB sheet of rows with as many cells each; small images are enlarged by repeating their pixels.

    Raises:
        ValueError: no row, or more than :data:`MOST`.
    """
    if not 1 <= len(rows) <= MOST:
        raise UserError(f"a contact sheet must hold 1 to {MOST} images, got {len(rows)}")
    abreast = 1 if len(rows) <= TALL else 2
    tall = -(-len(rows) // abreast)
    width, height = SIDE + 2 * GAP, SIDE + 2 * GAP + LINE
    block = width * len(rows[0]) + 2 * GAP
    sheet = Image.new("RGB", (block * abreast, height * tall), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    for number, row in enumerate(rows):
        column, line = divmod(number, tall)
        for place, cell in enumerate(row):
            x, y = column * block + GAP + place * width, line * height
            title, ink = _shortened(draw, cell.title, font), MARK if cell.marked else "black"
            draw.text((x + GAP, y + 3), title, fill=ink, font=font)
            image = _fitted(cell.image)
            at = x + (width - image.width) // 2, y + LINE + GAP + (SIDE - image.height) // 2
            sheet.paste(image, at)
            if cell.marked:
                frame = (at[0] - 3, at[1] - 3, at[0] + image.width + 2, at[1] + image.height + 2)
                draw.rectangle(frame, outline=MARK, width=3)
    return sheet


def _fitted(image: AnyImage) -> Image.Image:
    """RGB, its longer side :data:`SIDE` pixels."""
    array = as_uint8(image)
    found = Image.fromarray(array[0] if len(array) == 1 else np.ascontiguousarray(array.transpose(1, 2, 0)))
    scale = SIDE / max(found.size)
    size = max(1, round(found.width * scale)), max(1, round(found.height * scale))
    how = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BILINEAR
    return found.convert("RGB").resize(size, how)


def _shortened(draw: ImageDraw.ImageDraw, text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """As much of a text as a cell has room for."""
    text = " ".join(text.split())
    if draw.textlength(text, font=font) <= SIDE:
        return text
    while text and draw.textlength(f"{text}...", font=font) > SIDE:
        text = text[:-1]
    return f"{text}..."
