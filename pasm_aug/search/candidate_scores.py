"""Candidate scores: a cheap estimate for every candidate of some images, and a better score for those queried.

Estimates of neighbouring pixels err alike, so the errors found so far, smoothed over the neighbourhood, correct those
of candidates not queried yet. A few rounds of queries, each after the last one's corrections, find more with as many
queries (benchmarks/README.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from pasm_aug.search.candidates import pick_candidates

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_ROUNDS = 4
_SHRINK = 0.1  # of the kernel's peak: how much evidence a correction needs to count half
_SIGMA = 1 / 48  # of the image's shorter side


class CandidateScores:
    """Estimated scores of all candidates of n images, lower is better.

    Args:
        prior: (n, H, W, K), K colours; infinite where there is no candidate.
    """

    def __init__(self, prior: Floats) -> None:
        self.prior = prior
        self.known = np.zeros(prior.shape, dtype=bool)
        self.scores = np.zeros(prior.shape)

    def rounds(self, count: int, points: int, min_distance: int) -> Iterator[Ints]:
        """Choose ``count`` candidates an image in a few rounds; the caller tells each one's scores before the next.

        Yields:
            (n, m) ascending indices in the order y, x, colour. The first round holds places enough for ``points``.
        """
        rounds = max(1, min(_ROUNDS, count // max(4, points)))
        edges = [count * done // rounds for done in range(rounds + 1)]
        for start, stop in pairwise(edges):
            estimates = np.where(self.known, np.inf, self.current)
            width, colours = estimates.shape[2:]
            apart = points if start == 0 else 1
            chosen = [
                pick_candidates(one.reshape(-1), width, colours, stop - start, apart, min_distance) for one in estimates
            ]
            yield np.sort(np.stack(chosen), axis=1)

    def tell(self, chosen: Ints, scores: Floats) -> None:
        """Enter the better scores (n, m) of candidates ``chosen`` (n, m)."""
        images = np.arange(len(chosen))[:, None]
        self.known.reshape(len(chosen), -1)[images, chosen] = True
        self.scores.reshape(len(chosen), -1)[images, chosen] = scores

    @property
    def current(self) -> Floats:
        """(n, H, W, K): the better score where it is known, elsewhere the prior with its neighbours' correction."""
        if not self.known.any():
            return self.prior
        error = np.where(self.known, self.scores - np.where(self.known, self.prior, 0), 0)
        both = torch.from_numpy(np.stack([error, self.known.astype(float)])).movedim(-1, 2)
        errors, weights = _blur(both, _SIGMA * min(self.prior.shape[1:3])).movedim(2, -1).numpy()
        return np.where(self.known, self.scores, self.prior + errors / (weights + _SHRINK))


def _blur(maps: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of (..., H, W) with a kernel of peak 1."""
    radius = max(1, round(3 * sigma))
    kernel = torch.exp(-0.5 * (torch.arange(-radius, radius + 1, dtype=maps.dtype) / sigma) ** 2)
    flat = maps.flatten(0, -3)[:, None]
    flat = F.conv2d(flat, kernel.view(1, 1, -1, 1), padding=(radius, 0))
    return F.conv2d(flat, kernel.view(1, 1, 1, -1), padding=(0, radius)).reshape(maps.shape)
