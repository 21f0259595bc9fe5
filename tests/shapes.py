"""A small data set without faces, and a network of a user's own: what nothing in the package may assume away."""

import numpy as np
import PIL.Image
import torch
from torch import nn
from torch.utils.data import Dataset


class Shapes(Dataset):
    """Grey 20×20 images of a bright square, cross or ring on noise; labels 0, 1, 2."""

    classes = ("square", "cross", "ring")

    def __init__(self, length: int = 60, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.labels = np.arange(length) % 3
        self.images = rng.integers(0, 90, (length, 20, 20), dtype=np.uint8)
        for image, label in zip(self.images, self.labels, strict=True):
            y, x = rng.integers(2, 9, 2)
            part = image[y : y + 9, x : x + 9]
            if label == 0:
                part[2:7, 2:7] = 230
            elif label == 1:
                part[4], part[:, 4] = 230, 230
            else:
                part[[0, -1]], part[:, [0, -1]] = 230, 230

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[PIL.Image.Image, int]:
        return PIL.Image.fromarray(self.images[index]), int(self.labels[index])


class OwnNet(nn.Module):
    """One-channel input, its own preprocessing, no batch statistics."""

    def __init__(self, num_classes: int = 3, width: int = 8) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, width, 3, 2, 1), nn.ReLU(), nn.Conv2d(width, 2 * width, 3, 2, 1), nn.ReLU(), nn.Flatten()
        )
        self.head = nn.Linear(2 * width * 25, num_classes)

    def preprocess(self, images: torch.Tensor) -> torch.Tensor:
        return images.float() / 127.5 - 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(x))


def own_net(seed: int = 0, **options) -> OwnNet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return OwnNet(**options)
