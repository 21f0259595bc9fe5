"""Patches of feature maps, with a changed window laid over them.

Maps are (B, H, W, C), windows (N, h, w, C) and patches (N, P, Q, C): channels last, so that a row of a patch is one
piece of memory. On a CPU a compiled loop copies row by row; elsewhere torch gathers.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pasm_aug.search.incremental.influence import Corner
from pasm_aug.search.incremental.layers import Layer


def assemble(
    maps: Tensor,
    rows: Tensor,
    corner: Corner,
    size: tuple[int, int],
    fill: float,
    window: Tensor,
    at: Corner,
    step: int = 1,
) -> Tensor:
    """Patches of ``maps[rows]`` at ``corner``, ``fill`` outside the map, overlaid by ``window`` at ``at``.

    Args:
        maps: (B, H, W, C). rows: (N,) int64. size: (P, Q). window: (N, h, w, C).
        step: takes every second, third, … position of the map.

    Returns:
        (N, P, Q, C).
    """
    channels = maps.shape[3]
    if _compiled(maps):
        from pasm_aug.search.incremental.kernels import (
            paste_patches,  # numba takes a second to load: only who needs it waits
        )

        patch = maps.new_empty(len(rows), *size, channels)
        flat = [part.flatten(2).numpy() for part in (maps, window, patch)]
        (top, left), (at_y, at_x) = _arrays(corner), _arrays(at)
        paste_patches(flat[0], rows.numpy(), top, left, step, fill, flat[1], at_y, at_x, channels, flat[2])
        return patch
    y, x = _grid(corner, size, step)
    inside = (y >= 0) & (y < maps.shape[1]) & (x >= 0) & (x < maps.shape[2])
    patch = maps[rows[:, None, None], y.clamp(0, maps.shape[1] - 1), x.clamp(0, maps.shape[2] - 1)]
    patch = patch.masked_fill(~inside[..., None], fill)
    y, x = y - at[0][:, None, None], x - at[1][:, None, None]
    changed = (y >= 0) & (y < window.shape[1]) & (x >= 0) & (x < window.shape[2])
    n = torch.arange(len(rows), device=maps.device)[:, None, None]
    over = window[n, y.clamp(0, window.shape[1] - 1), x.clamp(0, window.shape[2] - 1)]
    return torch.where(changed[..., None], over, patch)


def shift(
    maps: Tensor, rows: Tensor, corner: Corner, phase: Corner, layer: Layer, change: Tensor, size: tuple[int, int]
) -> Tensor:
    """Windows of a convolution's output after its input changed by ``change`` (N, C) at one position.

    Exact, because a convolution is linear: the clean window plus weight × change.

    Args:
        maps: (B, H, W, D), the convolution's clean output. corner, size: of the windows in it.
        phase: the position in the padded input, counted from the first tap of the window's first output.
    """
    assert layer.weight is not None
    weight = layer.weight.permute(2, 3, 1, 0).contiguous()  # (kh, kw, C, D)
    if _compiled(maps):
        from pasm_aug.search.incremental.kernels import shift_windows

        window = maps.new_empty(len(rows), *size, maps.shape[3])
        (y, x), (phase_y, phase_x) = _arrays(corner), _arrays(phase)
        shift_windows(
            maps.numpy(), rows.numpy(), y, x, phase_y, phase_x, layer.stride, layer.dilation, weight.numpy(),
            change.contiguous().numpy(), window.numpy(),
        )  # fmt: skip
        return window
    window = _gathered(maps, rows, corner, size)
    for i in range(size[0]):
        for j in range(size[1]):
            tap, fits = [], torch.ones_like(rows, dtype=torch.bool)
            for p, n, stride, dilation, kernel in zip(
                phase, (i, j), layer.stride, layer.dilation, layer.kernel, strict=True
            ):
                t = p - n * stride
                fits &= (t >= 0) & (t % dilation == 0) & (t < dilation * kernel)
                tap.append(t.div(dilation, rounding_mode="floor").clamp(0, kernel - 1))
            part = (change[:, None, :] @ weight[tap[0], tap[1]])[:, 0]
            window[:, i, j] += part * fits[:, None]
    return window


def _gathered(maps: Tensor, rows: Tensor, corner: Corner, size: tuple[int, int]) -> Tensor:
    """Patches of ``size`` from ``maps[rows]`` at ``corner``, which lie inside the map."""
    y, x = _grid(corner, size)
    return maps[rows[:, None, None], y, x]


def along(maps: Tensor, gradients: Tensor, rows: Tensor, corner: Corner, window: Tensor) -> Tensor:
    """(N,) dot products of the change, ``window`` − map, with ``gradients`` (B, H, W, C)."""
    if _compiled(maps):
        from pasm_aug.search.incremental.kernels import change_along

        result = torch.empty(len(rows), dtype=torch.float64)
        change_along(
            maps.numpy(), gradients.numpy(), rows.numpy(), corner[0].numpy(), corner[1].numpy(), window.numpy(),
            result.numpy(),
        )  # fmt: skip
        return result
    size = (window.shape[1], window.shape[2])
    change = window - _gathered(maps, rows, corner, size)
    return (change.double() * _gathered(gradients, rows, corner, size).double()).sum(dim=(1, 2, 3))


def _arrays(corner: Corner) -> tuple[np.ndarray, np.ndarray]:
    return corner[0].numpy(), corner[1].numpy()


def _compiled(maps: Tensor) -> bool:
    return maps.device.type == "cpu" and maps.dtype == torch.float32


def _grid(corner: Corner, size: tuple[int, int], step: int = 1) -> Corner:
    device = corner[0].device
    y = corner[0][:, None, None] + step * torch.arange(size[0], device=device)[:, None]
    x = corner[1][:, None, None] + step * torch.arange(size[1], device=device)
    return y, x
