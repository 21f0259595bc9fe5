"""Boxes on a batch of images: where one may lie, what lies under it, what the image is with it filled.

All images at once and without a look at a value, so that a GPU is never waited for.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def box_sums(values: Tensor, sides: Tensor) -> Tensor:
    """Sums of ``values`` under a box, for each place of the box.

    Args:
        values: (B, F, H, W) floating. sides: (B, 2) int64, height and width of the box of each image, in pixels.

    Returns:
        (B, F, H, W): at (y, x) the sum over the box whose upper left corner that is; -inf where it does not fit.
    """
    height, width = values.shape[-2:]
    total = F.pad(values, (1, 0, 1, 0)).cumsum(-2).cumsum(-1)
    rows, below = _ends(sides[:, 0], height)
    columns, right = _ends(sides[:, 1], width)
    lines = total.gather(-2, rows[:, None, :, None].expand(*total.shape[:2], -1, width + 1)) - total[..., :-1, :]
    sums = lines.gather(-1, columns[:, None, None, :].expand(*lines.shape[:3], -1)) - lines[..., :-1]
    outside = below[:, None, :, None] | right[:, None, None, :]
    return sums.masked_fill(outside, -torch.inf)


def _ends(sides: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """(B, length): where a box that starts there ends, at most at the border; and whether it does not fit."""
    ends = torch.arange(length, device=sides.device) + sides[:, None]
    return ends.clamp(max=length), ends > length


def spread_peaks(scores: Tensor, count: int, distance: Tensor) -> Tensor:
    """(B, count) int64: the places of the highest scores, the highest first, none near another.

    Args:
        scores: (B, F, H, W), -inf where no place is. distance: (B,) pixels (Chebyshev) that two places of one image
            are apart at least; where the image does not hold so many, the first place comes again.

    Returns:
        Indices into the last three dimensions, flattened.
    """
    height, width = scores.shape[-2:]
    y, x = torch.arange(height, device=scores.device), torch.arange(width, device=scores.device)
    left, found = scores.flatten(1), list[Tensor]()
    for _ in range(count):
        best, at = left.max(1)
        found.append(torch.where(best > -torch.inf, at, found[0] if found else at))
        near = ((y - (at // width % height)[:, None]).abs() < distance[:, None])[:, :, None]
        near = near & ((x - (at % width)[:, None]).abs() < distance[:, None])[:, None, :]
        left = left.view(scores.shape).masked_fill(near[:, None], -torch.inf).flatten(1)
    return torch.stack(found, 1)


def painted(images: Tensor, top: Tensor, left: Tensor, sides: Tensor, fill: Tensor) -> Tensor:
    """Images with a box of each filled, as new tensors: (B, K, C, H, W) for K places of the box.

    Args:
        images: (B, C, H, W). top, left: (B, K) int64, the boxes' upper left corners. sides: (B, 2), height and width.
        fill: (B, K, C, H or 1, W or 1) in the images' dtype: what is seen inside.
    """
    y, x = (torch.arange(length, device=images.device) for length in images.shape[-2:])
    inside_y = (y >= top[..., None]) & (y < (top + sides[:, :1])[..., None])
    inside_x = (x >= left[..., None]) & (x < (left + sides[:, 1:])[..., None])
    inside = inside_y[:, :, None, :, None] & inside_x[:, :, None, None, :]
    return torch.where(inside, fill, images[:, None])
