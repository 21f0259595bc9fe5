"""What the last epoch said of where a square hurts: a few places of each sample, under whatever flip it comes next.

An image comes from its loader flipped or not, and nobody tells. So a small view of it is kept beside its places; the
next time the flip under which both agree best is the one that the places go through.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from pasm_aug.core.errors import UserError

_VIEW = 8  # side of the small view
_FLIPS: tuple[tuple[int, ...], ...] = ((), (-1,), (-2,), (-2, -1))  # dimensions


class PlaceTable:
    """Places of N samples: of each up to ``count`` (fill, y, x), the most promising first; y and x in half pixels.

    A sample takes 6 × ``count`` + 128 bytes.

    Attributes:
        places: (N, count, 3) int16; -1 where none is known. views: (N, 8, 8) float16.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.places = torch.zeros(0, count, 3, dtype=torch.int16)
        self.views = torch.zeros(0, _VIEW, _VIEW, dtype=torch.float16)
        self.touched = torch.zeros(0, dtype=torch.bool)  # by this process, since the last synchronisation

    def grow(self, samples: int, device: torch.device) -> None:
        """Make room for samples 0 … ``samples`` - 1, on ``device``."""
        more = samples - len(self.places)
        if more > 0:
            self.places = F.pad(self.places, (0, 0, 0, 0, 0, more), value=-1)
            self.views = F.pad(self.views, (0, 0, 0, 0, 0, more))
            self.touched = F.pad(self.touched, (0, more))
        if self.places.device != device:
            self.places, self.views, self.touched = (
                part.to(device) for part in (self.places, self.views, self.touched)
            )

    def recall(self, index: Tensor, images: Tensor) -> Tensor:
        """(B, count, 3) int64 places of these images (B, C, H, W) as they come now; -1 where none is known."""
        views, places = small_views(images), self.places[index].long()
        known = self.views[index]
        apart = torch.stack([(views.flip(d) - known).float().abs().sum((1, 2)) for d in _FLIPS], 1)
        flip = apart.argmin(1)[:, None]
        fill, y, x = places.unbind(-1)
        height, width = images.shape[-2:]
        mirrored_y = torch.where((flip >= 2) & (y >= 0), 2 * height - y, y)
        mirrored_x = torch.where((flip % 2 == 1) & (x >= 0), 2 * width - x, x)
        return torch.stack([fill, mirrored_y, mirrored_x], -1)

    def keep(self, index: Tensor, images: Tensor, places: Tensor) -> None:
        """Remember ``places`` (B, count, 3) of these images as they are now."""
        self.places[index] = places.to(self.places.dtype)
        self.views[index] = small_views(images)
        self.touched[index] = True

    def synchronise(self) -> None:
        """Take over what the other processes remember of samples that they have met since the last time."""
        if not (dist.is_available() and dist.is_initialized()):
            return
        rank = dist.get_rank()
        owner = torch.where(self.touched, rank, -1)
        dist.all_reduce(owner, dist.ReduceOp.MAX)
        for part in (self.places, self.views):
            mine = (owner == rank).view(-1, *[1] * (part.ndim - 1))
            known = torch.where(mine, part, 0).float()  # exact for all that the table holds
            dist.all_reduce(known)
            part.copy_(torch.where((owner >= 0).view_as(mine), known.to(part.dtype), part))
        self.touched.zero_()

    def state_dict(self) -> dict[str, Tensor]:
        return {"places": self.places, "views": self.views}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Raises a ValueError for the table of another budget."""
        if state["places"].shape[1] != self.count:
            raise UserError(f"table must hold {self.count} places a sample, got {state['places'].shape[1]}")
        self.places, self.views = state["places"].clone(), state["views"].clone()
        self.touched = torch.zeros(len(self.places), dtype=torch.bool)


def small_views(images: Tensor) -> Tensor:
    """(B, 8, 8) float16: images (B, C, H, W) as one sees them from afar."""
    return F.adaptive_avg_pool2d(images.detach().float().mean(1, keepdim=True), _VIEW)[:, 0].half()
