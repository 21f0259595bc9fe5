"""What the teacher says of the clean images: queried in every step, or once for all where it always sees the same."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from pasm_aug.core.eval_mode import eval_mode
from pasm_aug.core.networks import take_logits


class TeacherLogits:
    """A frozen network and its preprocessing, uint8 (B, C, H, W) → input; or its ``cached`` logits (N, classes)."""

    def __init__(
        self, model: nn.Module, preprocess: Callable[[Tensor], Tensor], *, cached: Tensor | None = None
    ) -> None:
        self.model, self.preprocess, self.cached = model, preprocess, cached

    @torch.no_grad()
    def __call__(self, images: Tensor, index: Tensor) -> Tensor:
        """(B, classes) float32 of clean images (B, C, H, W) uint8, those of the samples ``index`` (B,), on the CPU."""
        if self.cached is not None:
            return self.cached[index].to(images.device)
        with eval_mode(self.model):
            return take_logits(self.model(self.preprocess(images))).float()
