"""What ASM shows of an image: a weak view to all, and a strong one where the label is noise.

The kinds of steps of the strong view, and their order, are MAN's (the published code of ASM's predecessor). Its images
have 224 pixels; the measures here are ours, shares of the side that suit faces of 48. *MAN*: shifted by up to 4 pixels
(1/56 of the side; here 1/12); two operations out of 14, each with a chance of one half, at their greatest strength
(level 10 of 10; here torchvision's RandAugment, whose 10 is one of 31 levels, 0 … 30, both always applied); a grey
square of 16 pixels (1/14; here 1/3).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from typing import Any

import torch
from torch import nn
from torchvision.transforms import v2

from pasm_aug.asm.subsets import NOISE
from pasm_aug.core.painting import erase_patch
from pasm_aug.transforms.paired_view import ErasedOnly, PairedView


class Cutout(nn.Module):
    """A grey square at a place drawn uniformly, cut at the border (DeVries and Taylor 2017).

    Args:
        size: of its side, a share of the shorter side of the image; MAN's is 16 / 224.
    """

    def __init__(self, size: float = 1 / 3) -> None:
        super().__init__()
        self.size = size

    def forward(self, image: Any) -> Any:
        height, width = v2.functional.get_size(image)
        side = round(self.size * min(height, width))
        x, y = (int(torch.randint(length, ())) - side // 2 for length in (width, height))
        box = max(0, x), max(0, y), min(width, x + side), min(height, y + side)
        return erase_patch(image, box, [128] * v2.functional.get_num_channels(image))

    def extra_repr(self) -> str:
        return f"size={self.size:.4g}"


class ReflectedCrop(nn.Module):
    """The image shifted by up to a twelfth of its side, its border reflected: 4 of 48 pixels (MAN: 4 of 224)."""

    def forward(self, image: Any) -> Any:
        height, width = v2.functional.get_size(image)
        crop = v2.RandomCrop((height, width), padding=max(1, min(height, width) // 12), padding_mode="reflect")
        return crop(image)


def strong_view() -> nn.Module:
    """Reflected crop, flip, RandAugment(2, 10), cutout: MAN's steps in our measures, see above."""
    return v2.Compose([ReflectedCrop(), v2.RandomHorizontalFlip(), v2.RandAugment(2, 10), Cutout()])


class Views(nn.Module):
    """(image, label, note) → (weak, …, strong, label).

    Args:
        weak: ``weak(image, label) → (image, …, label)``, the training's own transform; ``None``: the image as it is.
        strong: of an image; used where the note, the sample's subset, is noise. Elsewhere the weak view stands in.
        erased: the subsets whose images the erasing transform of ``weak`` may erase.
    """

    def __init__(
        self, weak: Callable[..., Any] | None, strong: Callable[[Any], Any], erased: Collection[int] = (0, 1, 2)
    ) -> None:
        super().__init__()
        self.weak, self.strong, self.erased = weak, strong, frozenset(erased)
        self.bare, self.passed = _without_erasing(weak), 0
        erase = getattr(weak, "erase", None)
        self.erase = self if hasattr(erase, "erased_area") else erase  # the trainer asks it what is erased

    def forward(self, image: Any, label: Any, note: int) -> tuple[Any, ...]:
        weak = self.weak if note in self.erased else self.bare
        self.passed += 0 if note in self.erased else math.prod(v2.functional.get_size(image))
        *views, label = (image, label) if weak is None else weak(image, label)
        return *views, self.strong(image) if note == NOISE else views[0], label

    def erased_area(self, *, here: bool = True) -> tuple[int, int]:
        """(pixels erased, pixels seen) by this process; those of images that may not be erased are seen too."""
        erased, seen = self.weak.erase.erased_area(here=here)  # type: ignore[union-attr]
        return erased, seen + self.passed


def _without_erasing(weak: Callable[..., Any] | None) -> Callable[..., Any] | None:
    if isinstance(weak, ErasedOnly):
        return ErasedOnly(PairedView(None, weak.view.then))
    return PairedView(None, weak.then) if isinstance(weak, PairedView) else weak
