"""What a drawn face shows: identity, pose, light and facial action units, as numbers that know nothing of pixels.

Expressions are the EMFACS prototypes (Friesen & Ekman 1983) in action units of the Facial Action Coding System.
A description is drawn from one generator, so the same generator gives the same face at any image size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

# Action units of each expression; 26 (jaw drop) parts the lips too.
PROTOTYPES: Mapping[str, tuple[int, ...]] = {
    "neutral": (),
    "anger": (4, 5, 7, 23),
    "disgust": (9, 15, 16),
    "fear": (1, 2, 4, 5, 20, 26),
    "happiness": (6, 12),
    "sadness": (1, 4, 15),
    "surprise": (1, 2, 5, 26),
}

# Features of the face that an action unit moves visibly.
UNIT_FEATURES: Mapping[int, tuple[str, ...]] = {
    1: ("brows",),
    2: ("brows",),
    4: ("brows",),
    5: ("eyes",),
    6: ("eyes",),
    7: ("eyes",),
    9: ("nose", "brows"),
    12: ("mouth",),
    15: ("mouth",),
    16: ("mouth",),
    20: ("mouth",),
    23: ("mouth",),
    26: ("mouth",),
}

Colour = tuple[float, float, float]

_SKIN = (
    (248, 214, 190),
    (240, 200, 172),
    (228, 184, 148),
    (208, 158, 118),
    (178, 126, 88),
    (142, 96, 66),
    (102, 68, 48),
)
_HAIR = ((28, 22, 20), (56, 38, 28), (92, 60, 36), (140, 94, 52), (204, 166, 104), (150, 62, 34), (150, 148, 146))
_IRIS = ((66, 42, 28), (96, 64, 36), (92, 110, 64), (78, 112, 146), (104, 118, 122))
_LENS_FRAMES = ((24, 24, 28), (96, 52, 30), (120, 120, 128), (40, 54, 110))
_MASKS = ((182, 214, 232), (232, 236, 238), (40, 42, 48), (206, 176, 190))
_HAIR_STYLES = ("short", "fringe", "long", "curly", "bald")
_HAIR_CUMULATED = (0.32, 0.52, 0.78, 0.9, 1.0)  # shares of the styles, summed up


@dataclass(frozen=True)
class Difficulty:
    """How hard the faces are to read. Ranges are (low, high) of a uniform draw, shares are probabilities.

    The defaults put the small network, trained on 1,400 faces of 48 pixels, at about 82 % on unseen ones.
    """

    intensity: tuple[float, float] = (0.7, 1.15)  # of the whole expression
    unit_spread: tuple[float, float] = (0.75, 1.15)  # factor on each action unit: prototypes are seldom complete
    stray: float = 0.05  # standard deviation of the activity of units that do not belong to the expression
    blend_share: float = 0.2
    blend_weight: tuple[float, float] = (0.15, 0.4)  # of the second expression, relative to the first
    resting: float = 0.6  # factor on how far resting faces differ
    glasses_share: float = 0.15
    mask_share: float = 0.06
    hand_share: float = 0.1
    noise: tuple[float, float] = (1.0, 5.0)  # standard deviation in grey levels


@dataclass(frozen=True)
class Face:
    """One face. Lengths are in face units: the head is about 1.3 wide and 1.7 high, its centre is (0, 0), y down.

    ``units`` maps action units to activity (0 = at rest, 1 = full); ``shape`` holds resting offsets by name.
    """

    expression: str
    units: Mapping[int, float]
    shape: Mapping[str, float]
    skin: Colour
    hair: Colour
    iris: Colour
    lips: Colour
    clothes: Colour
    background: tuple[Colour, Colour]
    hair_style: str
    roll: float  # radians
    yaw: float
    pitch: float
    scale: float  # image widths a face unit
    shift: tuple[float, float]  # image widths
    light: tuple[float, float]  # direction times strength
    brightness: float
    warmth: float
    noise: float  # grey levels
    noise_seed: int
    beard: float = 0.0  # opacity
    glasses: Colour | None = None
    mask: Colour | None = None
    hand: tuple[float, float, float] | None = None  # x, y in face units, angle of the fingers in radians


def describe_face(rng: np.random.Generator, expression: str, difficulty: Difficulty | None = None) -> Face:
    """Draw a face that shows ``expression`` (a key of :data:`PROTOTYPES`)."""
    knobs = difficulty or Difficulty()
    units = _action_units(rng, expression, knobs)
    skin = _jitter(rng, _SKIN[rng.integers(len(_SKIN))], 7)
    mask, hand, glasses = _occluders(rng, knobs)
    hair_style = _HAIR_STYLES[int(np.searchsorted(_HAIR_CUMULATED, rng.random()))]
    background = _jitter(rng, (128, 134, 138), 40)
    return Face(
        expression=expression,
        units=units,
        shape=_resting_shape(rng, knobs.resting),
        skin=skin,
        hair=_jitter(rng, _HAIR[rng.integers(len(_HAIR))], 10),
        iris=_jitter(rng, _IRIS[rng.integers(len(_IRIS))], 8),
        lips=_mix(skin, (176, 60, 66), rng.uniform(0.25, 0.6)),
        clothes=_jitter(rng, (110, 110, 120), 75),
        background=(background, _jitter(rng, background, 30)),
        hair_style=hair_style,
        roll=rng.normal(0, 0.07),
        yaw=rng.uniform(-0.3, 0.3),
        pitch=rng.normal(0, 0.08),
        scale=rng.uniform(0.51, 0.57),
        shift=(rng.normal(0, 0.018), rng.normal(0, 0.018) - 0.005),
        light=(rng.normal(0, 0.22), rng.normal(-0.12, 0.15)),
        brightness=rng.uniform(0.72, 1.06),
        warmth=rng.normal(0, 0.05),
        noise=rng.uniform(*knobs.noise),
        noise_seed=int(rng.integers(2**32)),
        beard=float(rng.uniform(0.25, 0.85)) if hair_style != "long" and rng.random() < 0.22 else 0.0,
        glasses=glasses,
        mask=mask,
        hand=hand,
    )


def _action_units(rng: np.random.Generator, expression: str, knobs: Difficulty) -> dict[int, float]:
    """Activity of every unit: the prototype, perhaps a weaker second one, and stray movements."""
    intensity, weight = rng.uniform(*knobs.intensity), rng.uniform(*knobs.blend_weight)
    blended = rng.random() < knobs.blend_share
    others = [name for name in PROTOTYPES if name not in (expression, "neutral")]
    second = others[rng.integers(len(others))]
    spread = rng.uniform(*knobs.unit_spread, size=len(UNIT_FEATURES))
    stray = np.abs(rng.normal(0, knobs.stray, size=len(UNIT_FEATURES)))
    if expression == "neutral":
        weight *= 0.3  # a hint of an expression is still neutral
    units = {}
    for unit, factor, rest in zip(UNIT_FEATURES, spread, stray, strict=True):
        first = intensity * factor if unit in PROTOTYPES[expression] else 0.0
        other = intensity * weight * factor if blended and unit in PROTOTYPES[second] else 0.0
        units[unit] = float(min(max(first, other, rest), 1.2))
    return units


def _resting_shape(rng: np.random.Generator, spread: float) -> dict[str, float]:
    """What differs between faces at rest; some rest with low brows or turned-down mouths."""
    deviations = {
        "jaw": 0.05, "width": 0.03, "height": 0.03, "brow_y": 0.018, "brow_tilt": 0.016, "brow_arch": 0.014,
        "brow_thick": 0.009, "eye_x": 0.014, "eye_y": 0.012, "eye_w": 0.01, "eye_open": 0.13, "gaze": 0.016,
        "nose_w": 0.014, "nose_y": 0.02, "mouth_y": 0.02, "mouth_w": 0.024, "mouth_curve": 0.014, "lip": 0.2,
        "lopsided": 0.1, "teeth": 0.35, "age": 0.3, "parting": 0.3, "hairline": 0.05,
    }  # fmt: skip
    draws = np.clip(rng.normal(size=len(deviations)), -2.2, 2.2) * spread
    return {name: float(deviation * draw) for (name, deviation), draw in zip(deviations.items(), draws, strict=True)}


def _occluders(
    rng: np.random.Generator, knobs: Difficulty
) -> tuple[Colour | None, tuple[float, float, float] | None, Colour | None]:
    """At most one of mask and hand, and glasses besides."""
    choice, glasses = rng.random(2)
    mask_colour, frame = _MASKS[rng.integers(len(_MASKS))], _LENS_FRAMES[rng.integers(len(_LENS_FRAMES))]
    side = 1.0 if rng.random() < 0.5 else -1.0
    places = ((0.0, 0.5), (side * 0.3, 0.46), (side * 0.42, 0.1), (side * 0.3, -0.14))
    x, y = places[rng.integers(len(places))]
    hand = (x + rng.normal(0, 0.04), y + rng.normal(0, 0.04), side * rng.uniform(-0.1, 0.7))
    masked = choice < knobs.mask_share
    covered = not masked and choice < knobs.mask_share + knobs.hand_share
    return (
        mask_colour if masked else None,
        hand if covered else None,
        frame if glasses < knobs.glasses_share else None,
    )


def _jitter(rng: np.random.Generator, colour: Colour, spread: float) -> Colour:
    common, *own = (spread * rng.standard_normal(4)).tolist()
    red, green, blue = (min(250.0, max(8.0, c + common + o / 3)) for c, o in zip(colour, own, strict=True))
    return red, green, blue


def _mix(a: Colour, b: Colour, share: float) -> Colour:
    red, green, blue = (p * (1 - share) + q * share for p, q in zip(a, b, strict=True))
    return red, green, blue
