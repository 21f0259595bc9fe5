"""What the last epochs said of where a square hurts: places and a coarse map of each sample, whatever flip it comes in.

An image comes from its loader flipped or not, and nobody tells. So a small view of it is kept beside its places; the
next time the flip under which both agree best is the one that places and map go through.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from pasm_aug.core.errors import UserError
from pasm_aug.core.shared_rows import greatest, share_rows

_VIEW = 8  # side of the small view
MAP = 12  # side of the coarse map
_FLIPS: tuple[tuple[int, ...], ...] = ((), (-1,), (-2,), (-2, -1))  # dimensions
_PARTS = ("places", "views", "maps")


@dataclass(frozen=True)
class Memory:
    """What is known of B samples as they come now.

    Attributes:
        places: (B, K, 3) int64 (fill, y, x), y and x in half pixels; -1 where none is known. maps: (B, F, 12, 12)
            float32, the effects of the fills over the places of the square; 0 where nothing is known.
    """

    places: Tensor
    maps: Tensor


class PlaceTable:
    """Memory of N samples: of each up to ``count`` places, the most promising first, and a map for each of F fills.

    A sample takes 6 × ``count`` + 128 + 288 × F bytes; where no maps are wanted F is 0.

    Attributes:
        places: (N, count, 3) int16. views: (N, 8, 8) float16. maps: (N, F, 12, 12) float16.
    """

    def __init__(self, count: int) -> None:
        self.count, self.samples = count, 0
        self.places = torch.zeros(0, count, 3, dtype=torch.int16)
        self.views = torch.zeros(0, _VIEW, _VIEW, dtype=torch.float16)
        self.maps = torch.zeros(0, 0, MAP, MAP, dtype=torch.float16)
        self.touched = torch.zeros(0, dtype=torch.bool)  # by this process, since the last synchronisation

    def reserve(self, samples: int) -> None:
        """Make room for samples 0 … ``samples`` - 1."""
        self.samples = max(self.samples, samples)

    def recall(self, index: Tensor, images: Tensor, fills: int) -> Memory:
        """What is known of these images (B, C, H, W) as they come now, with so many fills."""
        self._fit(fills, images.device)
        views, places, maps = small_views(images), self.places[index].long(), self.maps[index].float()
        known = self.views[index]
        apart = torch.stack([(views.flip(d) - known).float().abs().sum((1, 2)) for d in _FLIPS], 1)
        flip = apart.argmin(1)[:, None]
        fill, y, x = places.unbind(-1)
        height, width = images.shape[-2:]
        down, across = flip >= 2, flip % 2 == 1
        places = torch.stack(
            [fill, torch.where(down & (y >= 0), 2 * height - y, y), torch.where(across & (x >= 0), 2 * width - x, x)],
            -1,
        )
        maps = torch.where(down[..., None, None], maps.flip(-2), maps)
        return Memory(places, torch.where(across[..., None, None], maps.flip(-1), maps))

    def keep(self, index: Tensor, images: Tensor, places: Tensor, maps: Tensor) -> None:
        """Remember ``places`` (B, count, 3) and ``maps`` (B, F, 12, 12) of these images as they are now."""
        self.places[index] = places.to(self.places.dtype)
        self.views[index] = small_views(images)
        self.maps[index] = maps.to(self.maps.dtype)
        self.touched[index] = True

    def synchronise(self) -> None:
        """Take over what the other processes remember of samples that they have met since the last time."""
        self.samples, fills = greatest([self.samples, self.maps.shape[1]])
        self._fit(fills, self.places.device)
        share_rows([getattr(self, name) for name in _PARTS], self.touched)

    def state_dict(self) -> dict[str, Tensor]:
        return {name: getattr(self, name) for name in _PARTS}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Raises a ValueError for the table of another budget."""
        if state["places"].shape[1] != self.count:
            raise UserError(f"table must hold {self.count} places a sample, got {state['places'].shape[1]}")
        for name in _PARTS:
            setattr(self, name, state[name].clone())
        self.touched = torch.zeros(len(self.places), dtype=torch.bool)
        self.reserve(len(self.places))

    def _fit(self, fills: int, device: torch.device) -> None:
        """Make the room that was reserved, on ``device``."""
        more = self.samples - len(self.places)
        if more > 0 or self.maps.shape[1] != fills:
            self.maps = F.pad(self.maps, (0, 0, 0, 0, 0, fills - self.maps.shape[1], 0, more))
            self.places = F.pad(self.places, (0, 0, 0, 0, 0, more), value=-1)
            self.views = F.pad(self.views, (0, 0, 0, 0, 0, more))
            self.touched = F.pad(self.touched, (0, more))
        if self.places.device != device:
            self.touched = self.touched.to(device)
            for name in _PARTS:
                setattr(self, name, getattr(self, name).to(device))


def small_views(images: Tensor) -> Tensor:
    """(B, 8, 8) float16: images (B, C, H, W) as one sees them from afar."""
    return F.adaptive_avg_pool2d(images.detach().float().mean(1, keepdim=True), _VIEW)[:, 0].half()
