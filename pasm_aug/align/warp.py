"""Geometry of alignment: the template, the similarity that fits it, the picture that comes of it.

Least-squares similarity: Umeyama, "Least-squares estimation of transformation parameters between two point patterns"
(1991). Template: the five points of ArcFace (Deng et al., 2019).

Coordinates are (x, y) and continuous: pixel (i, j) covers [i, i + 1) × [j, j + 1), its centre is (i + 0.5, j + 0.5), so
that resizing multiplies them and nothing else. They belong to the picture as it is seen, EXIF orientation applied.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from pasm_aug.data.files import PictureError

TEMPLATE = np.array(
    [(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)]
)  # in a 112×112 frame: image-left eye, image-right eye, nose, image-left and image-right corner of the mouth
_TEMPLATE_SIDE = 112


def template(size: int, margin: float = 0.0) -> np.ndarray:
    """(5, 2) float64: where eyes, nose and mouth go in a frame of ``size`` pixels; ``margin`` as in the aligner."""
    return (TEMPLATE + margin * _TEMPLATE_SIDE) * size / (_TEMPLATE_SIDE * (1 + 2 * margin))


def umeyama(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The similarity (rotation, one scale, shift; no reflection) that brings points closest to others.

    Args:
        source, target: (N, 2), N ≥ 2.

    Returns:
        (2, 3) float64 M that minimises Σ ‖M (x, y, 1)ᵀ − target‖².

    Raises:
        ValueError: all source points are one.
    """
    source, target = np.asarray(source, float), np.asarray(target, float)
    middle, goal = source.mean(0), target.mean(0)
    spread = ((source - middle) ** 2).sum(1).mean()
    if spread < 1e-12:
        raise ValueError(f"no similarity is determined by points that all lie at {tuple(middle)}")
    u, d, vt = np.linalg.svd((target - goal).T @ (source - middle) / len(source))
    sign = np.array([1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    turn = (u * sign) @ vt * ((d * sign).sum() / spread)
    return np.column_stack([turn, goal - turn @ middle])


def warp(picture: Image.Image, matrix: np.ndarray, size: int, fill: int | tuple[int, int, int] = 0) -> Image.Image:
    """The frame of ``size`` × ``size`` that ``matrix`` (2, 3), picture → frame, cuts out of an RGB picture.

    Bicubic. A frame coarser than the picture would alias: its part of the picture is brought to the frame's scale
    first, with an antialiasing filter, and then only turned and shifted.
    """
    matrix = np.asarray(matrix, float)
    turn, shift = matrix[:, :2], matrix[:, 2]
    colour = (fill, fill, fill) if isinstance(fill, int) else tuple(fill)
    shrink = 1 / math.sqrt(abs(np.linalg.det(turn)))
    if shrink > 1:
        corners = (np.array([(0, 0), (0, size), (size, 0), (size, size)]) - shift) @ np.linalg.inv(turn).T
        low = np.maximum(np.floor(corners.min(0) - 4 * shrink), 0).astype(int)
        high = np.minimum(np.ceil(corners.max(0) + 4 * shrink), picture.size).astype(int)
        if (high <= low).any():
            return Image.new("RGB", (size, size), colour)
        shape = np.maximum(np.round((high - low) / shrink), 1).astype(int)
        picture = picture.resize((int(shape[0]), int(shape[1])), Image.Resampling.BICUBIC, (*low, *high))
        turn, shift = turn * ((high - low) / shape), turn @ low + shift
    back = np.linalg.inv(turn)
    data = np.column_stack([back, -back @ shift]).ravel().tolist()
    frame = Image.Transform.AFFINE
    return picture.transform((size, size), frame, data, Image.Resampling.BICUBIC, fillcolor=colour)


def to_rgb(picture: Image.Image) -> Image.Image:
    """A picture of any mode as it is seen, in RGB: EXIF orientation applied, transparent parts white, 16 bits as 8.

    Raises:
        TypeError: no PIL picture.
        ValueError: floating-point pixels, whose range is anyone's guess.
    """
    if not isinstance(picture, Image.Image):
        raise TypeError(f"wanted a PIL picture, got {type(picture).__name__}")
    picture = ImageOps.exif_transpose(picture)
    if picture.mode == "F":
        raise ValueError("its pixels are floating-point numbers of unknown range; bring it to 0…255 first")
    if picture.mode == "I" or picture.mode.startswith("I;16"):  # some versions of Pillow read 16-bit files as "I"
        levels = np.asarray(picture).astype(np.int64).clip(0, 65535)
        picture = Image.fromarray(((levels + 128) // 257).astype(np.uint8))
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return picture.convert("RGB")


def read_photograph(path: Path) -> Image.Image:
    """A file as RGB picture, as :func:`to_rgb` makes it; the first frame of an animated one.

    Raises:
        PictureError: the file is missing, damaged or no picture, by name.
    """
    try:
        with Image.open(path) as picture:
            return to_rgb(picture)
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error and others
        raise PictureError(f"cannot read {path} as a picture: {error}") from error
