"""What a training hands back."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import nn


@dataclass
class TrainResult:
    """The trained network and one row of figures for each epoch.

    Attributes:
        epoch: whose weights the network holds.
    """

    model: nn.Module
    history: list[dict[str, float]] = field(default_factory=list)
    epoch: int = 0
