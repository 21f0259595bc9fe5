"""Geometry of alignment: the template, the similarity that fits it, the image that comes of it.

Least-squares similarity: Umeyama, "Least-squares estimation of transformation parameters between two point patterns"
(1991). Template: the five points of ArcFace (Deng et al., 2019).

Coordinates are (x, y) and continuous: pixel (i, j) covers [i, i + 1) × [j, j + 1), its centre is (i + 0.5, j + 0.5), so
that resizing multiplies them and nothing else. They belong to the image as it is seen, EXIF orientation applied.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from PIL import Image

from pasm_aug.core.errors import UserError
from pasm_aug.data.files import as_seen, read_image

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
        raise UserError(f"no similarity is determined by points that all lie at {tuple(middle)}")
    u, d, vt = np.linalg.svd((target - goal).T @ (source - middle) / len(source))
    sign = np.array([1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    turn = (u * sign) @ vt * ((d * sign).sum() / spread)
    return np.column_stack([turn, goal - turn @ middle])


def warp(image: Image.Image, matrix: np.ndarray, size: int, fill: int | tuple[int, int, int] = 0) -> Image.Image:
    """The frame of ``size`` × ``size`` that ``matrix`` (2, 3), image → frame, cuts out of an RGB image.

    Bicubic. A frame coarser than the image would alias: its part of the image is brought to the frame's scale
    first, with an antialiasing filter, and then only turned and shifted.
    """
    matrix = np.asarray(matrix, float)
    turn, shift = matrix[:, :2], matrix[:, 2]
    colour = (fill, fill, fill) if isinstance(fill, int) else tuple(fill)
    shrink = 1 / math.sqrt(abs(np.linalg.det(turn)))
    if shrink > 1:
        corners = (np.array([(0, 0), (0, size), (size, 0), (size, size)]) - shift) @ np.linalg.inv(turn).T
        low = np.maximum(np.floor(corners.min(0) - 4 * shrink), 0).astype(int)
        high = np.minimum(np.ceil(corners.max(0) + 4 * shrink), image.size).astype(int)
        if (high <= low).any():
            return Image.new("RGB", (size, size), colour)
        shape = np.maximum(np.round((high - low) / shrink), 1).astype(int)
        image = image.resize((int(shape[0]), int(shape[1])), Image.Resampling.BICUBIC, (*low, *high))
        turn, shift = turn * ((high - low) / shape), turn @ low + shift
    back = np.linalg.inv(turn)
    data = np.column_stack([back, -back @ shift]).ravel().tolist()
    frame = Image.Transform.AFFINE
    return image.transform((size, size), frame, data, Image.Resampling.BICUBIC, fillcolor=colour)


def to_rgb(image: Image.Image) -> Image.Image:
    """An image of any mode as it is seen (:func:`~pasm_aug.data.files.as_seen`), in RGB."""
    return as_seen(image).convert("RGB")


def read_photograph(path: Path) -> Image.Image:
    """A file as RGB image, as it is seen (:func:`~pasm_aug.data.files.read_image`)."""
    return read_image(path).convert("RGB")
