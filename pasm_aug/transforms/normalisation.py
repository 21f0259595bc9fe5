"""What ``Normalize`` does to an image, forwards and backwards, for transforms that stand behind it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pasm_aug.core.errors import UserError


@dataclass(frozen=True)
class Normalisation:
    """``(x - mean) / std`` per channel on floats in [0, 1], as :class:`torchvision.transforms.v2.Normalize` does."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def apply(self, values: Tensor) -> Tensor:
        """(C, …) in [0, 1] → normalised."""
        return (values - self._column(self.mean, values)) / self._column(self.std, values)

    def undo(self, image: Tensor) -> Tensor:
        """(C, H, W) normalised → float32 in [0, 1]."""
        image = image.detach().float()
        return image * self._column(self.std, image) + self._column(self.mean, image)

    def columns(self, channels: int) -> list[tuple[float, ...]]:
        """mean and std, one number a channel each."""
        self._check(channels)
        return [part * channels if len(part) == 1 else part for part in (self.mean, self.std)]

    def _check(self, channels: int) -> None:
        if len(self.mean) not in (1, channels):
            raise UserError(f"mean and std hold {len(self.mean)} numbers, the image has {channels} channels")

    def _column(self, values: tuple[float, ...], like: Tensor) -> Tensor:
        self._check(like.shape[0])
        return torch.tensor(values, dtype=like.dtype, device=like.device).reshape(-1, *[1] * (like.ndim - 1))
