"""Where the features of a described face lie: curves in face units, moved by the action units, and their projection.

Kept apart from the painting so that the boxes of the features are known without drawing.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, sin

import numpy as np

from pasm_aug.core.errors import UserError
from pasm_aug.data.synthetic.description import Face

Curve = np.ndarray  # (N, 2) float64: x, y in face units

_T = np.linspace(0.0, 1.0, 9)
# Quadratic Lagrange basis: a curve that passes through three points at t = 0, 1/2, 1.
_ARC = np.stack([(2 * _T - 1) * (_T - 1), 4 * _T * (1 - _T), _T * (2 * _T - 1)], axis=1)
_ANGLE = np.linspace(0.0, 2 * np.pi, 25)[:-1]
_CIRCLE = np.stack([np.cos(_ANGLE), np.sin(_ANGLE)], axis=1)


def arc(start: tuple[float, float], middle: tuple[float, float], end: tuple[float, float]) -> Curve:
    """Nine points of the parabola through three points."""
    return _ARC @ np.array([start, middle, end])


def ellipse(x: float, y: float, rx: float, ry: float) -> Curve:
    """24 points of an ellipse with its axes along x and y."""
    return _CIRCLE * (rx, ry) + (x, y)


@dataclass(frozen=True)
class Projection:
    """Face units → image widths: the head turns as an ellipsoid, then roll, scale and shift."""

    face: Face

    def __call__(self, curve: Curve, depths: np.ndarray | float = np.nan) -> np.ndarray:
        """(N, 2) points in image widths, (0, 0) the top left corner.

        ``depths`` in front of the plane of the outline: a number, or (N,); where it is nan, the head's ellipsoid.
        """
        face = self.face
        x, y = curve[:, 0], curve[:, 1]
        surface = 0.62 * np.sqrt(np.maximum(0.0, 1 - (x / 0.74) ** 2 - y * y))
        z = np.where(np.isnan(depths), surface, depths)
        x = x * cos(face.yaw) + z * sin(face.yaw)
        y = y * cos(face.pitch) + z * sin(face.pitch)
        along, across = face.scale * cos(face.roll), face.scale * sin(face.roll)
        points = np.empty_like(curve)
        points[:, 0] = 0.5 + face.shift[0] + along * x - across * y
        points[:, 1] = 0.5 + face.shift[1] + across * x + along * y
        return points

    def inverse_plane(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Image widths → face units on the plane of the outline (depth 0, yaw and pitch left aside)."""
        face = self.face
        dx, dy = (x - 0.5 - face.shift[0]) / face.scale, (y - 0.5 - face.shift[1]) / face.scale
        return cos(face.roll) * dx + sin(face.roll) * dy, cos(face.roll) * dy - sin(face.roll) * dx


@dataclass(frozen=True)
class Eye:
    """Lid curves run from the inner to the outer corner."""

    side: float
    upper: Curve
    lower: Curve
    iris: tuple[float, float]  # centre


@dataclass(frozen=True)
class Mouth:
    """Curves run from the left corner to the right one; inner ones bound the opening."""

    upper_outer: Curve
    upper_inner: Curve
    lower_inner: Curve
    lower_outer: Curve
    gap: float


def head_outline(face: Face) -> Curve:
    shape = face.shape
    width, height = 0.63 + shape["width"], 0.84 + shape["height"]
    outline = _CIRCLE * (width, height)
    below = np.clip(outline[:, 1] / height, 0, 1)
    outline[:, 0] *= 1 - (0.2 + shape["jaw"]) * below**2
    outline[:, 1] += below**2 * 0.1 * face.units[26]
    return outline


def brow(face: Face, side: float) -> tuple[Curve, Curve]:
    """Upper and lower edge of a brow, from its inner to its outer end; ``side`` is -1 (image left) or 1."""
    units, shape = face.units, face.shape
    knit_inner, knit_middle = units[4] * (1 - 0.7 * units[1]), units[4] * (1 - 0.6 * units[2])
    lift = 1 + side * shape["lopsided"]
    base = -0.27 + shape["brow_y"] + 0.015 * units[7] + 0.02 * units[9]
    inner = base + 0.02 - shape["brow_tilt"] + lift * (-0.12 * units[1] + 0.085 * knit_inner + 0.05 * units[9])
    middle = base - 0.03 - shape["brow_arch"] + lift * (-0.04 * units[1] - 0.1 * units[2] + 0.055 * knit_middle)
    outer = base + 0.03 + shape["brow_tilt"] + lift * (-0.085 * units[2] + 0.02 * units[4])
    inner_x = 0.115 - 0.03 * units[4] - 0.015 * units[9]
    line = arc((side * inner_x, inner), (side * 0.265, middle), (side * 0.42, outer))
    half = (0.024 + shape["brow_thick"]) * np.array([0.8, 1, 1.1, 1.1, 1.05, 0.95, 0.8, 0.6, 0.3])
    return line - np.stack([0 * half, half], axis=1), line + np.stack([0 * half, half], axis=1)


