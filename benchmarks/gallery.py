"""The picture of README.md: what each way of erasing does to the same faces, and how much it hurts.

    python benchmarks/gallery.py [--epochs 32] [--out benchmarks/figures/gallery.png]

Drawn faces, the small network. Above each square stands the true class's probability of the whole face and of the
erased one: by the first teacher, in the last row by the student that has learned from such squares. RandomErasing is
torchvision's with its published areas, made sure to erase.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import Tensor, nn
from torchvision.transforms import v2

from pasm_aug import OnlineAdversarialErase, PairedView, PointSearch, SyntheticExpressions, build_model, train
from pasm_aug.core.geometry import patch_box, side_in_pixels
from pasm_aug.core.image_content import to_uint8_tensor
from pasm_aug.core.painting import erase_patch
from pasm_aug.report.gallery import gallery_picks

STEP = {"size": 13 / 48, "value": "mean", "budget": 8}
POINT = 11 / 48  # side of the square at the mined point


def confidence(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """(B,) p of the true class."""
    model.eval()
    with torch.no_grad():
        return model(model.preprocess(images)).softmax(1).gather(1, labels[:, None])[:, 0]


def at_the_point(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Erased as the paper does: the most harmful pixel's place and colour."""
    found = PointSearch(budget=100).run(model, images, labels.numpy())
    height, width = images.shape[2:]
    boxes = [patch_box(*xy, side_in_pixels(POINT, height), width, height) for xy in found.xy[:, 0].tolist()]
    rows = zip(images, boxes, found.colour[:, 0].tolist(), strict=True)
    return torch.stack([erase_patch(image, box, colour) for image, box, colour in rows])


def drawn(rows: list[tuple[str, Tensor, list[str]]]) -> Any:
    """The figure: (name, images (B, 3, H, W), a title for each) a row."""
    count = len(rows[0][1])
    figure, panels = plt.subplots(len(rows), count, figsize=(1.25 * count + 0.9, 1.5 * len(rows)), layout="constrained")
    for line, (name, images, titles) in zip(panels, rows, strict=True):
        line[0].set_ylabel(name, fontsize=9, rotation=0, ha="right", va="center", labelpad=8)
        for panel, image, title in zip(line, images, titles, strict=True):
            panel.imshow(image.permute(1, 2, 0), interpolation="nearest")
            panel.set_title(title, fontsize=8, pad=3)
            panel.set_xticks([])
            panel.set_yticks([])
            panel.spines[:].set_visible(False)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=32, help="of the first teacher")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "figures" / "gallery.png")
    args = parser.parse_args()
    faces = SyntheticExpressions("train")
    flip = v2.RandomHorizontalFlip()
    teacher = build_model("small", len(faces.classes), seed=0)
    train(teacher, faces, augment=PairedView(None, flip), epochs=args.epochs, lr=0.05)
    student = build_model("small", len(faces.classes), seed=0)
    student.load_state_dict(teacher.state_dict())
    erase = OnlineAdversarialErase(**STEP)
    train(student, faces, teacher=teacher, augment=PairedView(erase, flip), epochs=6, lr=0.02)

    picks = gallery_picks(np.asarray(faces.labels))
    images = torch.stack([to_uint8_tensor(faces[index][0]) for index in picks])
    labels = torch.tensor([faces[index][1] for index in picks])
    torch.manual_seed(0)
    random = torch.stack([v2.RandomErasing(p=1.0)(image) for image in images])
    ways = {
        "RandomErasing": (teacher, random),
        "the mined point\n(the paper)": (teacher, at_the_point(teacher, images, labels)),
        "in the step,\nfirst epoch": (teacher, OnlineAdversarialErase(teacher, **STEP)(images, labels)),
        "in the step,\nlast epoch": (student, OnlineAdversarialErase(student, **STEP)(images, labels)),
    }
    rows = [("as it is", images, [faces.classes[label] for label in labels])]
    for name, (model, erased) in ways.items():
        pairs = zip(confidence(model, images, labels), confidence(model, erased, labels), strict=True)
        rows.append((name, erased, [f"p {before:.2f} → {after:.2f}" for before, after in pairs]))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    drawn(rows).savefig(args.out, dpi=110)
    print(args.out)


if __name__ == "__main__":
    main()
