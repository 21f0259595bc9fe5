"""From a photograph to aligned faces: MTCNN finds them, a similarity brings their eyes, nose and mouth to a template.

The detector is in :mod:`pasm_aug.data.align.detector`; the geometry, and what coordinates mean, in
:mod:`pasm_aug.data.align.warp`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, fields
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from pasm_aug.core.errors import UserError
from pasm_aug.data.align.detector import Detector, Face
from pasm_aug.data.align.warp import template, to_rgb, umeyama, warp

Mode = Literal["similarity", "eyes", "crop"]
Select = Literal["largest", "center", "all"]


@dataclass(frozen=True, eq=False)
class AlignedFace(Face):
    """A face and its aligned image; box and landmarks are those in the photograph.

    Attributes:
        image (PIL.Image): RGB, ``size`` × ``size``.
    """

    image: Image.Image


@dataclass(frozen=True)
class FaceAligner:
    """Find faces and bring them to one frame: ``aligner(photograph)`` → list of :class:`AlignedFace`.

    Args:
        size (int): side of the aligned image in pixels. Default: ``224``.
        margin (float): added on each side, as a share of the template (or, with ``mode="crop"``, of the squared box).
            ArcFace's own crop, 0, cuts the chin; at the default, ``0.15``, chin and forehead are in, of an open mouth
            too.
        mode (str): ``"similarity"`` (default) fits all five landmarks; ``"eyes"`` turns the eye line level and scales
            by the eyes' distance; ``"crop"`` cuts the detector's box, squared, without turning it.
        select (str): the ``"largest"`` face (default), the one nearest to the ``"center"``, or ``"all"``, largest
            first.
        fill (int or tuple of int): colour where the frame reaches over the photograph's edge, 0…255 or three of them.
            Default: ``0``.
        device (str, optional): of the detector; ``None`` is a GPU if there is one.
        min_face_size (int): in pixels; the larger, the faster. Default: ``20``.
        thresholds (tuple of float): of MTCNN's three networks, in [0, 1]. Default: ``(0.6, 0.7, 0.7)``.
        batch_size (int): equal-sized photographs in one forward pass, at most. Default: ``16``.

    Raises:
        ValueError: If an option is off its range, by name.
    """

    size: int = 224
    _: KW_ONLY
    margin: float = 0.15
    mode: Mode = "similarity"
    select: Select = "largest"
    fill: int | tuple[int, int, int] = 0
    device: str | None = None
    min_face_size: int = 20
    thresholds: tuple[float, float, float] = (0.6, 0.7, 0.7)
    batch_size: int = 16

    def __post_init__(self) -> None:
        fill = (self.fill,) if isinstance(self.fill, int) else tuple(self.fill)
        for name, good, wanted in (
            ("size", 8 <= self.size <= 4096 and self.size == int(self.size), "whole, in 8…4096"),
            ("margin", 0 <= self.margin <= 2, "in [0, 2]"),
            ("mode", self.mode in get_args(Mode), "similarity, eyes or crop"),
            ("select", self.select in get_args(Select), "largest, center or all"),
            ("fill", len(fill) in (1, 3) and all(0 <= f <= 255 for f in fill), "a number in 0…255, or three of them"),
            ("min_face_size", self.min_face_size >= 12, "12 or more: MTCNN sees no smaller ones"),
            ("thresholds", len(self.thresholds) == 3 and all(0 <= t <= 1 for t in self.thresholds), "three in [0, 1]"),
            ("batch_size", self.batch_size >= 1, "1 or more"),
        ):
            if not good:
                raise UserError(f"{name} must be {wanted}, got {getattr(self, name)!r}")

    def __call__(self, image: Image.Image) -> list[AlignedFace]:
        """The chosen faces of a photograph of any mode, aligned; an empty list when there is none."""
        image = to_rgb(image)
        return self.cut(image, self.detect([image])[0])

    def detect(self, images: Sequence[Image.Image]) -> list[list[Face]]:
        """All faces of each photograph, largest first; equal-sized photographs share forward passes."""
        return self._detector.detect([to_rgb(image) for image in images])

    def detect_each(self, images: Sequence[Image.Image]) -> list[list[Face] | Exception]:
        """As :meth:`detect`; what an image makes it raise stands in that image's place, and harms no other."""
        try:
            return [*self.detect(images)]
        except Exception as error:
            return [error] if len(images) == 1 else [self.detect_each([image])[0] for image in images]

    def choose(self, faces: Sequence[Face], size: tuple[int, int]) -> list[Face]:
        """Those of ``faces`` (largest first) that ``select`` wants; ``size`` (width, height) of their image."""
        if self.select == "center":
            middle = np.array([*size, *size]) / 2
            faces = sorted(faces, key=lambda face: math.hypot(*(np.array(face.box) - middle).reshape(2, 2).sum(0)))
        return list(faces if self.select == "all" else faces[:1])

    def cut(self, image: Image.Image, faces: Sequence[Face]) -> list[AlignedFace]:
        """The chosen ones of a photograph's ``faces``, aligned."""
        return [
            AlignedFace(face.box, face.landmarks, face.probability, self.align(image, face.landmarks, face.box))
            for face in self.choose(faces, image.size)
        ]

    def align(
        self, image: Image.Image, landmarks: ArrayLike | None, box: tuple[float, float, float, float] | None = None
    ) -> Image.Image:
        """One face brought into the frame.

        Args:
            image (PIL.Image): the photograph, of any mode.
            landmarks (ndarray): (5, 2), as in :class:`Face`; ``mode="crop"`` needs none.
            box (tuple of float, optional): (left, top, right, bottom); ``mode="crop"`` needs it, the others do not.

        Returns:
            PIL.Image: RGB, ``size`` × ``size``.

        Raises:
            ValueError: If the landmarks have another shape, are not finite or all in one place; if a box that is
                needed is missing.
        """
        return warp(to_rgb(image), self.matrix(landmarks, box), self.size, self.fill)

    def matrix(self, landmarks: ArrayLike | None, box: tuple[float, float, float, float] | None = None) -> np.ndarray:
        """(2, 3) float64: photograph (x, y, 1) → frame (x, y), as :meth:`align` applies it."""
        if self.mode == "crop":
            if box is None:
                raise UserError('mode="crop" needs the box of the face, got None')
            left, top, right, bottom = box
            side = max(right - left, bottom - top) * (1 + 2 * self.margin)
            if not side > 0:
                raise UserError(f"box must be (left, top, right, bottom), left < right, top < bottom, got {box}")
            scale, centre = self.size / side, np.array([left + right, top + bottom]) / 2
            return np.column_stack([scale * np.eye(2), self.size / 2 - scale * centre])
        points = np.asarray(np.nan if landmarks is None else landmarks, float)
        target = template(self.size, self.margin)
        if points.shape != (5, 2) or not np.isfinite(points).all():
            raise UserError(f"landmarks must be five finite points (5, 2), got {points.tolist()}")
        if self.mode == "eyes":
            return umeyama(points[:2], np.column_stack([target[:2, 0], np.full(2, target[:2, 1].mean())]))
        return umeyama(points, target)

    def options(self) -> dict[str, Any]:
        """What decides on the aligned image: every option but the device and the batch size."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("device", "batch_size")}

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_detector"}

    @functools.cached_property
    def _detector(self) -> Detector:
        return Detector(self.min_face_size, self.thresholds, self.batch_size, self.device)
