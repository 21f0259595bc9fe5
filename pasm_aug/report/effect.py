"""Did it help? The main arm against each other arm, both after the same round and so after as many epochs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pasm_aug.report.difference import Difference, difference
from pasm_aug.report.outcome import Arms, main_arm
from pasm_aug.rounds.hidden_images import read_hidden
from pasm_aug.rounds.results import RoundResult
from pasm_aug.training.metrics import Metrics


@dataclass(frozen=True)
class Effect:
    """What the main arm has over another one.

    Attributes:
        arm: the other one. round: of both. erased: share in [0, 1] of the pixels that the other arm erased.
        test: points of accuracy on the test images as they are.
        worst: points of those that are right wherever a square stands; ``None`` where it is not known of both.
    """

    arm: str
    round: int
    erased: float
    test: Difference
    worst: Difference | None


def rivals(arms: Iterable[str], main: str) -> list[str]:
    """The arms beside the main one, the point of reference first.

    That is the same square at a random place, which differs in nothing but the place; without it the first of them.
    """
    return sorted((arm for arm in arms if arm != main), key=lambda arm: arm != "random-matched")


def effects(arms: Arms) -> list[Effect]:
    """One for each other arm that was trained beyond the first teacher, the point of reference first.

    Each compares the last round that both arms have, whatever validation picks: the first teacher had fewer epochs.
    """
    main = {r.round: r for r in arms[main_arm(arms)] if r.round and r.test}
    found = []
    for arm in rivals(arms, main_arm(arms)):
        if shared := [r for r in arms[arm] if r.round in main and r.test]:
            rival, own = shared[-1], main[shared[-1].round]
            assert rival.test
            assert own.test
            worst = worst_difference(rival, own)
            found.append(Effect(arm, rival.round, rival.erased_share, difference(rival.test, own.test), worst))
    return found


def worst_difference(before: RoundResult, after: RoundResult) -> Difference | None:
    """Points that the second network has more of images that are right wherever a square stands."""
    one, two = _worst_case(before), _worst_case(after)
    return None if one is None or two is None else difference(one, two)


def _worst_case(result: RoundResult) -> Metrics | None:
    """The worst case under a square as scores; an image that is not right everywhere counts as predicted wrong."""
    if not (result.occluded and result.test):
        return None
    known = read_hidden(Path(result.folder))
    predictions = None if known is None else np.stack([known[0], np.where(known[1], known[0], -1)])
    return Metrics(result.occluded["worst"], 0.0, [], [], result.test.count, predictions)
