"""Small random networks, each the same on every call, and images for them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn


def conv_net(channels: int = 3, classes: int = 4, seed: int = 0, width: int = 8, scale: float = 1.0) -> nn.Module:
    """Two convolutions with batch norm and dropout between; ``scale`` multiplies the logits."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        net = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
            nn.Conv2d(width, width, 3, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(4 * width, classes),
        )
        with torch.no_grad():
            net[-1].weight *= scale * 4
            net[-1].bias *= scale * 4
    return net


def scaled(images: Tensor) -> Tensor:
    return images.float() / 127.5 - 1


def random_images(count: int, size: int | tuple[int, int] = 10, channels: int = 3, seed: int = 0) -> Tensor:
    """Smooth noise, (count, channels, H, W) uint8."""
    height, width = (size, size) if isinstance(size, int) else size
    coarse = np.random.default_rng(seed).uniform(0, 255, (count, channels, 3, 3)).astype(np.float32)
    smooth = nn.functional.interpolate(torch.from_numpy(coarse), (height, width), mode="bilinear", align_corners=True)
    return smooth.round().to(torch.uint8)
