"""Drawn faces with seven expressions: a data set that needs no download, for demonstrations, tests and benchmarks."""

from __future__ import annotations

import numpy as np
from PIL import Image

from pasm_aug.core.errors import UserError
from pasm_aug.data.base import SPLITS, ExpressionDataset, Split, Transform, check_split
from pasm_aug.data.synthetic.description import PROTOTYPES, UNIT_FEATURES, Difficulty, Face, describe_face
from pasm_aug.data.synthetic.drawing import paint_face
from pasm_aug.data.synthetic.geometry import feature_boxes, is_covered

CLASSES = tuple(PROTOTYPES)
DEFAULT_LENGTHS = {"train": 1400, "val": 700, "test": 1400}
MIN_SIZE = 24

Box = tuple[float, float, float, float]

_LABELS, _NOISE = 1, 2  # streams beside the faces' own


class SyntheticExpressions(ExpressionDataset):
    """RGB faces drawn on the fly, the same for the same (seed, split, index) at every size.

    Expressions are EMFACS prototypes of facial action units, with varied identity, skin, hair, pose, light and
    intensity, blends with a second expression, glasses, masks and hands; see ``Difficulty`` for the ranges.

    Args:
        split (str): ``"train"`` (default), ``"val"`` or ``"test"``: different faces.
        size (int): side of the images in pixels, at least 24. Default: ``48``.
        length (int, optional): number of images (default: 1400, 700, 1400); a shorter set is the beginning of a longer
            one.
        seed (int): of everything; non-negative. Default: ``0``.
        label_noise (float): share of labels, in [0, 1], replaced by another class at random; the images stay.
            Default: ``0``.
        difficulty (Difficulty, optional): how hard the faces are to read.
        transform (callable, optional): applied to the PIL image.
        target_transform (callable, optional): applied to the label.

    Attributes:
        labels (ndarray): (N,) int64, with noise: 0 neutral, 1 anger, 2 disgust, 3 fear, 4 happiness, 5 sadness,
            6 surprise.
        shown (ndarray): (N,) int64: the expressions that are drawn; balanced to within one image a class.

    Raises:
        ValueError: If an option is off its range, by name.
    """

    def __init__(
        self,
        split: Split = "train",
        *,
        size: int = 48,
        length: int | None = None,
        seed: int = 0,
        label_noise: float = 0.0,
        difficulty: Difficulty | None = None,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
    ) -> None:
        check_split(split)
        length = DEFAULT_LENGTHS[split] if length is None else length
        if size < MIN_SIZE:
            raise UserError(f"size must be at least {MIN_SIZE} pixels, got {size}")
        if length < 1:
            raise UserError(f"length must be at least 1, got {length}")
        if seed < 0:
            raise UserError(f"seed must not be negative, got {seed}")
        if not 0 <= label_noise <= 1:
            raise UserError(f"label_noise must lie in [0, 1], got {label_noise}")
        self.split, self.size, self.seed = split, size, seed
        self.label_noise, self.difficulty = label_noise, difficulty
        self.shown = self._shown(length)
        labels = self._with_noise(self.shown, label_noise)
        super().__init__(CLASSES, labels, transform=transform, target_transform=target_transform)

    def image(self, index: int) -> Image.Image:
        return paint_face(self.face(index), self.size)

    def face(self, index: int) -> Face:
        """The description from which image ``index`` is drawn."""
        return describe_face(self._stream(0, self._checked(index)), CLASSES[self.shown[index]], self.difficulty)

    def regions(self, index: int) -> list[Box]:
        """Boxes (left, top, right, bottom) in pixels around the features that the shown expression moves.

        Brows and eyes come as two boxes, nose and mouth as one; features behind a mask or a hand are left out. A
        neutral face shows itself by brows, eyes and mouth together. All boxes lie inside the image.
        """
        face = self.face(index)
        moved = {feature for unit in PROTOTYPES[face.expression] for feature in UNIT_FEATURES[unit]}
        hidden = {"nose", "mouth"} if face.mask is not None else set()
        boxes = [
            box
            for feature in ("brows", "eyes", "nose", "mouth")
            if feature in (moved or {"brows", "eyes", "mouth"}) - hidden
            for box in feature_boxes(face, feature)
        ]
        seen = [box for box in boxes if not is_covered(face, box)]
        return [self._in_pixels(box) for box in seen or boxes]

    def face_box(self, index: int) -> Box:
        """Box (left, top, right, bottom) in pixels around the face, hair and ears left aside."""
        return self._in_pixels(feature_boxes(self.face(index), "face")[0])

    def limited(self, count: int, seed: int = 0) -> SyntheticExpressions:
        """The first ``count`` faces, which are balanced."""
        if count >= len(self):
            return self
        return SyntheticExpressions(
            self.split,
            size=self.size,
            length=count,
            seed=self.seed,
            label_noise=self.label_noise,
            difficulty=self.difficulty,
            transform=self.transform,
            target_transform=self.target_transform,
        )

    def _checked(self, index: int) -> int:
        if not 0 <= index < len(self):
            raise IndexError(f"index must lie in 0 .. {len(self) - 1}, got {index}")
        return int(index)

    def _stream(self, kind: int, index: int = 0) -> np.random.Generator:
        place = (SPLITS.index(self.split) << 60) | (kind << 56) | index
        return np.random.Generator(np.random.Philox(key=np.array([self.seed, place], dtype=np.uint64)))

    def _shown(self, length: int) -> np.ndarray:
        """Every seven faces in a row show the seven expressions, in random order."""
        rows = -(-length // len(CLASSES))
        order = np.argsort(self._stream(_LABELS).random((rows, len(CLASSES))), axis=1)
        return order.ravel()[:length].astype(np.int64)

    def _with_noise(self, labels: np.ndarray, share: float) -> np.ndarray:
        chance, other = self._stream(_NOISE).random((len(labels), 2)).T
        step = 1 + np.floor(other * (len(CLASSES) - 1)).astype(np.int64)
        return np.where(chance < share, (labels + step) % len(CLASSES), labels)

    def _in_pixels(self, box: np.ndarray) -> Box:
        left, top, right, bottom = np.clip(box * self.size, 0, self.size).tolist()
        return left, top, right, bottom
