"""The face itself as strokes: head, folds, eyes, brows, nose and mouth, moved by the action units."""

from __future__ import annotations

import numpy as np

from pasm_aug.data.synthetic.geometry import arc, brow, ellipse, eye, head_outline, mouth, nose_y
from pasm_aug.data.synthetic.strokes import SIDES, Sketch, shade


def paint_features(sketch: Sketch) -> None:
    """All of the face from the skin to the brows."""
    paint_head(sketch)
    paint_folds(sketch)
    for side in SIDES:
        paint_eye(sketch, side)
    paint_nose(sketch)
    paint_beard(sketch)
    paint_mouth(sketch)
    for side in SIDES:
        upper, lower = brow(sketch.face, side)
        sketch.fill(np.concatenate([upper, lower[::-1]]), shade(sketch.face.hair, 0.8), 0.92)


def paint_head(sketch: Sketch) -> None:
    face, skin = sketch.face, sketch.face.skin
    sketch.fill(head_outline(face), skin, depth=0.0)
    for side in SIDES:
        sketch.fill(ellipse(side * 0.32, 0.2, 0.17, 0.13), (220, 90, 80), 0.07)
        sketch.fill(ellipse(side * 0.27, -0.12, 0.19, 0.13), shade(skin, 0.72), 0.22)
    sketch.fill(ellipse(0, 0.72, 0.13, 0.08), shade(skin, 1.25), 0.25)
    sketch.fill(ellipse(0, -0.5, 0.3, 0.14), shade(skin, 1.25), 0.18)


def paint_folds(sketch: Sketch) -> None:
    """Wrinkles and folds that come with the action units, and a little with age."""
    face, units = sketch.face, sketch.face.units
    dark, age = shade(face.skin, 0.55), max(0.0, face.shape["age"])
    forehead = min(1.0, 0.5 * (units[1] + units[2]) + 0.3 * age)
    spread = 0.3 if units[2] > units[1] - 0.2 else 0.17
    for y in (-0.46, -0.53, -0.6):
        sketch.line(arc((-spread, y + 0.01), (0, y - 0.01), (spread, y + 0.01)), dark, 0.5 * forehead, 0.018)
    lips = mouth(face)
    for side, corner in zip(SIDES, (lips.upper_inner[0], lips.upper_inner[-1]), strict=True):
        x = side * (0.15 + face.shape["nose_w"])
        fold = min(1.0, max(units[12], 0.8 * units[9], 0.4 * units[20], 0.35 * units[15]) + 0.35 * age)
        bend = (side * (abs(corner[0]) * 0.75 + 0.1 + 0.03 * units[12]), 0.3)
        end = (corner[0] + side * 0.055, corner[1] + 0.02)
        sketch.line(arc((x, nose_y(face)), bend, end), dark, 0.62 * fold, 0.022)
        droop = (corner[0] + side * 0.04, corner[1] + 0.13)
        sketch.line(arc(tuple(corner), (corner[0] + side * 0.03, corner[1] + 0.05), droop), dark, 0.6 * units[15], 0.02)
        sketch.line(
            arc((side * 0.16, 0.03), (side * 0.28, 0.06), (side * 0.4, 0.0)),
            dark,
            0.5 * units[6] + 0.2 * age,
            0.018,
        )
        for rise in (-0.05, 0.0, 0.05):
            crow = arc(
                (side * 0.43, -0.1 + 0.3 * rise), (side * 0.47, -0.1 + 0.7 * rise), (side * 0.51, -0.1 + 1.4 * rise)
            )
            sketch.line(crow, dark, 0.5 * units[6], 0.014)
        sketch.line(arc((side * 0.04, -0.32), (side * 0.035, -0.26), (side * 0.05, -0.19)), dark, 0.7 * units[4], 0.02)
        sketch.line(arc((side * 0.03, -0.12), (side * 0.07, -0.06), (side * 0.09, 0.03)), dark, 0.7 * units[9], 0.02)
    for y in (-0.14, -0.09):
        sketch.line(arc((-0.06, y + 0.01), (0, y - 0.01), (0.06, y + 0.01)), dark, 0.75 * units[9], 0.018)
    sketch.fill(ellipse(0, 0.63, 0.1, 0.05), dark, 0.3 * min(1.0, units[15] + 0.6 * units[23]))


