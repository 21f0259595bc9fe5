"""FER+ (Barsoum et al. 2016, arXiv 1608.01041): FER2013's images, labelled anew by ten people each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from pasm_aug.core.errors import UserError
from pasm_aug.data.base import ExpressionDataset, Split, Transform, check_split
from pasm_aug.data.fer2013_csv import USAGES, read_rows
from pasm_aug.data.ferplus_votes import CLASSES, LEFT_OUT, POLICIES, Policy, decide, read_label_csv, read_new_csv
from pasm_aug.data.files import read_image
from pasm_aug.data.listed import check_classes, check_files, warn_of_count

PUBLISHED = {"train": 28_558, "val": 3_579, "test": 3_573}  # images that FER+ kept, before any policy

_USAGE = dict(zip(("train", "val", "test"), USAGES, strict=True))
_FOLDER = {"train": "FER2013Train", "val": "FER2013Valid", "test": "FER2013Test"}
_PIXEL_FILES = ("fer2013.csv", "icml_face_data.csv")
_NEW = "fer2013new.csv"
# FER2013's labels as FER+'s; that the two files go row by row shows in how often they agree (about two in three).
_OF_FER2013 = np.array([4, 5, 6, 1, 3, 2, 0])
_AGREEMENT = 0.4
_ENOUGH = 1000  # rows to judge by


class FERPlus(ExpressionDataset):
    """`FER+ <https://arxiv.org/abs/1608.01041>`_: FER2013's images and splits with new labels.

    Training is "train", PublicTest "val", PrivateTest "test".

    Items are (PIL image of mode "L", 48×48; int label), labels in the order neutral, happiness, surprise, sadness,
    anger, disgust, fear, contempt. Layouts, looked for in this order in ``root`` and ``root/data``:

    - ``fer2013new.csv`` beside ``fer2013.csv`` or ``icml_face_data.csv``: row by row;
    - ``FER2013Train``, ``FER2013Valid`` and ``FER2013Test``: images with a ``label.csv``, else ``fer2013new.csv``.

    Args:
        root (str or ``pathlib.Path``): the folder.
        split (str): ``"train"`` (default), ``"val"`` or ``"test"``.
        policy (str): from votes to a label: ``"majority"`` (the paper's, default), ``"plurality"`` or ``"argmax"``,
            see :func:`~pasm_aug.data.ferplus_votes.decide`.
        transform (callable, optional): applied to the PIL image.
        target_transform (callable, optional): applied to the label.
        seed (int): of no effect, all splits are official.

    Attributes:
        votes (ndarray): (N, 10) int64, of the eight classes, unknown and no face.
        paths (list): a file each, or ``None`` for images from a CSV file.
        left_out (dict): reason → number: images that FER+ removed, and those on which the policy comes to no emotion.

    Raises:
        FileNotFoundError: If no layout is found, or images are missing.
        ValueError: If a row is malformed (file and line are named), files do not go together, or a class has no image.
    """

    def __init__(
        self,
        root: str | Path,
        split: Split = "train",
        *,
        policy: Policy = "majority",
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        seed: int = 0,
    ) -> None:
        check_split(split)
        if policy not in POLICIES:
            raise UserError(f"policy must be one of {', '.join(POLICIES)}, got {policy!r}")
        names, votes, pixels, paths = _load(Path(root).expanduser(), split)
        named = np.array([bool(name) for name in names], dtype=bool)
        labels = decide(votes, policy)
        kept = np.flatnonzero(named & (labels != LEFT_OUT))
        if split == "train":
            check_classes(labels[kept], CLASSES, "FER+")
        super().__init__(CLASSES, labels[kept], transform=transform, target_transform=target_transform)
        self.split = split
        self.votes = votes[kept]
        self.paths: list[Path | None] = [None if paths is None else paths[index] for index in kept]
        reasons = {"removed by FER+": int((~named).sum()), f"no {policy}": int(named.sum()) - len(kept)}
        self.left_out = {reason: count for reason, count in reasons.items() if count}
        self._pixels = None if pixels is None else pixels[kept]
        warn_of_count("FER+", split, int(named.sum()), PUBLISHED[split])

    def image(self, index: int) -> Image.Image:
        if self._pixels is not None:
            return Image.fromarray(self._pixels[index].numpy())
        path = self.paths[index]
        assert path is not None
        image = read_image(path)
        return image if image.mode == "L" else image.convert("L")


def _load(root: Path, split: str) -> tuple[list[str], np.ndarray, Tensor | None, list[Path] | None]:
    """Names, votes and either pixels (N, 48, 48) or paths."""
    for folder in (root, root / "data"):
        pixel_files = [folder / name for name in _PIXEL_FILES if (folder / name).is_file()]
        new = folder / _NEW
        if pixel_files and new.is_file():
            names, votes = read_new_csv(new, _USAGE[split], USAGES)
            return names, votes, _pixels(pixel_files[0], new, votes, _USAGE[split]), None
        images = folder / _FOLDER[split]
        if images.is_dir():
            tables = [path for path in (images / "label.csv", new, root / _NEW) if path.is_file()]
            if not tables:
                raise FileNotFoundError(f"{images} has no label.csv, and there is no {_NEW} in {folder}")
            if tables[0].name == _NEW:
                names, votes = read_new_csv(tables[0], _USAGE[split], USAGES)
            else:
                names, votes = read_label_csv(tables[0])
            paths = [images / name for name in names]
            check_files([path for path, name in zip(paths, names, strict=True) if name], tables[0])
            return names, votes, None, paths
    raise FileNotFoundError(
        f"no FER+ in {root}: expected {_NEW} beside {' or '.join(_PIXEL_FILES)}, or the folders "
        f"{', '.join(_FOLDER.values())}, each with its label.csv"
    )


def _pixels(path: Path, new: Path, votes: np.ndarray, usage: str) -> Tensor:
    pixels, old_labels = read_rows(path, usage)
    if len(pixels) != len(votes):
        raise UserError(f"{path} and {new} must go row by row: {len(pixels):,} and {len(votes):,} rows of {usage}")
    agreement = (_OF_FER2013[old_labels] == votes[:, : len(CLASSES)].argmax(1)).mean()
    if len(votes) >= _ENOUGH and agreement < _AGREEMENT:
        raise UserError(
            f"{path} and {new} must go row by row, but their labels agree in only {agreement:.0%} of {usage}: "
            "one of them is in another order"
        )
    return pixels
