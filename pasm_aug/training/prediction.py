"""What a trained network sees in photographs: faces found, aligned and classified, as a table and on the image."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import nn

from pasm_aug.core.eval_mode import eval_mode
from pasm_aug.core.image_content import to_uint8_tensor
from pasm_aug.core.networks import take_logits
from pasm_aug.data.align.aligner import FaceAligner
from pasm_aug.data.align.warp import read_photograph
from pasm_aug.data.files import ImageError, list_images
from pasm_aug.data.registry import resize_square


@dataclass(frozen=True, eq=False)
class Prediction:
    """One face of one image.

    Attributes:
        file: the image.
        box: (left, top, right, bottom) in its pixels; ``None`` where no face was found or looked for.
        probabilities: (classes,) float, in the order of the network's outputs.
    """

    file: Path
    box: tuple[float, float, float, float] | None
    probabilities: np.ndarray


def images_of(source: Path) -> list[Path]:
    """The image itself, or all below a folder, sorted.

    Raises:
        FileNotFoundError: nothing there, or a folder without images.
    """
    if source.is_file():
        return [source]
    found = list_images(source) if source.is_dir() else []
    if not found:
        raise FileNotFoundError(f"no image at {source}: expected an image file, or a folder of them")
    return found


def predict(
    model: nn.Module,
    files: Iterable[Path],
    *,
    image_size: int,
    channels: int = 3,
    aligner: FaceAligner | None = None,
    no_face: str = "keep",
    device: torch.device | str = "cpu",
) -> Iterator[Prediction | ImageError]:
    """Classify the faces of each image in turn; an image that cannot be read yields its error instead.

    Args:
        model: takes what its ``preprocess`` makes of uint8 (B, C, S, S).
        image_size: S, that it was trained on; ``channels``: C, 1 for grey.
        aligner: finds the faces; ``None`` takes each image's centre square as the face.
        no_face: of an image without a face: "keep" its centre square, or "skip" it.
    """
    model = model.to(device)
    for file in files:
        try:
            photograph = read_photograph(file)
        except ImageError as error:
            yield error
            continue
        faces: list[tuple[Any, Image.Image]] = []
        if aligner is not None:
            found = aligner.detect_each([photograph])[0]
            if isinstance(found, Exception):
                yield ImageError(f"no face was looked for in {file}: {found}")
                continue
            faces = [(face.box, face.image) for face in aligner.cut(photograph, found)]
        if not faces and (aligner is None or no_face == "keep"):
            faces = [(None, photograph)]
        if not faces:
            continue
        inputs = [resize_square(face, image_size).convert("L" if channels == 1 else "RGB") for _, face in faces]
        batch = torch.stack([to_uint8_tensor(face) for face in inputs]).to(device)
        with torch.no_grad(), eval_mode(model):
            shares = take_logits(model(model.preprocess(batch))).float().softmax(1).cpu().numpy()  # type: ignore[operator]
        for (box, _), probabilities in zip(faces, shares, strict=True):
            yield Prediction(file, box, probabilities)


def likeliest(probabilities: np.ndarray, classes: Sequence[str], most: int = 3) -> str:
    """``happiness 93.1%, neutral 4.0%, …``: the likeliest classes."""
    order = np.argsort(-probabilities, kind="stable")[:most]
    return ", ".join(f"{classes[i]} {probabilities[i]:.1%}" for i in order)


def table(found: Sequence[Prediction], classes: Sequence[str], root: Path) -> bytes:
    """CSV: file (below ``root``), box, predicted class, and the probability of every class."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", "left", "top", "right", "bottom", "predicted", *classes])
    for one in found:
        name = one.file.relative_to(root).as_posix() if one.file.is_relative_to(root) else one.file.as_posix()
        box = ["" for _ in range(4)] if one.box is None else [f"{side:.1f}" for side in one.box]
        best = classes[int(one.probabilities.argmax())]
        writer.writerow([name, *box, best, *(f"{p:.6f}" for p in one.probabilities)])
    return text.getvalue().encode("utf-8", "surrogateescape")  # names that are no UTF-8, in their own bytes


def annotated(file: Path, found: Sequence[Prediction], classes: Sequence[str]) -> Image.Image:
    """The image with each face's box and likeliest class."""
    image = read_photograph(file).convert("RGB")
    draw = ImageDraw.Draw(image)
    side = max(11, min(image.size) // 28)
    font = ImageFont.load_default(side)
    for one in found:
        left, top, right, bottom = one.box or (0, 0, image.width - 1, image.height - 1)
        draw.rectangle((left, top, right, bottom), outline="#00e676", width=max(1, side // 8))
        words = likeliest(one.probabilities, classes, 1)
        at = (max(left, 0), top - side - 4 if top > side + 4 else max(top, 0) + 2)
        draw.rectangle(draw.textbbox(at, words, font=font), fill="black")
        draw.text(at, words, fill="#00e676", font=font)
    return image
