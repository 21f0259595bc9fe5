"""A few training images as the step's adversary erased them, in the first epoch and in the last one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass
class ErasedGallery:
    """Keeps what a training's report shows; of a process, the samples that it met.

    Attributes:
        samples: (S,) int64, whose images are kept.
        first, last: (S, C, H, W) uint8: of the epoch in which each was met first, and last; ``None`` before any.
    """

    samples: np.ndarray
    first: Tensor | None = None
    last: Tensor | None = None

    def add(self, index: Tensor, images: Tensor) -> None:
        """Look for the samples in a batch: ``index`` (B,) on the CPU, erased images (B, C, H, W) uint8."""
        rows, places = np.nonzero(index.numpy()[:, None] == self.samples)
        if not len(rows):
            return
        found = images[torch.from_numpy(rows)].cpu()
        if self.first is None or self.last is None:
            self.first = torch.zeros(len(self.samples), *images.shape[1:], dtype=torch.uint8)
            self.last = self.first.clone()
        for place, image in zip(places.tolist(), found, strict=True):
            if not self.first[place].any():
                self.first[place] = image
            self.last[place] = image

    def state_dict(self) -> dict[str, Tensor]:
        """For a checkpoint, and for the report."""
        if self.first is None or self.last is None:
            return {}
        return {"samples": torch.from_numpy(self.samples), "first": self.first, "last": self.last}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """What :meth:`state_dict` gave."""
        if state:
            self.samples = state["samples"].numpy()
            self.first, self.last = state["first"].clone(), state["last"].clone()
