"""Which candidates deserve an exact query: scores that are exact up to some layer and linear behind it.

A one-pixel change is followed exactly, through all non-linearities, up to a cut of the network; there its change of
the feature map is multiplied with one gradient of the objective. The deeper the cut, the better the prediction and the
dearer the window. So every position × corner colour is scored at a shallow cut, and ever fewer of the best at ever
deeper ones: a chain whose last link is the exact query.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from pasm_aug.attack.candidates import corner_colours, pick_candidates
from pasm_aug.attack.chunks import in_chunks
from pasm_aug.attack.incremental import Incremental
from pasm_aug.attack.windows import Maps, Reach

Ints = NDArray[np.int64]

_STEP = 4.0  # a link is worth its place if it costs this many times the one before
_FIRST = 0.25  # of the budget, at most, for the link that scores every candidate


@dataclass(frozen=True)
class Chain:
    """Cuts to score at, shallow to deep, and how many candidates of an image each of them scores.

    Attributes:
        cuts: names. counts: candidates at each cut; the first takes all of an image.
        exact: candidates that are asked exactly in the end.
        forwards: forward-equivalents of the cuts for one image, without clean forward, backward and exact queries.
    """

    cuts: tuple[str, ...]
    counts: tuple[int, ...]
    exact: int
    forwards: float


def plan(ready: Incremental, shape: Sequence[int], budget: float, exact: int | None = None, points: int = 1) -> Chain:
    """The chain for images of ``shape`` (C, H, W) that spends about ``budget`` forward-equivalents an image.

    The first cut is the deepest that can score all candidates for a quarter of the budget; the others follow where the
    cost has risen fourfold. They and the exact queries get equal shares of the rest.

    Args:
        exact: exact queries, if they are given; the budget then decides on the others alone. points: places wanted,
            the least number of exact queries.
    """
    candidates = shape[1] * shape[2] * (2 ** shape[0] - 1)  # a pixel may lie in a corner already
    room = max(budget - 3, 1)  # a clean forward and a backward are spent in any case
    steps = _steps(ready.reach)
    first = max((i for i, (cost, _) in enumerate(steps) if cost * candidates <= _FIRST * room), default=0)
    links = [steps[first]]
    for cost, cut in steps[first + 1 :]:
        if cost >= _STEP * links[-1][0] and 2 * cost <= ready.share:
            links.append((cost, cut))
    room = max(room - links[0][0] * candidates, 1)
    counts = [candidates]
    for cost, _ in links[1:]:
        counts.append(min(counts[-1], max(1, int(room / len(links) / cost))))
    exact = min(exact or max(points, int(room / len(links) / ready.share)), candidates)
    kept = [i for i, n in enumerate(counts) if i == 0 or n > exact]
    links, counts = [links[i] for i in kept], [counts[i] for i in kept]
    forwards = sum(n * cost for n, (cost, _) in zip(counts, links, strict=True))
    return Chain(tuple(cut for _, cut in links), tuple(counts), exact, forwards)


def _steps(reach: Reach) -> list[tuple[float, str]]:
    """(cost, cut) with rising costs; of cuts that cost the same, the deepest."""
    steps: list[tuple[float, str]] = []
    for cut in reach.network.cuts:
        if steps and reach.cost[cut] <= 1.05 * steps[-1][0]:
            steps.pop()
        steps.append((reach.cost[cut], cut))
    return steps


def narrow(
    chain: Chain,
    ready: Incremental,
    maps: Maps,
    images: NDArray[np.uint8],
    rows: Ints,
    points: int,
    min_distance: int,
) -> Ints:
    """Take all candidates of some images through a chain.

    Args:
        maps: of ``images`` (B, C, H, W), with the objective's slopes at the chain's cuts. rows: (n,) which images.
        points, min_distance: as in :func:`~pasm_aug.attack.candidates.pick_candidates`.

    Returns:
        (n, chain.exact) indices in the order y, x, corner colour, for each image the most promising ones.
    """
    channels, height, width = images.shape[1:]
    corners = corner_colours(channels)
    total = height * width * len(corners)
    values = ready.values(corners)
    keep = [*chain.counts[1:], chain.exact]
    picked: list[Ints] = []
    for row in rows:
        same = (images[row].transpose(1, 2, 0)[:, :, None] == corners).all(axis=-1).reshape(-1)
        chosen = np.flatnonzero(~same)
        for cut, count in zip(chain.cuts, keep, strict=True):
            scores = np.full(total, np.inf)
            scores[chosen] = _linear(ready, maps, cut, int(row), chosen, values, width)
            chosen = np.sort(pick_candidates(scores, width, len(corners), count, points, min_distance))
        picked.append(chosen)
    return np.stack(picked)


def _linear(
    ready: Incremental, maps: Maps, cut: str, row: int, chosen: Ints, values: torch.Tensor, width: int
) -> NDArray[np.float64]:
    place, colour = np.divmod(chosen, len(values))
    xy = torch.from_numpy(np.stack([place % width, place // width], axis=1)).to(values.device)
    paint = values[torch.from_numpy(colour).to(values.device)]
    rows = torch.full((len(chosen),), row, device=values.device)
    scores = np.empty(len(chosen))

    def work(part: slice) -> None:
        scores[part] = maps.linear(cut, rows[part], xy[part], paint[part]).cpu().numpy()

    with torch.no_grad():
        in_chunks(work, len(chosen), ready.at_once(cut))
    return scores
