"""Which candidates deserve an exact query: scores that are exact up to some layer and linear behind it.

A one-pixel change is followed exactly, through all non-linearities, up to some layer of the network; there the change
of the feature map (inside a residual block: of all maps that lead on from there) is multiplied with one gradient of the
objective. The deeper the layer, the better the prediction and the dearer the window. So every position × corner colour
is scored at a shallow layer, and ever fewer of the best at ever deeper ones: a chain that ends in exact queries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from pasm_aug.core.memory_batches import in_chunks
from pasm_aug.search.candidate_scores import CandidateScores
from pasm_aug.search.candidates import corner_colours
from pasm_aug.search.incremental.influence import Influence
from pasm_aug.search.incremental.network import Incremental
from pasm_aug.search.incremental.windows import Maps

Ints = NDArray[np.int64]

_STEP = 8.0  # how many times dearer the next link is; few long steps beat many short ones (benchmarks/README.md)
_FIRST = 0.25  # of the budget, at most, for the link that scores every candidate
_EXACT = 1.5  # of what is left, the exact queries' part; each link's is 1
_MOST_TENSORS = 3  # of a frontier; densely connected blocks have more


@dataclass(frozen=True)
class Chain:
    """Layers to score at, shallow to deep, and how many candidates of an image each of them scores.

    Attributes:
        links: names of layers. counts: candidates at each of them; the first takes all of an image.
        exact: candidates that are scored exactly in the end.
        forwards: forward-equivalents of the links for one image, without clean forward, backward and exact queries.
    """

    links: tuple[str, ...]
    counts: tuple[int, ...]
    exact: int
    forwards: float


def plan(ready: Incremental, shape: Sequence[int], budget: float, exact: int | None = None, points: int = 1) -> Chain:
    """The chain for images of ``shape`` (C, H, W) that spends about ``budget`` forward-equivalents an image.

    The first link is the deepest layer that can score all candidates for a quarter of the budget. The others are found
    from the end: the deepest that costs an eighth of an exact query, the deepest that costs an eighth of that one, and
    so on. They get equal parts of what is left, and the exact queries half as much again.

    Args:
        exact: exact queries, if they are given; the budget then decides on the others alone. points: places wanted,
            the least number of exact queries.
    """
    candidates = shape[1] * shape[2] * 2 ** shape[0]
    at_least = candidates - shape[1] * shape[2]  # a pixel may have the colour of a corner already
    room = max(budget - 3, 1)  # a clean forward and a backward are spent in any case
    steps = _steps(ready.influence)
    first = next((step for step in reversed(steps) if step[0] * candidates <= _FIRST * room), steps[0])
    links: list[tuple[float, str]] = []
    for step in reversed(steps):
        behind = links[0][0] if links else ready.share
        if _STEP * step[0] <= behind and step[0] > 2 * first[0]:
            links.insert(0, step)
    room = max(room - first[0] * candidates, 1) / (len(links) + _EXACT)
    exact = min(exact or max(points, int(_EXACT * room / ready.share)), at_least)
    counts = [max(exact, min(at_least, int(room / cost))) for cost, _ in links]
    forwards = first[0] * candidates + sum(cost * count for count, (cost, _) in zip(counts, links, strict=True))
    return Chain((first[1], *(name for _, name in links)), (candidates, *counts), exact, forwards)


def _steps(influence: Influence) -> list[tuple[float, str]]:
    """(cost, layer) with rising costs, of layers that are not linear; of those that cost the same, the deepest."""
    steps: list[tuple[float, str]] = []
    for layer in influence.network.layers:
        tensors = {name for name, _ in influence.network.frontiers[layer.name]}
        if not layer.linear and len(tensors) <= _MOST_TENSORS:
            if steps and influence.cost[layer.name] <= 1.05 * steps[-1][0]:
                steps.pop()
            steps.append((influence.cost[layer.name], layer.name))
    return steps or [(influence.cost[influence.network.split_layers[0]], influence.network.split_layers[0])]


def survey(
    chain: Chain, ready: Incremental, maps: Maps, images: NDArray[np.uint8], rows: Ints, points: int, min_distance: int
) -> CandidateScores:
    """Take the candidates of some images through a chain.

    Args:
        maps: of ``images`` (B, C, H, W), with the objective's gradients at the chain's links. rows: (n,) which images.
        points, min_distance: as in :func:`~pasm_aug.search.candidates.pick_candidates`.

    Returns:
        The scores of all candidates, estimated as well as the chain can, to choose the exact queries by.
    """
    channels, width = images.shape[1], images.shape[3]
    corners = corner_colours(channels)
    values = ready.values(corners)
    same = (images[rows].transpose(0, 2, 3, 1)[:, :, :, None] == corners).all(axis=-1)
    prior = np.full(same.shape, np.inf)
    for image, row in enumerate(rows):
        every = np.flatnonzero(~same[image])
        scores = _linear(ready, maps, chain.links[0], np.full(len(every), row), every, values, width)
        prior[image].reshape(-1)[every] = scores
    estimates = CandidateScores(prior)
    for link, count in zip(chain.links[1:], chain.counts[1:], strict=True):
        for chosen in estimates.rounds(count, points, min_distance):
            repeated = np.repeat(rows, chosen.shape[1])
            scores = _linear(ready, maps, link, repeated, chosen.reshape(-1), values, width)
            estimates.tell(chosen, scores.reshape(chosen.shape))
        estimates = CandidateScores(estimates.current)
    return estimates


def _linear(
    ready: Incremental, maps: Maps, link: str, row: Ints, chosen: Ints, values: torch.Tensor, width: int
) -> NDArray[np.float64]:
    """Scores (N,) of candidates ``chosen`` (N,) of images ``row`` (N,) at one link."""
    place, colour = np.divmod(chosen, len(values))
    xy = torch.from_numpy(np.stack([place % width, place // width], axis=1)).to(values.device)
    paint = values[torch.from_numpy(colour).to(values.device)]
    rows = torch.from_numpy(row).to(values.device)
    scores = np.empty(len(chosen))

    def work(part: slice) -> None:
        scores[part] = maps.linear(link, rows[part], xy[part], paint[part]).cpu().numpy()

    with torch.no_grad():
        in_chunks(work, len(chosen), ready.at_once(link))
    return scores
