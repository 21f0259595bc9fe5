"""CK+, the Extended Cohn-Kanade data set (Lucey et al. 2010)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from pasm_aug.core.errors import UserError
from pasm_aug.data.base import SPLITS, Split, Transform, check_split
from pasm_aug.data.ckplus_files import CLASSES, FRAMES, Frames, read_folders, read_sequences
from pasm_aug.data.grouped_split import joined, numbered, split_groups
from pasm_aug.data.listed import ListedImages, look_alikes

FOLDS = 10


class CKPlus(ListedImages):
    """CK+ (Lucey et al. 2010) as it comes (sequences) or as CK+48; there is no official split: persons are drawn.

    Items are (PIL image as it is seen, int label); ``classes`` are in CK+'s own order, neutral, anger, contempt,
    disgust, fear, happiness, sadness, surprise, less those that cannot be there. Layouts, looked for in this order:

    - ``cohn-kanade-images/S005/001/S005_001_00000001.png`` with ``Emotion/S005/001/S005_001_00000011_emotion.txt``
      (or ``extended-cohn-kanade-images/…`` and ``Emotion_labels/Emotion/…``); sequences without a label (266 of 593)
      are left out and counted;
    - ``anger/S010_004_00000017.png``, … in ``root`` or ``root/CK+48``: seven class folders without neutral.

    Args:
        root (str or ``pathlib.Path``): the folder.
        split (str): ``"train"`` (default), ``"val"``, ``"test"``, or ``"all"`` for the whole set (to test a model
            trained elsewhere).
        frames (str): of sequences: ``"paper"`` (default), the first as neutral and the last three as the label;
            ``"peak"``, the last three alone, as in CK+48. CK+48 is as it is.
        contempt (bool): ``False`` leaves that class out: seven classes. Default: ``True``.
        val_fraction (float), test_fraction (float): share of the drawn parts. Default: ``0.1`` each.
        fold (int, optional): 0 … 9, instead of the two fractions: ten parts of persons, of which ``fold`` is "test" and
            the next "val", for the ten-fold cross-validation that is customary on this set.
        transform (callable, optional): applied to the PIL image.
        target_transform (callable, optional): applied to the label.
        seed (int): of the draw. Default: ``0``.

    Attributes:
        persons (ndarray): (N,) names like ``S005``; no person stands in two splits.

    Raises:
        FileNotFoundError: If no layout is found, or a sequence's images are missing.
        ValueError: If a label is malformed (file and line are named), a sequence too short, or a file name without a
            person.
        ImageError: (When an item is read) if a file is no image.
    """

    def __init__(
        self,
        root: str | Path,
        split: Split | Literal["all"] = "train",
        *,
        frames: Frames = "paper",
        contempt: bool = True,
        val_fraction: float = 0.1,
        test_fraction: float = 0.1,
        fold: int | None = None,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        seed: int = 0,
    ) -> None:
        check_split(split, (*SPLITS, "all"))
        if frames not in FRAMES:
            raise UserError(f"frames must be one of {', '.join(FRAMES)}, got {frames!r}")
        if fold is not None and fold not in range(FOLDS):
            raise UserError(f"fold must lie in 0 .. {FOLDS - 1}, got {fold}")
        found = read_sequences(Path(root).expanduser(), frames) or read_folders(Path(root).expanduser())
        if found is None:
            raise FileNotFoundError(
                f"no CK+ in {root}: expected cohn-kanade-images/ and Emotion/, or class folders anger/, …, surprise/"
            )
        paths, labels, persons, left_out, has_neutral = found
        dropped = {name for name, kept in (("neutral", has_neutral), ("contempt", contempt)) if not kept}
        classes = [name for name in CLASSES if name not in dropped]
        kept = np.array([CLASSES[label] in classes for label in labels], dtype=bool)
        left_out = {**left_out, "contempt": int((~kept).sum())}
        labels = np.array([classes.index(CLASSES[label]) for label in labels[kept]], dtype=np.int64)
        paths, persons = [paths[index] for index in np.flatnonzero(kept)], persons[kept]
        if split != "all":
            groups = joined(numbered(persons), look_alikes(paths))
            chosen = _draw(labels, groups, split, val_fraction, test_fraction, fold, seed, classes)
            paths, labels, persons = [paths[index] for index in chosen], labels[chosen], persons[chosen]
        super().__init__(
            paths, classes, labels, left_out=left_out, transform=transform, target_transform=target_transform
        )
        self.split = split
        self.persons = persons


def _draw(
    labels: np.ndarray,
    groups: np.ndarray,
    split: str,
    val_fraction: float,
    test_fraction: float,
    fold: int | None,
    seed: int,
    classes: list[str],
) -> np.ndarray:
    if fold is not None:
        parts = split_groups(labels, groups, [1 / FOLDS] * FOLDS, seed=seed, classes=classes)
        test, val = parts[fold], parts[(fold + 1) % FOLDS]
        train = np.setdiff1d(np.arange(len(labels)), np.concatenate([test, val]))
    else:
        rest = 1 - val_fraction - test_fraction
        if not (0 < val_fraction < 1 and 0 < test_fraction < 1 and rest > 0):
            raise UserError(
                f"val_fraction and test_fraction must be positive and sum to less than 1, got {val_fraction} and "
                f"{test_fraction}"
            )
        fractions = (rest, val_fraction, test_fraction)
        train, val, test = split_groups(labels, groups, fractions, seed=seed, classes=classes)
    return {"train": train, "val": val, "test": test}[split]
