"""From uint8 images to the network's input, and how many of them make a good batch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from pasm_aug.core.errors import UserError
from pasm_aug.models import preprocess_of

Preprocess = Callable[[Tensor], Tensor]

# Pixels of network input in one batch. A CPU is fastest while activations stay in its cache (measured: 32 images of
# 48 × 48 run three times as fast as 256); a GPU while it is full.
_PIXELS = {"cpu": 32 * 48 * 48, "other": 2048 * 48 * 48}


class NetworkInput:
    """Call it with (B, C, H, W) uint8 images for the network's input, on ``device``.

    Args:
        model: that the input is for. preprocess: (B, C, H, W) uint8 → its input; ``None`` takes ``model.preprocess``.
        batch_size: images per forward at most; ``None``: by size.

    Raises:
        ValueError: no preprocess, or one that returns something else than one input per image; a batch size below 1.
    """

    def __init__(
        self, model: nn.Module, preprocess: Preprocess | None, device: torch.device, batch_size: int | None = None
    ) -> None:
        if batch_size is not None and batch_size < 1:
            raise UserError(f"batch_size must be at least 1 or None, got {batch_size}")
        self.preprocess: Preprocess = preprocess_of(model, preprocess)
        self.device, self.batch_size = device, batch_size

    def __call__(self, images: Tensor) -> Tensor:
        inputs = self.preprocess(images.to(self.device))
        if not isinstance(inputs, Tensor) or len(inputs) != len(images):
            got = tuple(inputs.shape) if isinstance(inputs, Tensor) else type(inputs).__name__
            raise UserError(f"preprocess must return a tensor with one input per image ({len(images)}), got {got}")
        return inputs.to(self.device)

    def most(self, images: Tensor) -> int:
        """Images like these for one forward."""
        if self.batch_size:
            return self.batch_size
        shape = self(images[:1]).shape
        area = shape[-1] * shape[-2] if len(shape) == 4 else images.shape[-1] * images.shape[-2]
        cpu = self.device.type == "cpu"
        return min(max(_PIXELS["cpu" if cpu else "other"] // area, 8 if cpu else 32), 8192)
