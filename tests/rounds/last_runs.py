"""The runs in ``last_version/``, which an earlier version of the package wrote: what they were run with."""

import torch
from torch import nn

from tests.shapes import Shapes


class TinyNet(nn.Module):
    """Some hundred weights, for images of any size, grey or not; carries its own preprocessing."""

    def __init__(self, num_classes: int = 3) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 6, 3, 2, 1), nn.ReLU(), nn.Conv2d(6, 8, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(3)
        )
        self.head = nn.Linear(72, num_classes)

    def preprocess(self, images: torch.Tensor) -> torch.Tensor:
        return images.float().mean(1, keepdim=True) / 127.5 - 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(x).flatten(1))


def tiny_net(num_classes: int = 3) -> TinyNet:
    return TinyNet(num_classes)


DATA = {"train": Shapes(48), "val": Shapes(24, seed=1), "test": Shapes(24, seed=2)}
OPTIONS = {
    "rounds": 2,
    "epochs": 3,
    "batch_size": 12,
    "lr": 0.02,
    "schedule": "cosine",
    "label_smoothing": 0.1,
    "keep_points": 2,
    "p": 0.9,
    "checkpoint_seconds": 0.0,
    "teacher_training": {"epochs": 12, "lr": 0.05},
    "device": "cpu",
    "progress": False,
}
COMMAND = [
    "run", "--augment", "point", "--data", "synthetic", "--limit", "42", "--image-size", "24",
    "--model", "tests.rounds.last_runs:tiny_net", "--teacher-epochs", "3", "--epochs", "2", "--rounds", "1",
    "--batch-size", "16", "--budget", "8", "--ema", "0.9", "--baselines", "random-matched", "--device", "cpu",
    "--quiet",
]  # fmt: skip
