"""What a training hands back."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import nn


@dataclass
class TrainResult:
    """The trained network and one row of figures for each epoch.

    Attributes:
        epoch: whose weights the network holds.
        hit_rate: share of the images to be erased whose point the cache knew; ``None`` where none was looked up.
    """

    model: nn.Module
    history: list[dict[str, float]] = field(default_factory=list)
    epoch: int = 0
    hit_rate: float | None = None
