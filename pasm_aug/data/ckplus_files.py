"""Find CK+'s images, labels and persons on disk."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from pasm_aug.core.errors import UserError
from pasm_aug.data.files import list_folders, list_images, visible
from pasm_aug.data.listed import numbered_folders, warn_of_count
from pasm_aug.data.tables import read_lines

CLASSES = ("neutral", "anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise")  # 0 … 7 in its files
Frames = Literal["paper", "peak"]
FRAMES: tuple[Frames, ...] = get_args(Frames)
LAST = 3  # frames of a sequence that carry its label
PUBLISHED_SEQUENCES = 327  # with a label
PUBLISHED_48 = 981  # images

_IMAGES = ("cohn-kanade-images", "extended-cohn-kanade-images/cohn-kanade-images", "extended-cohn-kanade-images")
_EMOTIONS = ("Emotion", "Emotion_labels/Emotion", "Emotion_labels")

# Paths, labels as in CLASSES, persons (N,), reason → left out, whether there are neutral faces.
Found = tuple[list[Path], np.ndarray, np.ndarray, dict[str, int], bool]


def read_sequences(root: Path, frames: Frames) -> Found | None:
    """The labelled sequences, or None where there are no folders of sequences."""
    images = next((root / name for name in _IMAGES if (root / name).is_dir()), None)
    if images is None:
        return None
    emotions = next((root / name for name in _EMOTIONS if (root / name).is_dir()), None)
    if emotions is None:
        raise FileNotFoundError(f"{images} has no folder Emotion beside it: no labels")
    paths: list[Path] = []
    labels: list[int] = []
    persons: list[str] = []
    unlabelled = labelled = 0
    sequences = {
        folder.relative_to(images): folder for person in list_folders(images) for folder in list_folders(person)
    }
    _check_labelled_exist(emotions, images, set(sequences))
    for name, folder in sequences.items():
        emotion = _emotion(emotions / name)
        if emotion is None:
            unlabelled += 1
            continue
        labelled += 1
        label, peak = emotion
        frame_files = list_images(folder)
        if peak not in {frame.stem for frame in frame_files}:
            raise FileNotFoundError(f"{folder} has a label for the image {peak}, which is missing")
        first = 1 if frames == "paper" else 0
        if len(frame_files) < LAST + first:
            raise UserError(f"{folder} must have at least {LAST + first} images, got {len(frame_files)}")
        paths += frame_files[:first] + frame_files[-LAST:]
        labels += [0] * first + [label] * LAST
        persons += [name.parts[0]] * (first + LAST)
    if not paths:
        raise UserError(f"{images} has no sequence with a label in {emotions}")
    warn_of_count("CK+", "sequences with a label", labelled, PUBLISHED_SEQUENCES)
    left_out = {"sequences without a label": unlabelled}
    return paths, np.array(labels, dtype=np.int64), np.array(persons), left_out, frames == "paper"


def read_folders(root: Path) -> Found | None:
    """CK+48, or None where there are no class folders."""
    for base in (root, root / "CK+48"):
        if base.is_dir() and any(path.name.lower() in CLASSES for path in list_folders(base)):
            paths, labels = numbered_folders(base, CLASSES)
            persons = []
            for path in paths:
                name = re.match(r"(S\d+)_\d+_\d+", path.name)
                if name is None:
                    raise UserError(f"{path} must be named like S010_004_00000017.png, which begins with the person")
                persons.append(name[1])
            warn_of_count("CK+48", "images", len(paths), PUBLISHED_48)
            return paths, labels, np.array(persons), {}, bool((labels == 0).any())
    return None


def _check_labelled_exist(emotions: Path, images: Path, names: set[Path]) -> None:
    """Raises if a label's sequence is missing."""
    labelled = sorted({path.parent.relative_to(emotions) for path in visible(emotions.rglob("*_emotion.txt"))})
    missing = [name for name in labelled if name not in names]
    if missing:
        raise FileNotFoundError(
            f"{emotions} has labels for {len(labelled)} sequences, {len(missing)} of them missing, the first: "
            f"{images / missing[0]}"
        )


def _emotion(folder: Path) -> tuple[int, str] | None:
    """A sequence's label and the name (no extension) of the image it was given for, or None."""
    files = visible(folder.glob("*_emotion.txt")) if folder.is_dir() else []
    if not files:
        return None
    if len(files) > 1:
        raise UserError(f"{folder} must hold one label, got {files[0].name} and {files[1].name}")
    lines = list(read_lines(files[0]))
    if len(lines) != 1:
        raise UserError(f"{files[0]} must hold one number, got {len(lines)} lines")
    place, text = lines[0]
    try:
        number = float(text)
    except ValueError:
        raise place.error(f"label must be a number in 0 .. {len(CLASSES) - 1}, got {text!r}") from None
    if number not in range(len(CLASSES)):
        raise place.error(f"label must be a whole number in 0 .. {len(CLASSES) - 1}, got {text!r}")
    return int(number), files[0].name.removesuffix("_emotion.txt")
