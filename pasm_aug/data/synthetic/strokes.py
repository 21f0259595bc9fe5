"""Strokes: what a drawn face is made of, in face units and in the order of painting."""

from __future__ import annotations

from dataclasses import dataclass

from pasm_aug.data.synthetic.description import Colour, Face
from pasm_aug.data.synthetic.geometry import Curve

SIDES = (-1.0, 1.0)  # left and right in the image
_FAINT = 0.04  # an opacity below which nothing is painted


@dataclass(frozen=True)
class Stroke:
    """A filled polygon, or a line if it has a width."""

    curve: Curve
    colour: Colour
    alpha: float
    depth: float | None  # in front of the plane of the outline; None: on the head's ellipsoid
    width: float | None = None


class Sketch:
    """A face and the strokes collected for it, from the back to the front."""

    def __init__(self, face: Face) -> None:
        self.face = face
        self.strokes: list[Stroke] = []

    def fill(self, curve: Curve, colour: Colour, alpha: float = 1.0, *, depth: float | None = None) -> None:
        if alpha > _FAINT:
            self.strokes.append(Stroke(curve, colour, alpha, depth))

    def line(self, curve: Curve, colour: Colour, alpha: float, width: float, *, depth: float | None = None) -> None:
        if alpha > _FAINT:
            self.strokes.append(Stroke(curve, colour, alpha, depth, width))


def shade(colour: Colour, factor: float) -> Colour:
    """Darker (factor < 1), or lighter towards white."""
    if factor <= 1:
        return colour[0] * factor, colour[1] * factor, colour[2] * factor
    red, green, blue = (255 - (255 - channel) * (2 - factor) for channel in colour)
    return red, green, blue
