"""The peers of the one-pixel search, and ours, as functions of one kind: network, images, labels → :class:`Outcome`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from pasm_aug import PointSearch
from pasm_aug.search.objectives import log_odds
from pasm_aug.search.strategies import to_pixels
from pasm_aug.search.teacher import TeacherObjective


class Watched(nn.Module):
    """A teacher for images in [0, 1], as the peers want it; counts its rows and keeps the best image it saw."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.rows, self.label = model, 0, 0
        self.attack(0)

    def attack(self, label: int) -> None:
        """From here on, the best image is the one of lowest probability of ``label``."""
        self.label, self.lowest, self.best = label, np.inf, torch.empty(0)

    def forward(self, images: Tensor) -> Tensor:
        logits = self.model(self.model.preprocess(images * 255))
        self.rows += len(images)
        odds = log_odds(logits.detach().double(), torch.full((len(images),), self.label))
        if float(odds.min()) < self.lowest:
            self.lowest, self.best = float(odds.min()), images[int(odds.argmin())].detach().clone()
        return logits


@dataclass
class Outcome:
    """What a method made of N images: images (N, C, H, W) uint8, and the best that went through the network."""

    images: Tensor
    queries: float
    forwards: float
    seen: list[Tensor] = field(default_factory=list)


Method = Callable[[nn.Module, Tensor, np.ndarray], Outcome]


def painted(images: Tensor, xy: np.ndarray, colour: np.ndarray) -> Tensor:
    """``images`` with pixel ``xy`` (N, 2) of each in ``colour`` (N, C)."""
    changed = images.clone()
    changed[torch.arange(len(images)), :, xy[:, 1], xy[:, 0]] = torch.from_numpy(colour)
    return changed


def ours(search: PointSearch) -> Method:
    def run(model: nn.Module, images: Tensor, labels: np.ndarray) -> Outcome:
        result = search.run(model, images, labels)
        changed = painted(images, result.xy[:, 0], result.colour[:, 0])
        return Outcome(changed, result.queries.mean(), result.forwards.mean())

    return run


def one_by_one(attack: Callable[[Watched, Tensor, int], Tensor], queries: int, seed: int) -> Method:
    """A peer that takes float images (1, C, H, W) in [0, 1]; both peers draw from numpy's global state."""

    def run(model: nn.Module, images: Tensor, labels: np.ndarray) -> Outcome:
        np.random.seed(seed)  # noqa: NPY002
        watched, attacked, seen = Watched(model), [], []
        for image, label in zip(images, labels.tolist(), strict=True):
            watched.attack(label)
            attacked.append((attack(watched, image[None] / 255, label)[0] * 255).round().to(torch.uint8))
            seen.append((watched.best * 255).round().to(torch.uint8))
        return Outcome(torch.stack(attacked), queries, watched.rows / len(images), seen)

    return run


def torchattacks_one_pixel(population: int, generations: int, genes: int, seed: int) -> Method:
    import torchattacks

    def attack(model: Watched, image: Tensor, label: int) -> Tensor:
        method = torchattacks.OnePixel(model, pixels=1, steps=generations, popsize=population)
        return method(image, torch.tensor([label]))

    return one_by_one(attack, population // genes * genes * (generations + 1), seed)


def art_pixel_attack(generations: int, genes: int, classes: int, seed: int) -> Method:
    from art.attacks.evasion import PixelAttack
    from art.estimators.classification import PyTorchClassifier

    def attack(model: Watched, image: Tensor, label: int) -> Tensor:
        known = {"input_shape": tuple(image.shape[1:]), "nb_classes": classes, "clip_values": (0.0, 1.0)}
        classifier = PyTorchClassifier(model, nn.CrossEntropyLoss(), device_type="cpu", **known)
        method = PixelAttack(classifier, th=1, es=1, max_iter=generations)
        return torch.from_numpy(method.generate(image.numpy(), np.array([label])))

    return one_by_one(attack, 400 // genes * genes * (generations + 1), seed)


def scipy_evolution(population: int, generations: int, genes: int, seed: int) -> Method:
    from scipy.optimize import differential_evolution

    def run(model: nn.Module, images: Tensor, labels: np.ndarray) -> Outcome:
        height, width = images.shape[2:]
        bounds = [(0, width), (0, height), *[(0, 255)] * (genes - 2)]
        found = []
        with TeacherObjective(model, incremental=False) as objective:
            for image, label in zip(images, labels, strict=True):

                def scores(x: np.ndarray, image: Tensor = image[None], label: int = label) -> np.ndarray:
                    xy, colour = to_pixels(x.T, height, width)
                    return objective.evaluate(image, [label], np.zeros(len(xy), dtype=int), xy, colour)[0]

                found.append(
                    differential_evolution(
                        scores, bounds, maxiter=generations, popsize=population // genes, tol=0, polish=False,
                        vectorized=True, updating="deferred", rng=seed,
                    ).x
                )  # fmt: skip
        images = painted(images, *to_pixels(np.stack(found), height, width))
        return Outcome(images, objective.queries / len(images), objective.forwards / len(images))

    return run
