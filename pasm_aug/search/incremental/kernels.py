"""Compiled inner loops over patches and windows of feature maps: arrays in, arrays out.

Serial on purpose: parallel kernels do not survive worker processes.

Shapes: B images, N changes; maps (B, H, W, C) and windows (N, h, w, C), channels last, float32.
"""

from __future__ import annotations

import numpy as np

from pasm_aug.core.compiled import compiled


@compiled(nogil=True)
def paste_patches(
    maps: np.ndarray,
    rows: np.ndarray,
    corner_y: np.ndarray,
    corner_x: np.ndarray,
    step: int,
    fill: float,
    window: np.ndarray,
    at_y: np.ndarray,
    at_x: np.ndarray,
    channels: int,
    patch: np.ndarray,
) -> None:
    """Fill ``patch`` (N, P, Q · C) from ``maps`` (B, H, W · C), overlaid by ``window`` (N, h, w · C); all float32.

    Positions and channels are one axis, so that whole rows are copied at once. ``step`` takes every second, third, …
    position of the map, beginning at the corner.
    """
    count, tall = patch.shape[:2]
    wide, height, width = patch.shape[2] // channels, maps.shape[1], maps.shape[2] // channels
    h, w = window.shape[1], window.shape[2] // channels
    for n in range(count):
        x0, y0 = corner_x[n], corner_y[n]
        first = min(wide, max(0, -(x0 // step)))  # columns inside the map
        last = min(wide, max(first, (width - x0 + step - 1) // step))
        left = min(wide, max(0, -((x0 - at_x[n]) // step)))  # columns inside the window
        right = min(wide, max(left, (at_x[n] + w - x0 + step - 1) // step))
        for p in range(tall):
            y = y0 + p * step
            row = patch[n, p]
            if y < 0 or y >= height:
                row[:] = fill
            else:
                source = maps[rows[n], y]
                row[: first * channels] = fill
                row[last * channels :] = fill
                if step == 1:
                    row[first * channels : last * channels] = source[(x0 + first) * channels : (x0 + last) * channels]
                else:
                    for q in range(first, last):
                        x = (x0 + q * step) * channels
                        row[q * channels : (q + 1) * channels] = source[x : x + channels]
            i = y - at_y[n]
            if 0 <= i < h and right > left:
                changed = window[n, i]
                if step == 1:
                    x = (x0 + left - at_x[n]) * channels
                    row[left * channels : right * channels] = changed[x : x + (right - left) * channels]
                else:
                    for q in range(left, right):
                        x = (x0 + q * step - at_x[n]) * channels
                        row[q * channels : (q + 1) * channels] = changed[x : x + channels]


@compiled(nogil=True)
def shift_windows(
    maps: np.ndarray,
    rows: np.ndarray,
    corner_y: np.ndarray,
    corner_x: np.ndarray,
    phase_y: np.ndarray,
    phase_x: np.ndarray,
    stride: tuple[int, int],
    dilation: tuple[int, int],
    weight: np.ndarray,
    change: np.ndarray,
    window: np.ndarray,
) -> None:
    """Fill ``window`` (N, h, w, D) from ``maps`` (B, H, W, D) and add what a convolution makes of one pixel's change.

    ``phase`` is the pixel's place in the padded input, counted from the first tap of the window's first output;
    ``weight`` (kh, kw, C, D), ``change`` (N, C); all float32.
    """
    count, h, w, outputs = window.shape
    for n in range(count):
        for i in range(h):
            for j in range(w):
                cell = window[n, i, j]
                cell[:] = maps[rows[n], corner_y[n] + i, corner_x[n] + j]
                ty, tx = phase_y[n] - i * stride[0], phase_x[n] - j * stride[1]
                if ty < 0 or tx < 0 or ty % dilation[0] or tx % dilation[1]:
                    continue
                ty, tx = ty // dilation[0], tx // dilation[1]
                if ty < weight.shape[0] and tx < weight.shape[1]:
                    for c in range(weight.shape[2]):
                        taps, d = weight[ty, tx, c], change[n, c]
                        for o in range(outputs):
                            cell[o] += taps[o] * d


@compiled(nogil=True)
def change_along(
    maps: np.ndarray,
    gradients: np.ndarray,
    rows: np.ndarray,
    corner_y: np.ndarray,
    corner_x: np.ndarray,
    window: np.ndarray,
    result: np.ndarray,
) -> None:
    """Fill ``result`` (N,) with Σ (window − map) · gradient over each window."""
    count, h, w, channels = window.shape
    for n in range(count):
        total = 0.0
        for i in range(h):
            y = corner_y[n] + i
            for j in range(w):
                x = corner_x[n] + j
                for c in range(channels):
                    total += (window[n, i, j, c] - maps[rows[n], y, x, c]) * gradients[rows[n], y, x, c]
        result[n] = total
