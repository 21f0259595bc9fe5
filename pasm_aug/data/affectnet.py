"""AffectNet (Mollahosseini et al. 2017, arXiv 1708.03985), the manually annotated part."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pasm_aug.data.affectnet_files import CLASSES, NO_EMOTION, read_annotations, read_folders, read_manifest
from pasm_aug.data.base import Split, Transform, check_split
from pasm_aug.data.folder import draw_split
from pasm_aug.data.listed import ListedImages, check_classes, check_files, look_alikes, warn_of_count

# With and without contempt; of the validation images, one is missing in what is handed out today.
PUBLISHED = {
    ("train", True): (287_651,),
    ("train", False): (283_901,),
    ("test", True): (4_000, 3_999),
    ("test", False): (3_500, 3_499),
}


class AffectNet(ListedImages):
    """`AffectNet <https://arxiv.org/abs/1708.03985>`_'s training images, and its validation images as "test".

    The official test split was never published, and everyone reports accuracy on the validation split: it is "test"
    here, touched once at the end, and "val" is a seeded, stratified draw from the training images, files that look
    like duplicates kept together. Items are (PIL image as it is seen, int label), labels in AffectNet's order: neutral,
    happiness, sadness, surprise, fear, disgust, anger, contempt. Layouts, looked for in this order:

    - ``train_set/images/0.jpg`` with ``train_set/annotations/0_exp.npy``, and ``val_set`` likewise;
    - ``training.csv`` and ``validation.csv`` (also in ``Manually_Annotated_file_lists``) with images below ``root``
      or ``Manually_Annotated_Images``: photographs, to be aligned first;
    - ``train/0 … 7`` and ``val/0 … 7``, or classes by name; with a folder ``test`` too, each is what its name says.

    Images without an emotion (8 none, 9 uncertain, 10 no face) are left out and counted.

    Args:
        root (str or ``pathlib.Path``): the folder.
        split (str): ``"train"`` (default), ``"val"`` or ``"test"``.
        contempt (bool): ``False`` leaves that class out: seven classes. Default: ``True``.
        val_fraction (float): share of "val" in the training images. Default: ``0.05``.
        transform (callable, optional): applied to the PIL image.
        target_transform (callable, optional): applied to the label.
        seed (int): of the draw. Default: ``0``.

    Raises:
        FileNotFoundError: If no layout is found, or images or annotations are missing.
        ValueError: If a row or annotation is malformed (file and line are named), or a class has no image to train on.
        ImageError: (When an item is read) if a file is no image.
    """

    def __init__(
        self,
        root: str | Path,
        split: Split = "train",
        *,
        contempt: bool = True,
        val_fraction: float = 0.05,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        seed: int = 0,
    ) -> None:
        check_split(split)
        (paths, labels, source), drawn = _load(Path(root).expanduser(), split)
        classes = CLASSES if contempt else CLASSES[:-1]
        left_out = {
            name: int((labels == label).sum())
            for label, name in enumerate((*CLASSES, *NO_EMOTION))
            if label >= len(classes)
        }
        kept = np.flatnonzero(labels < len(classes))
        paths, labels = [paths[index] for index in kept], labels[kept]
        check_files(paths, source)
        official = "test" if split == "test" else "train"
        if drawn or split != "val":
            warn_of_count("AffectNet", f"official {official} split", len(paths), *PUBLISHED[official, contempt])
        if official == "train":
            check_classes(labels, classes, "AffectNet")
            if drawn:
                fractions = {"val": val_fraction}
                chosen = draw_split(labels, look_alikes(paths), split, fractions, seed=seed, classes=classes)
                paths, labels = [paths[index] for index in chosen], labels[chosen]
        super().__init__(
            paths, classes, labels, left_out=left_out, transform=transform, target_transform=target_transform
        )
        self.split = split


def _load(root: Path, split: str) -> tuple[tuple[list[Path], np.ndarray, Path], bool]:
    official = "test" if split == "test" else "train"
    for reader in (read_annotations, read_manifest):
        found = reader(root, official)
        if found is not None:
            return found, True
    folders = read_folders(root, split)
    if folders is None:
        raise FileNotFoundError(
            f"no AffectNet in {root}: expected {'val_set' if split == 'test' else 'train_set'}/annotations, "
            "training.csv and validation.csv, or train/0 … 7 and val/0 … 7"
        )
    return folders
