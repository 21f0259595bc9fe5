"""Find AffectNet's images and labels on disk, in each of the three layouts."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from pasm_aug.core.errors import UserError
from pasm_aug.data.files import list_folders, list_images, visible
from pasm_aug.data.folder import find_split_folders
from pasm_aug.data.listed import check_files, check_stems, numbered_folders
from pasm_aug.data.tables import Place, read_cells, read_table

CLASSES = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt")
NO_EMOTION = ("none", "uncertain", "no face")  # 8, 9, 10

COLUMNS = (
    "subDirectory_filePath",
    "face_x",
    "face_y",
    "face_width",
    "face_height",
    "facial_landmarks",
    "expression",
    "valence",
    "arousal",
)
_MANIFESTS = {"train": "training.csv", "test": "validation.csv"}
_MANIFEST_FOLDERS = ("", "Manually_Annotated_file_lists", "Manually_Annotated_Lists")
_IMAGE_FOLDERS = ("", "Manually_Annotated_Images", "Manually_Annotated", "Manually_Annotated/Manually_Annotated_Images")

# Paths and labels of an official split, 8 … 10 among them, and what names them.
Found = tuple[list[Path], np.ndarray, Path]


def read_annotations(root: Path, official: str) -> Found | None:
    """``{train,val}_set/images/0.jpg`` with ``annotations/0_exp.npy``."""
    folder = root / {"train": "train_set", "test": "val_set"}[official]
    if not (folder / "annotations").is_dir():
        return None
    if not (folder / "images").is_dir():
        raise FileNotFoundError(f"{folder} has a folder annotations, but none of images")
    paths = list_images(folder / "images")
    check_stems(paths)
    annotations = [folder / "annotations" / f"{path.stem}_exp.npy" for path in paths]
    check_files(annotations, folder / "images")
    stems = {path.stem for path in paths}
    alone = [path for path in visible((folder / "annotations").glob("*_exp.npy")) if path.name[:-8] not in stems]
    if alone:
        raise FileNotFoundError(f"{len(alone):,} annotations have no image in {folder / 'images'}, first: {alone[0]}")
    # There are hundreds of thousands of these files, but few different ones.
    known: dict[bytes, int] = {}
    labels = []
    for path in annotations:
        content = path.read_bytes()
        if content not in known:
            known[content] = _annotation(path, content)
        labels.append(known[content])
    return paths, np.array(labels, dtype=np.int64), folder


def _annotation(path: Path, content: bytes) -> int:
    try:
        array = np.load(io.BytesIO(content), allow_pickle=False)
        number = float(array.item())
    except (ValueError, TypeError, AttributeError, EOFError, OSError) as error:
        raise UserError(f"{path} must hold one label: {error}") from None
    if number not in range(len(CLASSES) + len(NO_EMOTION)):
        raise UserError(f"{path}: label must be a whole number in 0 .. 10, got {array.item()!r}")
    return int(number)


def read_manifest(root: Path, official: str) -> Found | None:
    """``training.csv`` and ``validation.csv``, the latter without a header in some copies."""
    lists = [root / folder / _MANIFESTS[official] for folder in _MANIFEST_FOLDERS]
    manifest = next((path for path in lists if path.is_file()), None)
    if manifest is None:
        return None
    _, first = next(read_cells(manifest), (Place(manifest, 1), [""]))
    headless = len(first) == len(COLUMNS) and "." in first[0]
    names: dict[str, int] = {}
    labels = []
    rows = read_table(manifest, (COLUMNS[0], "expression"), columns=COLUMNS if headless else None)
    for place, row in rows:
        name = row[COLUMNS[0].lower()]
        if names.setdefault(name, place.line) != place.line:
            raise place.error(f"the image {name!r} stands already in line {names[name]}")
        labels.append(place.integer(row["expression"], "expression", 0, len(CLASSES) + len(NO_EMOTION) - 1))
    if not labels:
        raise UserError(f"{manifest} lists no image")
    bases = [root / folder for folder in _IMAGE_FOLDERS]
    base = next((base for base in bases if (base / next(iter(names))).is_file()), bases[0])
    return [base / name for name in names], np.array(labels, dtype=np.int64), manifest


def read_folders(root: Path, split: str) -> tuple[Found, bool] | None:
    """Class folders ``0`` … ``7`` (or named) of a split, and whether "val" must be drawn from "train".

    Of ``val`` and ``test`` there is mostly one: the published validation split, which is "test".
    """
    folders = find_split_folders(root) if root.is_dir() and list_folders(root) else {}
    if "train" not in folders:
        return None
    drawn = not ("val" in folders and "test" in folders)
    if drawn and "val" in folders:
        folders["test"] = folders["val"]
    own = "train" if drawn and split == "val" else split
    if own not in folders:
        raise FileNotFoundError(f"{root} has a folder for train, but none for {own} (val/ or test/)")
    paths, labels = numbered_folders(folders[own], (*CLASSES, *NO_EMOTION))
    return (paths, labels, folders[own]), drawn
