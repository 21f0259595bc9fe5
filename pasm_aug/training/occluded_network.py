"""A network asked about images of which a box is hidden: whole, or through windows where they find the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pasm_aug.core.geometry import Box
from pasm_aug.core.memory_batches import chunks
from pasm_aug.core.networks import take_logits
from pasm_aug.search.incremental.graph import NotFollowedError
from pasm_aug.training.evaluation import check_targets
from pasm_aug.training.occluders import Square, hide
from pasm_aug.training.occlusion_windows import CleanMaps, FollowedNetwork, equal_outside, same


@dataclass
class Part:
    """Images that are read together.

    Attributes:
        images: (B, C, H, W) uint8. labels: (B,) int64. index: (B,) int64, their numbers in the data set.
        maps: of the clean images, if windows are used.
    """

    images: Tensor
    labels: Tensor
    index: Tensor
    maps: CleanMaps | None = None


@dataclass
class OccludedNetwork:
    """A network with its preprocess, which counts what it is asked and sees how many classes it tells apart.

    Attributes:
        followed: its windows, ``None`` if it cannot be followed. tried: whether that is known.
    """

    model: nn.Module
    preprocess: Callable[[Tensor], Tensor]
    at_once: int
    seed: int
    classes: int = 0
    forwards: int = 0
    tried: bool = False
    followed: FollowedNetwork | None = None

    def right(self, part: Part, which: Tensor, box: Box | None = None, fill: str = "black") -> Tensor:
        """(n,) uint8, whether the images ``which`` (n,) int64 of a part are seen right, with a box hidden."""
        found = torch.zeros(len(which), dtype=torch.uint8, device=which.device)
        for piece in chunks(0, len(which), self.at_once):
            rows = which[piece]
            images, labels = part.images[rows], part.labels[rows]  # a copy, which may be painted
            if box is not None:
                hide(images, part.index[rows], box, fill, self.seed)
            inputs = self.preprocess(images)
            logits = part.maps.logits(inputs, box) if part.maps and box else None
            if logits is None:
                logits = take_logits(self.model(inputs))
            if box is None:  # labels are looked at once: on a GPU that waits for the images
                check_targets(labels, logits)
            self.classes, self.forwards = logits.shape[1], self.forwards + len(rows)
            found[piece] = logits.argmax(1) == labels
        return found

    def follow(self, part: Part, squares: Sequence[Square]) -> None:
        """Give ``part`` its clean maps, if the windows find what the whole network does: tried on the first part."""
        if self.tried and self.followed is None:
            return
        inputs = self.preprocess(part.images)
        if not self.tried and inputs.shape[2:] == part.images.shape[2:]:
            with suppress(NotFollowedError):
                self.followed = FollowedNetwork(self.model, inputs[:1], squares)
        maps = self.followed.maps_of(inputs) if self.followed else None
        if not self.tried and not (maps and all(self._agrees(part, inputs, maps, square) for square in squares)):
            maps = self.followed = None
        self.tried, part.maps = True, maps

    def _agrees(self, part: Part, inputs: Tensor, maps: CleanMaps, square: Square) -> bool:
        """Whether windows and preprocess do as they should with a square in the first corner, the middle, the last."""
        boxes, middle = dict(square.boxes()), next(square.boxes(centre_first=True))[0]
        for box in (boxes[place] for place in {0, middle, square.places - 1}):
            hidden = self.preprocess(hide(part.images.clone(), part.index, box, square.fill, self.seed))
            found = maps.logits(hidden, box)
            if found is not None and not (
                equal_outside(inputs, hidden, box) and same(found, take_logits(self.model(hidden)))
            ):
                return False
        return True
