"""Where the points of each round lie, how far they moved from round to round, and how sure the teachers were."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pasm_aug.cache.format import CacheError
from pasm_aug.cache.position_cache import PositionCache
from pasm_aug.cache.record import Points
from pasm_aug.rounds.results import RoundResult


@dataclass(frozen=True)
class RoundPoints:
    """The places of one round.

    Attributes:
        mined: the points found, with the teacher's probabilities; ``None`` for an arm that mines none.
        used: the places that were erased: the mined ones, or where the arm moved them.
    """

    arm: str
    round: int
    teacher_round: int | None
    mined: PositionCache | None
    used: PositionCache

    def places(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(hit (N,) bool, xy (N, 2) int64) of the place erased in each of N samples; of a region its strongest cell."""
        found = self.used.lookup(indices=indices)
        rank = found.p_point.argmax(1) if self.arm == "cam-region" else np.zeros(len(indices), np.int64)
        return found.hit, found.xy[np.arange(len(indices)), rank].astype(np.int64)

    def mined_points(self) -> Points | None:
        """The mined points of all samples."""
        return None if self.mined is None else self.mined.lookup(indices=np.arange(len(self.mined)))


def open_points(results: Sequence[RoundResult]) -> tuple[list[RoundPoints], list[str]]:
    """The places of the rounds of an arm that left any on the disk, and a word on each file that cannot be read."""
    found, damaged = [], []
    for result in results:
        folder = Path(result.folder)
        mined, moved = folder / "positions.safetensors", folder / f"{result.arm}.safetensors"
        if result.arm == "cam-region":
            moved = folder / "cams.safetensors"
        try:
            cache = PositionCache.open(mined) if mined.exists() else None
            used = PositionCache.open(moved) if moved.exists() else cache
        except CacheError as error:
            damaged.append(str(error))
            continue
        if used is not None:
            found.append(RoundPoints(result.arm, result.round, result.teacher_round, cache, used))
    return found, damaged


def distinct(rounds: Sequence[RoundPoints]) -> list[RoundPoints]:
    """The rounds whose places and colours are not those of the round before: the same teacher is hurt at the same."""
    kept: list[RoundPoints] = []
    for r in rounds:
        if not (kept and _same(kept[-1].used, r.used)):
            kept.append(r)
    return kept


def _same(one: PositionCache, two: PositionCache) -> bool:
    if len(one) != len(two):
        return False
    first, second = (cache.lookup(indices=np.arange(len(cache))) for cache in (one, two))
    names = ("hit", "xy", "colour")
    return all(np.array_equal(getattr(first, name), getattr(second, name)) for name in names)


@dataclass(frozen=True)
class Movement:
    """How the mined points moved from one round to the next.

    Attributes:
        start, end: (N, 2) pixels (x, y) of the samples that both rounds mined.
        chance: (N,) pixels; how far apart the points of *different* images of the two rounds lie.
    """

    before: int
    after: int
    start: np.ndarray
    end: np.ndarray
    chance: np.ndarray

    @property
    def distance(self) -> np.ndarray:
        """(N,) pixels."""
        return _length(self.end - self.start)

    @property
    def stayed(self) -> float:
        """Share of the points on the same pixel as before."""
        return float((self.distance == 0).mean())

    def within(self, pixels: float) -> float:
        """Share of the points that moved by less than ``pixels``."""
        return float((self.distance < pixels).mean())


def movements(rounds: Sequence[RoundPoints]) -> list[Movement]:
    """One for each pair of successive rounds that mined the same samples."""
    found = []
    mined = [(r.round, points) for r in rounds if (points := r.mined_points()) is not None]
    for (before, old), (after, new) in itertools.pairwise(mined):
        if len(old.hit) != len(new.hit) or not (both := old.hit & new.hit).any():
            continue
        start, end = old.xy[both, 0].astype(np.int64), new.xy[both, 0].astype(np.int64)
        other = np.random.default_rng(0).permutation(len(end))
        found.append(Movement(before, after, start, end, _length(end[other] - start)))
    return found


def _length(vectors: np.ndarray) -> np.ndarray:
    return np.hypot(vectors[:, 0], vectors[:, 1])