def paint_eye(sketch: Sketch, side: float) -> None:
    face, skin, shape = sketch.face, sketch.face.skin, eye(sketch.face, side)
    sketch.fill(np.concatenate([shape.upper, shape.lower[::-1]]), (238, 234, 230))
    x, y = shape.iris
    sketch.fill(ellipse(x, y, 0.056, 0.056), face.iris)
    sketch.fill(ellipse(x, y, 0.026, 0.026), (14, 12, 12))
    sketch.fill(ellipse(x + 0.018, y - 0.02, 0.012, 0.012), (255, 255, 255), 0.9)
    # Lids painted over the iris clip it to the opening.
    brim = shape.upper - (0, 0.07) * np.sin(np.linspace(0, np.pi, 9))[:, None]
    sketch.fill(np.concatenate([shape.upper, brim[::-1]]), shade(skin, 0.88))
    bag = shape.lower + (0, 0.06) * np.sin(np.linspace(0, np.pi, 9))[:, None]
    sketch.fill(np.concatenate([shape.lower, bag[::-1]]), shade(skin, 0.93))
    sketch.line(shape.upper, shade(face.hair, 0.45), 0.9, 0.024)
    sketch.line(shape.lower, shade(skin, 0.5), 0.55, 0.012)
    sketch.line(shape.upper - (0, 0.035 + 0.015 * face.units[5]), shade(skin, 0.55), 0.4, 0.012)


def paint_nose(sketch: Sketch) -> None:
    face, skin, y = sketch.face, sketch.face.skin, nose_y(sketch.face)
    half = 0.1 + face.shape["nose_w"] + 0.012 * face.units[9]
    lit = -1.0 if face.light[0] > 0 else 1.0  # the side in shadow
    sketch.fill(
        np.array([(lit * 0.03, -0.14), (lit * 0.075, y - 0.04), (lit * half, y + 0.03), (0, y + 0.02)]),
        shade(skin, 0.66),
        0.4,
    )
    sketch.fill(np.array([(-0.02, -0.16), (0.02, -0.16), (0.035, y), (-0.035, y)]), shade(skin, 1.3), 0.35)
    sketch.fill(ellipse(0, y + 0.0, 0.06, 0.05), shade(skin, 1.3), 0.25)
    for side in SIDES:
        sketch.fill(ellipse(side * half * 0.78, y + 0.015, 0.042, 0.042), shade(skin, 0.82), 0.6)
        sketch.fill(ellipse(side * 0.05, y + 0.045, 0.03, 0.016), (40, 20, 18), 0.75)
    sketch.line(arc((-half, y + 0.04), (0, y + 0.075), (half, y + 0.04)), shade(skin, 0.55), 0.5, 0.016)


def paint_beard(sketch: Sketch) -> None:
    face, alpha = sketch.face, sketch.face.beard
    if not alpha:
        return
    outline = head_outline(face)
    jaw = outline[outline[:, 1] > 0.2]
    jaw = jaw[np.argsort(jaw[:, 0])]
    lips = mouth(face)
    edge = abs(jaw[0, 0])
    rim = np.concatenate([arc((edge, 0.1), (0.4, 0.42), (0.2, 0.35)), arc((-0.2, 0.35), (-0.4, 0.42), (-edge, 0.1))])
    sketch.fill(np.concatenate([jaw, rim]), face.hair, 0.5 * alpha, depth=0.0)
    moustache = np.concatenate([lips.upper_outer - (0, 0.01), (lips.upper_outer - (0, 0.075))[::-1]])
    sketch.fill(moustache, face.hair, 0.85 * alpha)


def paint_mouth(sketch: Sketch) -> None:
    face, lips = sketch.face, mouth(sketch.face)
    opening = np.concatenate([lips.upper_inner, lips.lower_inner[::-1]])
    sketch.fill(ellipse(0, lips.lower_outer[4, 1] + 0.035, 0.12, 0.025), shade(face.skin, 0.6), 0.35)
    if lips.gap > 0.015:
        sketch.fill(opening, (52, 18, 20))
        blend = min(1.0, 0.055 / lips.gap)
        if face.units[26] > 0.3:
            tongue = lips.lower_inner * 0.6 + lips.upper_inner * 0.4
            sketch.fill(np.concatenate([tongue[2:-2], lips.lower_inner[2:-2][::-1]]), (170, 70, 74), 0.9)
        if face.units[12] + face.units[20] + face.shape["teeth"] > 0.35:
            edge = lips.upper_inner * (1 - blend) + lips.lower_inner * blend
            sketch.fill(np.concatenate([lips.upper_inner[1:-1], edge[1:-1][::-1]]), (236, 230, 218))
        if face.units[16] > 0.3:
            edge = lips.lower_inner * (1 - 0.6 * blend) + lips.upper_inner * 0.6 * blend
            sketch.fill(np.concatenate([lips.lower_inner[1:-1], edge[1:-1][::-1]]), (226, 220, 208))
    sketch.fill(np.concatenate([lips.upper_outer, lips.upper_inner[::-1]]), shade(face.lips, 0.9))
    sketch.fill(np.concatenate([lips.lower_inner, lips.lower_outer[::-1]]), face.lips)
    sketch.line(lips.lower_inner * 0.6 + lips.lower_outer * 0.4, shade(face.lips, 1.3), 0.35, 0.02)
    sketch.line(lips.upper_inner, (60, 24, 26), 0.8, 0.016)
