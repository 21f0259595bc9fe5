"""Any image classification data set that lies in class folders."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from pasm_aug.core.errors import UserError
from pasm_aug.data.base import (
    EXPRESSIONS,
    SPLITS,
    ExpressionDataset,
    Split,
    Transform,
    canonical_name,
    check_split,
    stratified_split,
)
from pasm_aug.data.files import content_groups, find_images, image_extensions, is_hidden, list_folders, read_image

_SPLIT_FOLDERS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}


class ExpressionFolder(ExpressionDataset):
    """Images in ``root/<class>/…`` or ``root/{train,val,test}/<class>/…``.

    Without split folders, images are split by a seeded, stratified draw that keeps byte-identical files together.
    With a ``train`` folder but no ``val`` folder, ``val`` is drawn from ``train`` likewise; a missing ``test`` folder
    raises, for test images are never taken silently from training ones.

    Class names that are expressions get the canonical spelling (``happy`` → ``happiness``), others stay as they are.
    ``classes``: expressions first, in canonical order, then the others by name; all splits share them.

    Args:
        root (str or ``pathlib.Path``): the folder.
        split (str): ``"train"`` (default), ``"val"`` or ``"test"``.
        val_fraction (float), test_fraction (float): share of the drawn parts, in (0, 1). Default: ``0.1`` each.
        seed (int): of the draw. Default: ``0``.
        transform (callable, optional): applied to the PIL image.
        target_transform (callable, optional): applied to the label.

    Attributes:
        paths (list of ``pathlib.Path``): one file an item.
        left_out (dict): reason → how many files are there but no items.

    Raises:
        FileNotFoundError: If there is no such folder, or no folder for the split.
        ValueError: If there are no class folders, an empty class, two folders for one class, or a class unknown to
            training.
        ImageError: (When an item is read) if a file is no image.
    """

    def __init__(
        self,
        root: str | Path,
        split: Split = "train",
        *,
        val_fraction: float = 0.1,
        test_fraction: float = 0.1,
        seed: int = 0,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
    ) -> None:
        check_split(split)
        root = Path(root).expanduser()
        if not root.is_dir():
            raise FileNotFoundError(f"root must be a folder of class folders, got {root}, which is none")
        folders = find_split_folders(root)
        if folders:
            own = "train" if split == "val" and "val" not in folders else split
            for needed in ("train", own):
                if needed not in folders:
                    names = "/, ".join(_SPLIT_FOLDERS[needed])
                    raise FileNotFoundError(
                        f"{root} has folders for {', '.join(folders)}, but none for {needed} ({names}/)"
                    )
            classes = list(class_folders(folders["train"]))
            paths, labels = collect(folders[own], classes)
            fractions: dict[str, float] = {} if "val" in folders else {"val": val_fraction}
        else:
            classes = list(class_folders(root))
            paths, labels = collect(root, classes)
            fractions = {"val": val_fraction, "test": test_fraction}
        if fractions and (split in fractions or split == "train"):
            chosen = draw_split(labels, content_groups(paths), split, fractions, seed=seed, classes=classes)
            paths, labels = [paths[index] for index in chosen], labels[chosen]
        super().__init__(classes, labels, transform=transform, target_transform=target_transform)
        self.paths = paths
        self.left_out = left_out(folders[own] if folders else root)

    def image(self, index: int) -> Image.Image:
        return read_image(self.paths[index])


def left_out(folder: Path) -> dict[str, int]:
    """Reason → how many files of a folder of class folders are none of its items."""
    beside = [path for path in folder.iterdir() if not is_hidden(path) and path.suffix.lower() in image_extensions()]
    found = {"images beside the class folders, in none of them": sum(path.is_file() for path in beside)}
    for path in list_folders(folder):
        for reason, count in find_images(path).left_out.items():
            found[reason] = found.get(reason, 0) + count
    return {reason: count for reason, count in found.items() if count}


def find_split_folders(root: Path) -> dict[str, Path]:
    """Split → folder, for those that ``root`` has; a folder without sub-folders is a class (of trains, say)."""
    by_name = {path.name.lower(): path for path in list_folders(root) if list_folders(path)}
    return {split: by_name[name] for split in SPLITS for name in _SPLIT_FOLDERS[split] if name in by_name}


def class_folders(folder: Path) -> dict[str, Path]:
    """Canonical class name → its folder; expressions in canonical order, then the others by name."""
    found: dict[str, Path] = {}
    for path in list_folders(folder):
        name = canonical_name(path.name)
        if name in found:
            raise UserError(f"{folder} has two folders for class {name!r}: {found[name].name} and {path.name}")
        found[name] = path
    if len(found) < 2:
        raise UserError(f"{folder} must hold a folder for each of two or more classes, got {list(found) or 'none'}")
    known = [name for name in EXPRESSIONS if name in found]
    return {name: found[name] for name in known + sorted(set(found) - set(known))}


def collect(folder: Path, classes: Sequence[str]) -> tuple[list[Path], np.ndarray]:
    """Files (by class, then name) and (N,) int64 labels of the class folders below ``folder``."""
    paths: list[Path] = []
    labels: list[int] = []
    for name, path in sorted(class_folders(folder).items(), key=lambda item: item[1]):
        if name not in classes:
            raise UserError(f"class {name!r} of {path} is none of the known ones: {', '.join(classes)}")
        found = find_images(path)
        if not found.images:
            there = ", ".join(f"{count:,} {reason}" for reason, count in found.left_out.items())
            raise UserError(
                f"class {name!r} is empty: {path} has no image that Pillow reads here"
                + (f", but {there}" if there else "")
            )
        images = found.images
        paths += images
        labels += [classes.index(name)] * len(images)
    return paths, np.array(labels, dtype=np.int64)


def draw_split(
    labels: np.ndarray,
    groups: Sequence[Hashable] | np.ndarray,
    split: str,
    fractions: Mapping[str, float],
    *,
    seed: int,
    classes: Sequence[str],
) -> np.ndarray:
    """Indices of one split: ``fractions`` go to the splits they name, the rest to train; groups stay together."""
    for name, fraction in fractions.items():
        if not 0 < fraction < 1:
            raise UserError(f"{name}_fraction must lie in (0, 1), got {fraction}")
    rest = 1 - sum(fractions.values())
    if rest <= 0:
        raise UserError(f"val_fraction + test_fraction must be less than 1, got {1 - rest:g}")
    parts = stratified_split(labels, [rest, *fractions.values()], seed=seed, groups=groups, classes=classes)
    return dict(zip(["train", *fractions], parts, strict=True))[split]
