"""Paint a described face: Pillow polygons on a larger canvas, reduced; then light and noise by numpy."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

from pasm_aug.data.synthetic.description import Colour, Face
from pasm_aug.data.synthetic.geometry import Projection
from pasm_aug.data.synthetic.parts import paint_features
from pasm_aug.data.synthetic.props import paint_behind, paint_glasses, paint_hair, paint_hand, paint_mask
from pasm_aug.data.synthetic.strokes import Sketch, shade

_MIN_CANVAS = 160  # pixels; small faces are drawn this large at least, so that thin lines survive
_NOISE_GRID = 48  # noise is drawn on this grid whatever the size, so that every size shows the same image


def paint_face(face: Face, size: int) -> Image.Image:
    """RGB image of ``size`` × ``size`` pixels."""
    factor = max(2, -(-_MIN_CANVAS // size))
    canvas = _background(face, size * factor)
    _paint_strokes(face, canvas)
    return _light(face, np.asarray(canvas.reduce(factor), dtype=np.float32))


def _background(face: Face, pixels: int) -> Image.Image:
    top, bottom = face.background
    corners = np.array([[top, shade(top, 0.9)], [bottom, shade(bottom, 1.1)]], dtype=np.uint8)
    return Image.fromarray(corners).resize((pixels, pixels), Image.Resampling.BILINEAR)


def _paint_strokes(face: Face, canvas: Image.Image) -> None:
    sketch = Sketch(face)
    for paint in (paint_behind, paint_features, paint_hair, paint_glasses, paint_mask, paint_hand):
        paint(sketch)
    strokes = sketch.strokes
    lengths = [len(stroke.curve) for stroke in strokes]
    depths = np.repeat([np.nan if stroke.depth is None else stroke.depth for stroke in strokes], lengths)
    # One projection for all curves: it would be half of the time if done curve by curve.
    points = Projection(face)(np.concatenate([stroke.curve for stroke in strokes]), depths) * canvas.width
    flat, draw, begin = points.ravel().tolist(), ImageDraw.Draw(canvas, "RGBA"), 0
    for stroke, length in zip(strokes, lengths, strict=True):
        line, begin = flat[begin : begin + 2 * length], begin + 2 * length
        colour = _rgba(stroke.colour, stroke.alpha)
        if stroke.width is None:
            draw.polygon(line, fill=colour)
        else:
            draw.line(line, fill=colour, width=max(1, round(stroke.width * face.scale * canvas.width)))


def _rgba(colour: Colour, alpha: float) -> tuple[int, int, int, int]:
    red, green, blue = colour
    return _byte(red), _byte(green), _byte(blue), _byte(255 * alpha)


def _byte(value: float) -> int:
    return 0 if value < 0 else 255 if value > 255 else int(value)


@lru_cache(maxsize=8)
def _pixel_centres(size: int) -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[0:size, 0:size].astype(np.float32)
    return (x + 0.5) / size, (y + 0.5) / size


def _light(face: Face, pixels: np.ndarray) -> Image.Image:
    """Shade the head as a lit ellipsoid, tint, and add noise. ``pixels``: (S, S, 3) float32, 0–255."""
    size = len(pixels)
    u, v = Projection(face).inverse_plane(*_pixel_centres(size))
    u, v = u / 0.71, v / 0.94
    radius = u * u + v * v
    facing = np.sqrt(np.maximum(0.0, 1 - np.minimum(radius, 1.0)))  # z of the normal
    inside = np.minimum(1.0, 6 * np.maximum(0.0, 1 - radius))  # fades out at the rim
    lit = 1 + inside * (0.3 * facing - 0.2 + face.light[0] * np.clip(u, -1, 1) + face.light[1] * np.clip(v, -1, 1))
    tint = face.brightness * np.array([1 + face.warmth, 1.0, 1 - face.warmth], dtype=np.float32)
    grain = np.random.Generator(np.random.Philox(face.noise_seed)).standard_normal(
        (_NOISE_GRID, _NOISE_GRID), np.float32
    )
    if size != _NOISE_GRID:
        grain = np.asarray(Image.fromarray(grain).resize((size, size), Image.Resampling.BICUBIC))
    shaded = pixels * (lit[..., None].astype(np.float32) * tint) + face.noise * grain[..., None]
    return Image.fromarray(np.clip(shaded + 0.5, 0, 255).astype(np.uint8))
