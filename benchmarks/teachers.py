"""Train the teachers that the other benchmarks attack, on FER2013.

    python benchmarks/teachers.py --root FER2013 --out teachers [small resnet18 …] [--seed 0]

``FER2013`` is the folder of ``fer2013.csv``. Their accuracies, printed and kept in ``model.json``, are those of a short
training on a CPU and no more: the search is measured on them, not they on FER2013. ResNet-18 starts at half the size.
The networks for 224 px are left untrained, for a CPU does not train them in an afternoon (ResNet-34 after 7 epochs of
4,000 faces at 64 px, 2 of 1,500 at 112 and 1 of 800 at 224 has 21 % of the test faces right): they serve to measure
speed, which does not depend on weights, and nothing else.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import torch
import torchvision
from torch import nn
from torch.utils.data import Subset
from torchvision.transforms import v2

from pasm_aug.data.fer2013 import FER2013
from pasm_aug.data.in_memory import InMemory
from pasm_aug.models import Preprocess, build_model, save_model
from pasm_aug.rounds.arms import make_geometry
from pasm_aug.training.evaluation import evaluate
from pasm_aug.training.trainer import train
from pasm_aug.transforms.paired_view import PairedView


def resnet18_3x3(num_classes: int) -> nn.Module:
    """ResNet-18 with a 3×3 stem of stride 1 and no pooling: the usual form for images of 32 to 64 pixels."""
    model = torchvision.models.resnet18(num_classes=num_classes)
    model.conv1, model.maxpool = nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.Identity()
    return model


@dataclass(frozen=True)
class Recipe:
    """How a teacher is made: ``stages`` of (pixels, training images, epochs, learning rate)."""

    architecture: str
    pixels: int
    stages: tuple[tuple[int, int, int, float], ...] = ()


RECIPES = {
    "small": Recipe("small", 48, ((48, 28709, 20, 0.05),)),
    "small-4000": Recipe("small", 48, ((48, 4000, 15, 0.05),)),  # quick, to compare two seeds
    "resnet18": Recipe("teachers:resnet18_3x3", 48, ((24, 6000, 7, 0.01), (48, 1500, 2, 0.005))),
    "resnet34": Recipe("resnet34", 224),
    "vgg16": Recipe("vgg16", 224),
}


def faces(root: Path, split: str, pixels: int, count: int) -> InMemory:
    """The first ``count`` images of a split of FER2013 at ``pixels`` × ``pixels``, in memory."""
    data = FER2013(root, split, transform=None if pixels == 48 else v2.Resize((pixels, pixels)))
    held = InMemory(Subset(data, range(min(count, len(data)))), name=f"{split} faces at {pixels} px")
    held.classes = list(data.classes)
    return held


def make_teacher(name: str, root: Path, out: Path, *, seed: int = 0) -> None:
    """Train one teacher and write it to ``out/name``."""
    recipe = RECIPES[name]
    model = build_model(recipe.architecture, 7, seed=seed)
    model.to(memory_format=torch.channels_last)
    checkpoints = [out / f"{name}-{i}.checkpoint" for i in range(len(recipe.stages))]
    for checkpoint, (pixels, count, epochs, lr) in zip(checkpoints, recipe.stages, strict=True):
        data = faces(root, "train", pixels, count)
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        augment = PairedView(make_geometry())
        train(
            model, data, augment=augment, epochs=epochs, lr=lr, milestones=(0.5, 0.8) if epochs > 2 else (0.5,),
            seed=seed, checkpoint=checkpoint, name=f"{name} at {pixels} px",
        )  # fmt: skip
        print(f"{name}: trained {epochs} epochs of {len(data)} faces at {pixels} px", flush=True)
    few = 3589 if recipe.architecture == "small" else 500
    scores = {
        split: evaluate(model, faces(root, split, recipe.pixels, few), preprocess=Preprocess()).accuracy
        for split in (("train", "test") if recipe.stages else ())
    }
    info = {
        "architecture": recipe.architecture,
        "classes": FER2013(root, "test").classes,
        "image_size": recipe.pixels,
        "stages": recipe.stages,
        "seed": seed,
        "accuracy": scores,
        "scored_on": f"the first {few} of each split",
    }
    save_model(out / name, model, info)
    for checkpoint in checkpoints:
        checkpoint.unlink(missing_ok=True)
    print(f"{name}: " + (", ".join(f"{k} {v:.1%}" for k, v in scores.items()) or "not trained"), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="of " + ", ".join(RECIPES) + "; all")
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    unknown = set(args.names) - set(RECIPES)
    if unknown:
        parser.error(f"NAME must be one of {list(RECIPES)}, got {sorted(unknown)}")
    for name in args.names or RECIPES:
        make_teacher(name, args.root, args.out, seed=args.seed)


if __name__ == "__main__":
    main()
