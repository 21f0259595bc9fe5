"""From a photograph to aligned faces: MTCNN finds them, a similarity brings their eyes, nose and mouth to a template.

Detection: Zhang et al., "Joint Face Detection and Alignment Using Multitask Cascaded Convolutional Networks" (2016), as
facenet-pytorch ships it, with its weights. The geometry, and what coordinates mean, is in
:mod:`pasm_aug.data.align.warp`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, fields
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageOps

from pasm_aug.data.align.warp import TEMPLATE, read_photograph, template, to_rgb, umeyama, warp

__all__ = ["AlignedFace", "Face", "FaceAligner", "read_photograph", "template", "to_rgb", "umeyama", "warp"]

Mode = Literal["similarity", "eyes", "crop"]
Select = Literal["largest", "center", "all"]

_SEEN_SIDE = 48  # what MTCNN's last network looks at; smaller images are enlarged to it
_BORDER = 0.25  # added on each side where nothing was found: on tight crops (FER2013) half of the missed faces turn up
_PIXELS = 2**22  # in one batch
# MTCNN's last network looks again, thrice, at four views (degrees, zoom) of the face turned upright, each brought to
# where that network expects faces; the means of its predictions are the landmarks. On eight faces turned by 40°, the
# first landmarks are off by 11 px of 224 in the mean (34 at worst), these by 0.4 (1.4), against those of the face
# upright.
_LOOKS, _VIEWS = 3, [(turn, zoom) for turn in (-6, 6) for zoom in (0.93, 1.07)]
_VIEW_TEMPLATE = (TEMPLATE - (12, 22)) * _SEEN_SIDE / 88


@dataclass(frozen=True, eq=False)
class Face:
    """A face found in an image; coordinates in pixels of that image, to 1/100.

    Attributes:
        box (tuple of float): (left, top, right, bottom), may lie over the edge.
        landmarks (ndarray): (5, 2) float64: image-left eye, image-right eye, nose, image-left and image-right corner
            of the mouth.
        probability (float): in [0, 1].
    """

    box: tuple[float, float, float, float]
    landmarks: np.ndarray
    probability: float


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
                raise ValueError(f"{name} must be {wanted}, got {getattr(self, name)!r}")

    def __call__(self, image: Image.Image) -> list[AlignedFace]:
        """The chosen faces of a photograph of any mode, aligned; an empty list when there is none."""
        image = to_rgb(image)
        return self.cut(image, self.detect([image])[0])

    def detect(self, images: Sequence[Image.Image]) -> list[list[Face]]:
        """All faces of each photograph, largest first; equal-sized photographs share forward passes."""
        images = [to_rgb(image) for image in images]
        found: list[list[Face]] = [[] for _ in images]
        for border in (0.0, _BORDER):
            rest = [i for i, faces in enumerate(found) if not faces]
            for i, faces in self._search([images[i] for i in rest], border):
                found[rest[i]] = faces
        return found

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
                raise ValueError('mode="crop" needs the box of the face, got None')
            left, top, right, bottom = box
            side = max(right - left, bottom - top) * (1 + 2 * self.margin)
            if not side > 0:
                raise ValueError(f"box must be (left, top, right, bottom), left < right, top < bottom, got {box}")
            scale, centre = self.size / side, np.array([left + right, top + bottom]) / 2
            return np.column_stack([scale * np.eye(2), self.size / 2 - scale * centre])
        points = np.asarray(np.nan if landmarks is None else landmarks, float)
        target = template(self.size, self.margin)
        if points.shape != (5, 2) or not np.isfinite(points).all():
            raise ValueError(f"landmarks must be five finite points (5, 2), got {points.tolist()}")
        if self.mode == "eyes":
            return umeyama(points[:2], np.column_stack([target[:2, 0], np.full(2, target[:2, 1].mean())]))
        return umeyama(points, target)

    def options(self) -> dict[str, Any]:
        """What decides on the aligned image: every option but the device and the batch size."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("device", "batch_size")}

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_network"}

    @functools.cached_property
    def _network(self) -> Any:
        """MTCNN with its weights, loaded when first needed: the import takes seconds."""
        import torch
        from facenet_pytorch import MTCNN

        device = self.device or ("cuda" if torch.cuda.is_available() else "cpu")
        if device.startswith("cuda") and not torch.cuda.is_available():
            raise ValueError(f"device {device!r} was asked for, but this machine has no GPU that torch can use")
        return MTCNN(min_face_size=self.min_face_size, thresholds=list(self.thresholds), device=torch.device(device))

    def _search(self, images: Sequence[Image.Image], border: float) -> Iterator[tuple[int, list[Face]]]:
        """(index, faces) of RGB photographs, each first surrounded by a black border: a share of its shorter side."""
        groups: dict[tuple[int, int], list[int]] = {}
        for index, image in enumerate(images):
            groups.setdefault(image.size, []).append(index)
        for size, members in groups.items():
            zoom = max(1.0, _SEEN_SIDE / min(size))
            shape = round(size[0] * zoom), round(size[1] * zoom)
            if min(shape) < self.min_face_size or (zoom > 1 and max(shape) > 32 * min(shape)):
                continue  # MTCNN raises on the first; the second is a thread, too thin for a face
            pad = round(border * min(shape))
            count = min(self.batch_size, _PIXELS // ((shape[0] + 2 * pad) * (shape[1] + 2 * pad))) or 1
            scale = np.array(shape) / size
            for start in range(0, len(members), count):
                chunk = members[start : start + count]
                seen = [
                    ImageOps.expand(images[i].resize(shape, Image.Resampling.BICUBIC) if zoom > 1 else images[i], pad)
                    for i in chunk
                ]
                predictions = zip(chunk, *self._network.detect(seen, landmarks=True), strict=True)
                some = [prediction for prediction in predictions if prediction[1] is not None]
                points = [(np.asarray(prediction[3], float) - pad) / scale for prediction in some]
                better = iter(self._look_again([(images[some[k][0]], p) for k in range(len(some)) for p in points[k]]))
                for i, boxes, probabilities, _ in some:
                    boxes = (np.asarray(boxes, float).reshape(-1, 2, 2) - pad) / scale
                    yield i, [_face(*parts, next(better)) for parts in zip(boxes, probabilities, strict=True)]

    def _look_again(self, faces: Sequence[tuple[Image.Image, np.ndarray]]) -> list[np.ndarray]:
        """(5, 2) better landmarks of each (image, landmarks); the same where the network does not see the face."""
        import torch

        if not faces:
            return []
        points = [first for _, first in faces]
        for _ in range(_LOOKS):
            views = [_turned(umeyama(own, _VIEW_TEMPLATE), *view) for own in points for view in _VIEWS]
            images = [image for image, _ in faces for _ in _VIEWS]
            seen = np.stack([np.asarray(warp(*pair, _SEEN_SIDE)) for pair in zip(images, views, strict=True)])
            with torch.no_grad():
                batch = torch.from_numpy(seen).to(self._network.device).permute(0, 3, 1, 2)
                predictions = [self._network.onet((part.float() - 127.5) / 128) for part in batch.split(512)]
            places = torch.cat([prediction[1] for prediction in predictions]).cpu().numpy().astype(float)
            seen_as_face = torch.cat([prediction[2] for prediction in predictions])[:, 1].cpu().numpy()
            places = places.reshape(-1, 2, 5).transpose(0, 2, 1) * _SEEN_SIDE
            back = [(p - m[:, 2]) @ np.linalg.inv(m[:, :2]).T for p, m in zip(places, views, strict=True)]
            points = list(np.reshape(back, (len(faces), len(_VIEWS), 5, 2)).mean(1))
        sure = seen_as_face.reshape(len(faces), -1).mean(1) > 0.5
        return [new if good else old for new, good, (_, old) in zip(points, sure, faces, strict=True)]


def _turned(matrix: np.ndarray, degrees: float, zoom: float) -> np.ndarray:
    """``matrix``, then a turn and a zoom around the middle of what MTCNN's last network sees."""
    cos, sin = zoom * math.cos(math.radians(degrees)), zoom * math.sin(math.radians(degrees))
    turn, middle = np.array([[cos, -sin], [sin, cos]]), _SEEN_SIDE / 2
    moved = turn @ matrix
    moved[:, 2] += middle - turn @ (middle, middle)
    return moved


def _face(box: np.ndarray, probability: float, points: np.ndarray) -> Face:
    """Rounded, so that the last bits of a forward pass, which vary with the batch, change no image."""
    left, top, right, bottom = (round(float(value), 2) for value in box.ravel())
    return Face((left, top, right, bottom), points.round(2), round(float(probability), 4))
