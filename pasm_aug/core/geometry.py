"""Where a square lies on an image: pixel boxes, clipped at the borders; pure functions."""

from __future__ import annotations

import math

from pasm_aug.core.errors import UserError

Box = tuple[int, int, int, int]


def patch_box(x: int, y: int, size: int, width: int, height: int) -> Box:
    """Box of a ``size`` × ``size`` patch centred on pixel (x, y), clipped at the borders.

    An odd patch has (x, y) in its middle; an even one extends one pixel further to the left and top.

    Returns:
        ``(left, top, right, bottom)`` in pixels, right and bottom exclusive; never empty for a position inside.

    Raises:
        ValueError: ``size`` < 1, or (x, y) outside the image.
    """
    if size < 1:
        raise UserError(f"size must be at least 1 pixel, got {size}")
    if not (0 <= x < width and 0 <= y < height):
        raise UserError(f"position must lie inside the {width}x{height} image, got (x={x}, y={y})")
    box = clipped_box(x, y, size, width, height)
    assert box is not None
    return box


def clipped_box(x: int, y: int, size: int, width: int, height: int) -> Box | None:
    """:func:`patch_box` for a position that may lie off the image; ``None`` if no part of the patch is on it."""
    left, top = x - size // 2, y - size // 2
    right, bottom = left + size, top + size
    if right <= 0 or bottom <= 0 or left >= width or top >= height:
        return None
    return max(left, 0), max(top, 0), min(right, width), min(bottom, height)


def side_in_pixels(size: float, shorter: int) -> int:
    """Side of a patch: an int is pixels, a float a share of the image's shorter side (nearest pixel, at least 1)."""
    return size if isinstance(size, int) else max(1, math.floor(size * shorter + 0.5))
