"""What stands for the paper's second network and its other data where they are not at hand."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import nn

from pasm_aug.data.base import ExpressionDataset, ExpressionSubset
from pasm_aug.data.synthetic.dataset import SyntheticExpressions
from pasm_aug.data.synthetic.description import Difficulty

BARE = {"glasses_share": 0.0, "mask_share": 0.0, "hand_share": 0.0}
TURNED = 0.2  # radians, of 0.3 at most: a third of the faces
DRAWN: dict[str, dict[str, Any]] = {
    "glasses": BARE | {"glasses_share": 1.0},
    "mask": BARE | {"mask_share": 1.0},
    "hand": BARE | {"hand_share": 1.0},
    "posed": BARE | {"intensity": (1.0, 1.2), "unit_spread": (1.0, 1.1), "blend_share": 0.0, "noise": (0.0, 1.0)},
    "wild": {"intensity": (0.5, 1.1), "blend_share": 0.4, "stray": 0.1, "noise": (3.0, 12.0)},
}


def small_vgg(num_classes: int) -> nn.Module:
    """VGG16's habit at 48×48: pairs of 3×3 convolutions, max-pooling between them; 22 M multiply-adds, with batch norm
    so that it learns from scratch."""
    layers: list[nn.Module] = []
    inputs = 3
    for outputs in (16, 32, 64):
        for _ in range(2):
            layers += [nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
            inputs = outputs
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, num_classes))


def drawn(name: str, size: int, seed: int = 0) -> ExpressionDataset:
    """Test faces of one of :data:`DRAWN`, or those of the ordinary ones that are ``"turned"`` furthest."""
    if name == "turned":
        faces = SyntheticExpressions("test", size=size, seed=seed)
        return ExpressionSubset(faces, np.flatnonzero([abs(faces.face(i).yaw) > TURNED for i in range(len(faces))]))
    return SyntheticExpressions("test", size=size, seed=seed, difficulty=Difficulty(**DRAWN[name]))
