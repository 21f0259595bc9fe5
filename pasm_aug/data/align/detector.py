"""Faces and their landmarks in photographs, by MTCNN; landmarks are refined by looking again.

Zhang et al., "Joint Face Detection and Alignment Using Multitask Cascaded Convolutional Networks" (2016), as
facenet-pytorch ships it, with its weights.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from pasm_aug.core.errors import UserError
from pasm_aug.data.align.warp import TEMPLATE, umeyama, warp

_SEEN_SIDE = 48  # what MTCNN's last network looks at; smaller images are enlarged to it
_BORDER = 0.25  # added on each side where nothing was found: on tight crops (FER2013) half of the missed faces turn up
_PIXELS = 2**22  # in one batch
# MTCNN's last network looks again, thrice, at eight views (degrees, zoom) of the face turned upright, each brought to
# where that network expects faces; the means of its predictions are the landmarks. On eight drawn faces turned by 40°
# to either side, the first landmarks are off by 9 px of 224 in the mean (46 at worst), these by 0.3 (1.6), against
# those of the face upright. Four views are an eighth faster and off by 0.5 (2.5).
_LOOKS, _VIEWS = 3, [(turn, zoom) for turn in (-9, -3, 3, 9) for zoom in (0.93, 1.07)]
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


@dataclass(frozen=True)
class Detector:
    """Finds faces; arguments as of :class:`~pasm_aug.data.align.aligner.FaceAligner`."""

    min_face_size: int
    thresholds: tuple[float, float, float]
    batch_size: int
    device: str | None

    def detect(self, images: Sequence[Image.Image]) -> list[list[Face]]:
        """All faces of each RGB photograph, largest first; equal-sized photographs share forward passes."""
        found: list[list[Face]] = [[] for _ in images]
        for border in (0.0, _BORDER):
            rest = [i for i, faces in enumerate(found) if not faces]
            for i, faces in self._search([images[i] for i in rest], border):
                found[rest[i]] = faces
        return found

    @functools.cached_property
    def _network(self) -> Any:
        """MTCNN with its weights, loaded when first needed: the import takes seconds."""
        import torch
        from facenet_pytorch import MTCNN

        device = self.device or ("cuda" if torch.cuda.is_available() else "cpu")
        if device.startswith("cuda") and not torch.cuda.is_available():
            raise UserError(f"device {device!r} was asked for, but this machine has no GPU that torch can use")
        return MTCNN(min_face_size=self.min_face_size, thresholds=list(self.thresholds), device=torch.device(device))

    def _search(self, images: Sequence[Image.Image], border: float) -> Iterator[tuple[int, list[Face]]]:
        """(index, faces) of RGB photographs, each first surrounded by a black border: a share of its shorter side."""
        groups: dict[tuple[int, int], list[int]] = {}
        for index, image in enumerate(images):
            groups.setdefault(image.size, []).append(index)
        for size, members in groups.items():
            zoom = max(1.0, _SEEN_SIDE / min(size))
            shape = round(size[0] * zoom), round(size[1] * zoom)
            pad = round(border * min(shape))
            scaled = 12.0 / self.min_face_size * (min(shape) + 2 * pad)  # as MTCNN reckons, rounding included
            if min(shape) < self.min_face_size or scaled < 12 or (zoom > 1 and max(shape) > 32 * min(shape)):
                continue  # MTCNN raises on the first two; the third is a thread, too thin for a face
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
