"""From a batch's images to the student's input: erased where that is done in the step, then preprocessed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from pasm_aug.search.online import OnlineAdversarialErase
from pasm_aug.training.erased_gallery import ErasedGallery


class StudentInput:
    """Call it with a batch for the student's input.

    Args:
        preprocess: uint8 (B, C, H, W) → input.
        memory_format: of the input.
        adversary: erases the images, as the student is now. gallery: keeps some of them.

    Attributes:
        shown: (B, C, H, W) uint8, the last batch as the student saw it.
    """

    shown: Tensor

    def __init__(
        self,
        preprocess: Callable[[Tensor], Tensor],
        *,
        memory_format: torch.memory_format = torch.contiguous_format,
        adversary: OnlineAdversarialErase | None = None,
        gallery: ErasedGallery | None = None,
    ) -> None:
        self.preprocess, self.memory_format = preprocess, memory_format
        self.adversary, self.gallery = adversary, gallery

    def __call__(self, images: Tensor, labels: Tensor, index: Tensor, where: Tensor | None = None) -> Tensor:
        """The input for images (B, C, H, W) uint8.

        Args:
            labels: (B,) int64, on the device. index: (B,) int64 of the samples, on the CPU.
            where: (B,) bool: which of them the adversary may erase.
        """
        self.shown = images
        if self.adversary is None:
            return self.plain(images)
        self.shown = shown = self.adversary(images, labels, index=index, where=where)
        inputs = self.adversary.watch(self.plain(shown))
        if self.gallery is not None:
            self.gallery.add(index, shown)
        return inputs

    def plain(self, images: Tensor) -> Tensor:
        """The input for images that nobody erases."""
        return self.preprocess(images).contiguous(memory_format=self.memory_format)

    @property
    def area(self) -> Tensor | None:
        """(2,) float64: pixels that the adversary erased of the last batch, and saw; ``None`` without one."""
        return None if self.adversary is None else self.adversary.area

    def epoch_start(self, epoch: int) -> None:
        """Before an epoch, numbered from 0: share with the other processes what was found in the last one."""
        if self.adversary is not None:
            self.adversary.synchronise()
            self.adversary.set_epoch(epoch)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs of adversary and gallery, by name; called in every process."""
        if self.adversary is not None:
            self.adversary.synchronise()
        return {f"{name}.{k}": v for name, part in self._parts() for k, v in part.state_dict().items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """What :meth:`state_dict` gave, perhaps among other things."""
        for name, part in self._parts():
            own = {k: v for k, v in state.items() if k.startswith(f"{name}.")}
            part.load_state_dict({k.removeprefix(f"{name}."): v for k, v in own.items()})

    def _parts(self) -> list[tuple[str, Any]]:
        parts = [("adversary", self.adversary), ("gallery", self.gallery)]
        return [(name, part) for name, part in parts if part is not None]