def eye(face: Face, side: float) -> Eye:
    units, shape = face.units, face.shape
    x, y = side * (0.265 + shape["eye_x"]), -0.1 + shape["eye_y"]
    half = 0.118 + shape["eye_w"]
    openness = 1 + shape["eye_open"]
    upper = (
        0.062 * openness * (1 + 0.75 * units[5] - 0.2 * units[4] - 0.3 * units[6] - 0.35 * units[7] - 0.4 * units[9])
    )
    lower = 0.036 * openness * (1 + 0.15 * units[5] - 0.75 * units[6] - 0.7 * units[7] - 0.45 * units[9])
    upper, lower = max(upper, 0.014), max(lower, 0.004)
    inner, outer = (x - side * half, y + 0.012), (x + side * half, y - 0.008)
    droop = 0.02 * units[15] * (1 - units[5])  # the outer lid of a sad eye hangs
    return Eye(
        side,
        arc(inner, (x + side * 0.005, y - upper), (outer[0], outer[1] + droop)),
        arc(inner, (x, y + lower), (outer[0], outer[1] + droop)),
        (x + shape["gaze"], y - 0.008),
    )


def nose_y(face: Face) -> float:
    return 0.2 + face.shape["nose_y"] - 0.035 * face.units[9]


def mouth(face: Face) -> Mouth:
    units, shape = face.units, face.shape
    y = 0.46 + shape["mouth_y"] + 0.03 * units[26]
    half = 0.21 + shape["mouth_w"]
    half *= 1 + 0.3 * units[12] + 0.3 * units[20] - 0.22 * units[23] - 0.16 * units[26] * (1 - units[20])
    corner = y + shape["mouth_curve"] - 0.1 * units[12] + 0.085 * units[15] + 0.02 * units[20]
    lean = 0.03 * shape["lopsided"] / 0.1 * (units[12] + units[15])
    left, right = (-half, corner - lean), (half, corner + lean)
    smile_gap = max(0.0, units[12] - 0.45 + 0.4 * shape["teeth"]) * 0.13
    gap = 0.2 * units[26] + smile_gap + 0.055 * units[16] + 0.05 * units[20]
    lip = max(0.3, (1 + shape["lip"]) * (1 - 0.7 * units[23] - 0.2 * units[12]))
    top = y + 0.012 * units[12] - 0.02 * units[15] - 0.3 * gap - 0.02 * units[9]
    bottom = top + gap + 0.012 * units[12]
    peak, bow = top - 0.058 * lip, top - 0.042 * lip
    upper_left = arc(left, (-0.5 * half, 0.62 * peak + 0.38 * left[1] - 0.004), (-0.05, peak))
    upper_right = arc((0.05, peak), (0.5 * half, 0.62 * peak + 0.38 * right[1] - 0.004), right)
    return Mouth(
        np.concatenate([upper_left, [(0.0, bow)], upper_right]),
        arc(left, (0.0, top), right),
        arc(left, (0.0, bottom), right),
        arc(left, (0.0, bottom + 0.075 * lip + 0.02 * units[16]), right),
        gap,
    )


def feature_boxes(face: Face, feature: str) -> list[np.ndarray]:
    """Boxes (left, top, right, bottom) in image widths: two for "brows" and "eyes", one for "nose", "mouth", "face"."""
    if feature == "brows":
        curves = [np.concatenate(brow(face, side)) for side in (-1.0, 1.0)]
    elif feature == "eyes":
        curves = [np.concatenate([e.upper, e.lower]) for e in (eye(face, -1.0), eye(face, 1.0))]
    elif feature == "nose":
        bottom, half = nose_y(face) + 0.06, 0.13 + face.shape["nose_w"]
        curves = [np.array([(-0.06, -0.16), (0.06, -0.16), (-half, bottom), (half, bottom)])]
    elif feature == "mouth":
        lips = mouth(face)
        curves = [np.concatenate([lips.upper_outer, lips.lower_outer])]
    elif feature == "face":
        curves = [head_outline(face)]
    else:
        raise UserError(f"feature must be brows, eyes, nose, mouth or face, got {feature!r}")
    project, margin = Projection(face), 0.0 if feature == "face" else 0.03 * face.scale
    boxes = []
    for curve in curves:
        points = project(curve, 0.0 if feature == "face" else np.nan)
        boxes.append(np.concatenate([points.min(axis=0) - margin, points.max(axis=0) + margin]))
    return boxes


def is_covered(face: Face, box: np.ndarray) -> bool:
    """Whether the middle of a feature's box (in image widths) lies behind the palm or the fingers of a hand."""
    if face.hand is None:
        return False
    x, y, angle = face.hand
    # From the heel of the hand to the finger tips the hand is about 0.2 + 0.25 long and 0.42 wide.
    along, across = np.array([sin(angle), -cos(angle)]), np.array([cos(angle), sin(angle)])
    corners = np.array([(x, y) + a * along + b * across for a in (-0.25, 0.2) for b in (-0.21, 0.21)])
    left_top, right_bottom = Projection(face)(corners, 0.35).min(axis=0), Projection(face)(corners, 0.35).max(axis=0)
    middle = (box[:2] + box[2:]) / 2
    return bool((middle > left_top).all() and (middle < right_bottom).all())
