"""What a training hands back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import nn

from pasm_aug.training.erased_gallery import ErasedGallery


@dataclass
class TrainResult:
    """The trained network and one row of figures for each epoch.

    Attributes:
        epoch: whose weights the network holds.
        gallery: images as they were erased in the step, where they were.
        method (Method): what it was trained by, as it is at the end.
    """

    model: nn.Module
    history: list[dict[str, float]] = field(default_factory=list)
    epoch: int = 0
    gallery: ErasedGallery | None = None
    method: Any = None
