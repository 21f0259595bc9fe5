"""What a training hands back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import nn

from pasm_aug.training.erased_gallery import ErasedGallery


@dataclass(repr=False)
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

    def __repr__(self) -> str:
        said = f"TrainResult({type(self.model).__name__}, {len(self.history)} epochs"
        if not 0 < self.epoch <= len(self.history):
            return f"{said})"
        known = {name: value for name, value in self.history[self.epoch - 1].items() if name.endswith("_accuracy")}
        scores = "".join(f", {name.replace('_', ' ')} {value:.1%}" for name, value in known.items())
        return f"{said}, the weights of epoch {self.epoch}{scores})"
