"""What surrounds a drawn face and covers it, as strokes: shoulders, ears, hair, glasses, medical mask, hand."""

from __future__ import annotations

import numpy as np

from pasm_aug.data.synthetic.geometry import arc, ellipse
from pasm_aug.data.synthetic.strokes import SIDES, Sketch, shade


def paint_behind(sketch: Sketch) -> None:
    face, hair = sketch.face, sketch.face.hair
    if face.hair_style == "long":
        sketch.fill(ellipse(0, -0.05, 0.78, 0.98), shade(hair, 0.8), depth=-0.25)
        sketch.fill(np.array([(-0.77, 0), (0.77, 0), (0.84, 1.15), (-0.84, 1.15)]), shade(hair, 0.8), depth=-0.25)
    elif face.hair_style == "curly":
        for angle in np.linspace(0.95 * np.pi, 2.05 * np.pi, 9):
            sketch.fill(ellipse(0.62 * np.cos(angle), 0.72 * np.sin(angle) - 0.12, 0.25, 0.25), hair, depth=-0.2)
    neck = np.array([(-0.3, 0.5), (0.3, 0.5), (0.34, 1.15), (-0.34, 1.15)])
    sketch.fill(ellipse(0, 1.45, 1.05, 0.5), face.clothes, depth=-0.2)
    sketch.fill(neck, shade(face.skin, 0.78), depth=-0.1)
    for side in SIDES:
        sketch.fill(ellipse(side * 0.635, 0.0, 0.09, 0.16), shade(face.skin, 0.86), depth=-0.1)
        sketch.fill(ellipse(side * 0.645, 0.0, 0.045, 0.1), shade(face.skin, 0.7), depth=-0.1)


def paint_hair(sketch: Sketch) -> None:
    face, style = sketch.face, sketch.face.hair_style
    if style == "bald":
        return
    line = -0.56 + face.shape["hairline"] + (0.2 if style == "fringe" else 0.0)
    crown = ellipse(0, -0.1, 0.69 + face.shape["width"], 0.86 + face.shape["height"])
    crown = crown[crown[:, 1] < -0.18]
    crown = crown[np.argsort(crown[:, 0])]
    temple = crown[-1, 0] - 0.1
    part = 0.6 * float(np.clip(face.shape["parting"], -0.5, 0.5))
    right = arc((crown[-1, 0], -0.1), (temple, -0.34), (temple * 0.75, line + 0.06))
    left = arc((-temple * 0.75, line + 0.06), (-temple, -0.34), (crown[0, 0], -0.1))
    front = arc(
        (temple * 0.75, line + 0.06),
        (part, line - (0.06 if style != "fringe" else 0.0)),
        (-temple * 0.75, line + 0.06),
    )
    sketch.fill(np.concatenate([crown, right, front, left]), face.hair, depth=0.04)
    for x in (-0.36, -0.12, 0.14, 0.38):
        strand = arc((0.8 * part + 0.2 * x, -0.86), (0.3 * part + 0.8 * x, -0.76), (1.15 * x, line - 0.06))
        sketch.line(strand, shade(face.hair, 1.22), 0.3, 0.022, depth=0.04)
    if style == "long":
        for side in SIDES:
            lock = np.concatenate(
                [
                    arc((side * 0.6, -0.45), (side * 0.62, 0.2), (side * 0.56, 1.1)),
                    [(side * 0.84, 1.1), (side * 0.72, -0.3)],
                ]
            )
            sketch.fill(lock, shade(face.hair, 0.92), depth=0.0)


def paint_glasses(sketch: Sketch) -> None:
    face = sketch.face
    if face.glasses is None:
        return
    for side in SIDES:
        rim = ellipse(side * 0.27, -0.08, 0.19, 0.145)
        sketch.fill(rim, (210, 225, 235), 0.16)
        sketch.line(np.concatenate([rim, rim[:2]]), face.glasses, 0.95, 0.03)
        sketch.line(np.array([(side * 0.46, -0.1), (side * 0.64, -0.06)]), face.glasses, 0.95, 0.03, depth=0.1)
    sketch.line(arc((-0.08, -0.09), (0, -0.12), (0.08, -0.09)), face.glasses, 0.95, 0.03)


def paint_mask(sketch: Sketch) -> None:
    face = sketch.face
    if face.mask is None:
        return
    top = arc((-0.53, 0.08), (0, -0.0), (0.53, 0.08))
    bottom = arc((0.44, 0.62), (0, 0.98 + 0.08 * face.units[26]), (-0.44, 0.62))
    sketch.fill(np.concatenate([top, bottom]), face.mask)
    for y in (0.24, 0.4, 0.56):
        sketch.line(arc((-0.48, y), (0, y + 0.06), (0.48, y)), shade(face.mask, 0.75), 0.6, 0.018)
    for side in SIDES:
        sketch.line(np.array([(side * 0.53, 0.1), (side * 0.64, 0.0)]), shade(face.mask, 0.9), 1.0, 0.025, depth=0.05)


def paint_hand(sketch: Sketch) -> None:
    if sketch.face.hand is None:
        return
    (x, y, angle), skin = sketch.face.hand, sketch.face.skin
    along, across = np.array([np.sin(angle), -np.cos(angle)]), np.array([np.cos(angle), np.sin(angle)])
    base = np.array([x, y]) - 0.06 * along
    wrist = [
        base - 0.2 * across,
        base + 0.2 * across,
        base + 0.16 * across - 1.6 * along,
        base - 0.16 * across - 1.6 * along,
    ]
    sketch.fill(np.array(wrist), shade(skin, 0.92), depth=0.3)
    for place, length in ((-0.16, 0.22), (-0.055, 0.29), (0.055, 0.28), (0.16, 0.2)):
        root = base + place * across
        tip = root + length * along
        finger = np.array(
            [
                root - 0.052 * across,
                tip - 0.046 * across,
                tip + 0.05 * along,
                tip + 0.046 * across,
                root + 0.052 * across,
            ]
        )
        sketch.fill(finger, skin, depth=0.35)
        sketch.line(finger, shade(skin, 0.6), 0.6, 0.014, depth=0.35)
