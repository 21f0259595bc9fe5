"""FER2013 (Goodfellow et al. 2013, arXiv 1307.0414): 48×48 grey faces, in any of the layouts that go round."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from pasm_aug.core.errors import UserError
from pasm_aug.data.base import ExpressionDataset, Split, Transform, canonical_name, check_split
from pasm_aug.data.fer2013_csv import USAGES, read_header, read_rows
from pasm_aug.data.files import content_groups, list_folders, read_image
from pasm_aug.data.folder import collect, draw_split, find_split_folders
from pasm_aug.data.listed import numbered_folders

CLASSES = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
OFFICIAL_COUNTS = {"train": 28_709, "val": 3_589, "test": 3_589}
VAL_FRACTION = 0.1  # of the training images, where the official validation split is missing

_USAGE = dict(zip(("train", "val", "test"), USAGES, strict=True))
_SINGLE_FILES = ("fer2013.csv", "icml_face_data.csv")

# Images (as pixels, or as files not yet read), labels, and whether the split was drawn from training images.
_Loaded = tuple[Tensor | list[Path], np.ndarray, bool]


class FER2013(ExpressionDataset):
    """`FER2013 <https://arxiv.org/abs/1307.0414>`_: Training is "train", PublicTest "val", PrivateTest "test".

    Items are (PIL image of mode "L", 48×48; int label), labels in FER2013's order: anger, disgust, fear, happiness,
    sadness, surprise, neutral. Layouts, looked for in this order in ``root`` and ``root/fer2013``:

    - ``fer2013.csv`` or ``icml_face_data.csv``, with the column Usage (``root`` may be the file itself);
    - ``train.csv`` and ``test.csv``: Usage is followed where it stands;
    - ``{Training,PublicTest,PrivateTest}/<class>/*.png``, classes named like ``0_angry``, ``angry`` or ``0``;
    - ``{train,val,test}/<class>/*.png``.

    Where the last three lack the official validation split, "val" is a seeded, stratified tenth of the training
    images, duplicates kept together, and "train" is the rest. Where they have one ``test`` for both official test
    sets (7,178 images), "test" is both. A warning says so, as it does for any count that is not the official one.

    Args:
        root (str or ``pathlib.Path``): the folder, or the CSV file itself.
        split (str): ``"train"`` (default), ``"val"`` or ``"test"``.
        transform (callable, optional): applied to the PIL image.
        target_transform (callable, optional): applied to the label.
        seed (int): of the draw, where there is one. Default: ``0``.

    Raises:
        FileNotFoundError: If no layout is found, or none with this split.
        ValueError: If a row is malformed (file and line are named), a folder is no class, or a class folder is empty.
        ImageError: (When an item is read) if a file is no image.
    """

    def __init__(
        self,
        root: str | Path,
        split: Split = "train",
        *,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        seed: int = 0,
    ) -> None:
        check_split(split)
        images, labels, drawn = _load(Path(root).expanduser(), split, seed)
        if split == "train":
            _check_classes(labels)
        super().__init__(CLASSES, labels, transform=transform, target_transform=target_transform)
        self.split = split
        # A tensor, not an array: worker processes then share its memory.
        self._images = images
        if isinstance(images, list):
            self.paths = images
        _warn_of_counts(split, labels, drawn)

    def image(self, index: int) -> Image.Image:
        if isinstance(self._images, list):
            image = read_image(self._images[index])
            return image if image.mode == "L" else image.convert("L")
        return Image.fromarray(self._images[index].numpy())


def _load(root: Path, split: str, seed: int) -> _Loaded:
    if root.is_file():
        return _load_csv(root, None, split, seed)
    if not root.is_dir():
        raise FileNotFoundError(f"root must be a folder or a CSV file, got {root}, which does not exist")
    for folder in (root, root / "fer2013"):
        for name in _SINGLE_FILES:
            if (folder / name).is_file():
                return _load_csv(folder / name, None, split, seed)
        if (folder / "train.csv").is_file():
            test = folder / "test.csv"
            return _load_csv(folder / "train.csv", test if test.is_file() else None, split, seed)
        if folder.is_dir() and list_folders(folder):
            by_name = {path.name.lower(): path for path in list_folders(folder)}
            official = {name: by_name[u.lower()] for name, u in _USAGE.items() if u.lower() in by_name}
            folders = official if "val" in official else find_split_folders(folder)
            if folders:
                return _load_folders(folders, split, seed)
    raise FileNotFoundError(
        f"no FER2013 in {root}: expected {', '.join(_SINGLE_FILES)}, train.csv with test.csv, or folders "
        f"{', '.join(USAGES)} or train, test (each with one folder a class)"
    )


def _load_csv(train: Path, test: Path | None, split: str, seed: int) -> _Loaded:
    train_usage = "usage" in read_header(train)
    test_usage = test is not None and "usage" in read_header(test)
    if test is not None and test_usage and split != "train":
        return *read_rows(test, _USAGE[split]), False
    if train_usage:
        return *read_rows(train, _USAGE[split]), False
    if split == "test":
        if test is None:
            raise FileNotFoundError(f"{train} has no column Usage and there is no test.csv beside it: no test split")
        return *read_rows(test), False
    pixels, labels = read_rows(train)
    if test_usage:
        return pixels, labels, False
    groups = [face.numpy().tobytes() for face in pixels]
    chosen = draw_split(labels, groups, split, {"val": VAL_FRACTION}, seed=seed, classes=_check_classes(labels))
    return pixels[chosen], labels[chosen], True


def _load_folders(folders: dict[str, Path], split: str, seed: int) -> _Loaded:
    drawn = split != "test" and "val" not in folders
    own = "train" if drawn else split
    if own not in folders:
        raise FileNotFoundError(f"{next(iter(folders.values())).parent} has no folder for the split {own!r}")
    for path in list_folders(folders[own]):
        number, name = re.match(r"\d*", path.name), canonical_name(path.name)
        if number and number[0] and name in CLASSES and int(number[0]) != CLASSES.index(name):
            raise UserError(f"folder {path} must be numbered {CLASSES.index(name)}, FER2013's label of {name}")
    if all(path.name.isdecimal() for path in list_folders(folders[own])):
        paths, labels = numbered_folders(folders[own], CLASSES)
    else:
        paths, labels = collect(folders[own], CLASSES)
    if drawn:
        fractions = {"val": VAL_FRACTION}
        chosen = draw_split(labels, content_groups(paths), split, fractions, seed=seed, classes=_check_classes(labels))
        paths, labels = [paths[index] for index in chosen], labels[chosen]
    return paths, labels, drawn


def _check_classes(labels: np.ndarray) -> tuple[str, ...]:
    """All class names; raises if the training images lack one."""
    missing = [name for label, name in enumerate(CLASSES) if not (labels == label).any()]
    if missing:
        raise UserError(f"FER2013 has seven classes, but there is no training image of {', '.join(missing)}")
    return CLASSES


def _warn_of_counts(split: str, labels: np.ndarray, drawn: bool) -> None:
    count, official = len(labels), OFFICIAL_COUNTS[split]
    if drawn:
        message = f"no official validation split found: {split} is drawn from the training images ({count:,} of them)"
    elif count == 2 * official:
        message = f"{split} holds both official test sets merged ({count:,} images): no figure to compare with others'"
    elif count != official:
        message = f"{split} holds {count:,} images, officially {official:,}"
    else:
        return
    warnings.warn(f"FER2013: {message}", stacklevel=3)
