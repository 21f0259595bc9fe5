"""RAF-DB, basic expressions (Li et al. 2017, "Reliable Crowdsourcing and Deep Locality-Preserving Learning")."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from pasm_aug.core.errors import UserError
from pasm_aug.data import rafdb_subsets
from pasm_aug.data.base import Split, Transform, check_split
from pasm_aug.data.folder import draw_split
from pasm_aug.data.listed import (
    ListedImages,
    check_classes,
    check_files,
    look_alikes,
    numbered_folders,
    warn_of_count,
)
from pasm_aug.data.tables import read_lines, read_table

CLASSES = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")  # 1 … 7 in RAF-DB's own files
PUBLISHED = {"train": 12_271, "test": 3_068}

_LISTS = ("EmoLabel/list_patition_label.txt", "list_patition_label.txt")  # spelled as it comes
_BASES = ("", "basic", "RAF-DB/basic", "DATASET")  # below root


class RAFDB(ListedImages):
    """RAF-DB's official training and test images; "val" is drawn from training.

    Items are (PIL image as it is seen, int label); labels are RAF-DB's less one: surprise, fear, disgust, happiness,
    sadness, anger, neutral. Layouts, looked for in this order in ``root`` and ``root/basic``:

    - ``EmoLabel/list_patition_label.txt`` (``train_00001.jpg 5``), or the list alone, with
      ``Image/aligned/train_00001_aligned.jpg`` or ``Image/original/train_00001.jpg``;
    - ``{train,test}/{1,…,7}/*.jpg``, in ``root/DATASET`` too; ``train_labels.csv`` and ``test_labels.csv``
      (image,label), where they are, must agree with the folders.

    There is no official validation split: "val" is a seeded, stratified tenth of the training images, duplicates kept
    together, and "train" the rest.

    Args:
        root (str or ``pathlib.Path``): the folder.
        split (str): ``"train"`` (default), ``"val"`` or ``"test"``.
        aligned (bool): the aligned images (100×100, default) or the original photographs.
        subset (str, optional): of "test": ``"occlusion"``, ``"pose30"`` or ``"pose45"`` (Wang et al. 2020); images in
            the order of its list.
        subset_list (str or ``pathlib.Path``, optional): that list, if it is not in ``root`` under its own name.
        val_fraction (float): share of "val" in the official training images. Default: ``0.1``.
        transform (callable, optional): applied to the PIL image.
        target_transform (callable, optional): applied to the label.
        seed (int): of the draw. Default: ``0``.

    Raises:
        FileNotFoundError: If no layout is found, or a list or images are missing.
        ValueError: If a line is malformed or a label wrong (file and line are named), or for a subset of another split.
        ImageError: (When an item is read) if a file is no image.
    """

    def __init__(
        self,
        root: str | Path,
        split: Split = "train",
        *,
        aligned: bool = True,
        subset: rafdb_subsets.Subset | None = None,
        subset_list: str | Path | None = None,
        val_fraction: float = 0.1,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        seed: int = 0,
    ) -> None:
        check_split(split)
        if subset is not None and split != "test":
            raise UserError(f"subset {subset!r} is a part of split='test', got split={split!r}")
        if subset is None and subset_list is not None:
            raise UserError("subset_list needs to know which subset it lists: " + ", ".join(rafdb_subsets.LIST_NAMES))
        official = "test" if split == "test" else "train"
        base, source, paths, labels = _load(Path(root).expanduser(), official, aligned)
        warn_of_count("RAF-DB", f"official {official} split", len(paths), PUBLISHED[official])
        if subset is not None:
            folders = dict.fromkeys((Path(root).expanduser(), base, base / "EmoLabel"))
            found = rafdb_subsets.find_list(subset, list(folders)) if subset_list is None else Path(subset_list)
            stems = [rafdb_subsets.stem(path.name) for path in paths]
            chosen = rafdb_subsets.choose(found, subset, stems, labels)
            warn_of_count("RAF-DB", f"subset {subset}", len(chosen), rafdb_subsets.PUBLISHED[subset])
            paths, labels = [paths[index] for index in chosen], labels[chosen]
        check_files(paths, source)
        if split != "test":
            check_classes(labels, CLASSES, "RAF-DB")
            fractions = {"val": val_fraction}
            chosen = draw_split(labels, look_alikes(paths), split, fractions, seed=seed, classes=CLASSES)
            paths, labels = [paths[index] for index in chosen], labels[chosen]
        super().__init__(paths, CLASSES, labels, transform=transform, target_transform=target_transform)
        self.split = split


def _load(root: Path, official: str, aligned: bool) -> tuple[Path, Path, list[Path], np.ndarray]:
    """Folder of the layout, list or folder that names the images, paths, labels."""
    for base in (root / name for name in _BASES):
        for listed in (base / name for name in _LISTS):
            if listed.is_file():
                names, labels = _read_list(listed, official)
                folder = _image_folder(base, aligned)
                return base, listed, [folder / _file_name(name, aligned) for name in names], labels
        if all((base / name / "1").is_dir() for name in ("train", "test")):
            if not aligned:
                raise FileNotFoundError(f"{base} has class folders of aligned images only, not the original ones")
            paths, labels = numbered_folders(base / official, CLASSES, first=1)
            for folder in (base, base.parent):
                if (folder / f"{official}_labels.csv").is_file():
                    _check_labels(folder / f"{official}_labels.csv", paths, labels)
                    break
            return base, base / official, paths, labels
    raise FileNotFoundError(
        f"no RAF-DB in {root}: expected EmoLabel/list_patition_label.txt with Image/aligned, "
        "or train/1 … 7 and test/1 … 7"
    )


def _read_list(path: Path, official: str) -> tuple[list[str], np.ndarray]:
    """File names and 0-based labels of one official split."""
    found: dict[str, int] = {}
    seen: dict[str, int] = {}
    for place, text in read_lines(path):
        words = text.split()
        if len(words) != 2 or not re.fullmatch(r"(train|test)_\d+\.\w+", words[0]):
            raise place.error(f"expected 'train_00001.jpg 5' (file, label), got {text!r}")
        name = words[0]
        if seen.setdefault(name, place.line) != place.line:
            raise place.error(f"the image {name!r} stands already in line {seen[name]}")
        label = place.integer(words[1], "label", 1, len(CLASSES)) - 1
        if name.startswith(official):
            found[name] = label
    if not found:
        raise UserError(f"{path} lists no image of the {official} split")
    return list(found), np.array(list(found.values()), dtype=np.int64)


def _image_folder(base: Path, aligned: bool) -> Path:
    kind = "aligned" if aligned else "original"
    for folder in (base / "Image" / kind, base / kind):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"{base} has no folder Image/{kind} with the {kind} images")


def _file_name(name: str, aligned: bool) -> str:
    stem, dot, extension = name.rpartition(".")
    return f"{stem}_aligned{dot}{extension}" if aligned else name


def _check_labels(path: Path, paths: list[Path], labels: np.ndarray) -> None:
    """Raises if a table of labels says otherwise than the folders."""
    of_folder = {file.name: int(label) for file, label in zip(paths, labels, strict=True)}
    for place, row in read_table(path, ("image", "label")):
        label = place.integer(row["label"], "label", 1, len(CLASSES)) - 1
        if row["image"] not in of_folder:
            raise FileNotFoundError(f"{place}: the image {row['image']!r} is in no class folder")
        if of_folder[row["image"]] != label:
            raise place.error(f"{row['image']!r} has label {label + 1}, but lies in {of_folder[row['image']] + 1}")
