"""First-order candidates: which pixel, pushed to which corner of the colour cube, should lower the score most.

The best colour of a one-pixel change is nearly always a corner. The gradient is taken at the *network's* input, and
the change there is preprocess(corner) − preprocess(image) at the pixel: right for every preprocess that treats pixels
one by one (scaling, normalising, grey to RGB), whatever it does to values; :func:`acts_per_pixel` tells.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from pasm_aug.search.ledger import spread


def corner_colours(channels: int) -> NDArray[np.uint8]:
    """The 2^C corners of the colour cube, (2^C, C), in ascending order."""
    return np.array(list(product((0, 255), repeat=channels)), dtype=np.uint8)


def constant_images(colours: NDArray[np.uint8], height: int, width: int) -> Tensor:
    """One image of a single colour for each of ``colours`` (N, C): (N, C, H, W) uint8."""
    return torch.from_numpy(colours)[:, :, None, None].repeat(1, 1, height, width)


def acts_per_pixel(to_input: Callable[[Tensor], Tensor], channels: int, height: int, width: int) -> bool:
    """Whether a preprocess keeps the image's size, and each of its output pixels depends on that input pixel alone.

    Tried on a fixed noise image: one pixel is painted, at two places, and must come out as it does in an image of that
    colour throughout, while all others stay. Blurs, resizing, flips, per-image statistics and randomness fail.
    """
    noise = np.random.default_rng(0).integers(0, 256, (channels, height, width), dtype=np.uint8)
    image = torch.from_numpy(noise)[None]
    colours = corner_colours(channels)[[0, -1]]
    flat = to_input(constant_images(colours, height, width))
    before = to_input(image)
    if before.ndim != 4 or before.shape[-2:] != (height, width) or not before.is_floating_point():
        return False
    for (y, x), colour, constant in zip(((0, 0), (height // 2, width // 3)), colours, flat, strict=True):
        painted = image.clone()
        painted[0, :, y, x] = torch.from_numpy(colour)
        expected = before.clone()
        expected[0, :, y, x] = constant[:, y, x]
        if not torch.allclose(to_input(painted), expected, rtol=1e-5, atol=1e-5):
            return False
    return True


def linear_scores(
    image: NDArray[np.uint8], inputs: Tensor, gradients: Tensor, corners: Tensor, side: int = 1
) -> NDArray[np.float64]:
    """First-order change of the score for every position and corner colour of one image.

    Args:
        image: (C, H, W) uint8. inputs, gradients: (channels, H, W), the network's input and the score's gradient there.
        corners: (2^C, channels, H, W), the network's inputs of the constant images of :func:`corner_colours`.
        side: of the square around the position that takes the colour.

    Returns:
        (H · W · 2^C,) in the order y, x, colour; infinite where a single pixel has that colour already.
    """
    gradients = gradients.double()
    change = torch.einsum("chw,kchw->khw", gradients, corners.double()) - (gradients * inputs.double()).sum(0)
    if side > 1:
        before, behind = side // 2, side - 1 - side // 2
        change = F.avg_pool2d(F.pad(change, (before, behind, before, behind)), side, stride=1) * side**2
        return change.permute(1, 2, 0).cpu().numpy().reshape(-1)
    colours = corner_colours(len(image))
    same = (image.transpose(1, 2, 0)[:, :, None] == colours).all(axis=-1)
    return np.where(same, np.inf, change.permute(1, 2, 0).cpu().numpy()).reshape(-1)


def lowest(scores: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Indices of the ``count`` lowest of ``scores`` (N,), ascending; among equals the first ones."""
    if count >= len(scores):
        return scores.argsort(kind="stable")
    near = np.flatnonzero(scores <= np.partition(scores, count - 1)[count - 1])
    return near[scores[near].argsort(kind="stable")][:count]


def pick_candidates(
    scores: NDArray[np.float64], width: int, colours: int, count: int, points: int, min_distance: int
) -> NDArray[np.int64]:
    """Indices of the ``count`` lowest scores, with enough different positions among them for ``points`` places.

    ``scores`` are those of :func:`linear_scores`. For several points the best candidates of ``points`` positions that
    lie nearly twice ``min_distance`` apart come first, if the image has so many: then any choice that keeps
    ``min_distance`` rules out at most one of them a place, and cannot run dry. The lowest of the others fill up.
    """
    order = lowest(scores, count)
    if points == 1:
        return order
    table = scores.reshape(-1, colours)
    best = table.min(axis=1)
    position = best.argsort(kind="stable")[: np.isfinite(best).sum()]
    apart = position[spread(np.stack([position % width, position // width], axis=1), points, 2 * min_distance - 1)]
    wanted = apart * colours + table[apart].argmin(axis=1)
    return np.concatenate([wanted, order[~np.isin(order, wanted)]])[:count]
