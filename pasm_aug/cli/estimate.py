"""How long a run will take: what one step, one image and one score took, times how many of each there will be."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field

from pasm_aug.rounds.arms import AUGMENTS, ONE_ROUND, mines
from pasm_aug.rounds.stopping import MAX_ROUNDS


@dataclass
class Pace:
    """Seconds, measured on few images.

    Attributes:
        imports, opening, report: once.
        read, mine: of one image.
        start, score: of each scoring of a split, and of each image in it.
        step: of one step of the optimiser, by arm; ``"teacher"``: of the first teacher's.
    """

    imports: float = 0.0
    opening: float = 0.0
    report: float = 0.0
    read: float = 0.0
    mine: float = 0.0
    start: float = 0.0
    score: float = 0.0
    step: dict[str, float] = field(default_factory=dict)

    def scoring(self, *images: float) -> float:
        """Seconds to score splits of so many images."""
        return len(images) * self.start + sum(images) * self.score

    def training(self, epochs: int, arm: str, amount: Amount) -> float:
        """Seconds of a training that scores the validation split after each epoch."""
        return epochs * (amount.steps * self.step.get(arm, 0.0) + self.scoring(amount.val))


@dataclass(frozen=True)
class Amount:
    """Images of each split, and steps of an epoch.

    Attributes:
        looks: how often a network is asked about each test image: with a square at every place too.
    """

    train: int
    val: int
    test: int
    steps: int
    looks: float = 1.0

    @property
    def scored(self) -> tuple[float, ...]:
        """How often a network is asked about the images of each split."""
        return self.train, self.val, self.test * self.looks


def sure_rounds(args: argparse.Namespace) -> int:
    """How many rounds a run has at the least."""
    if args.rounds is not None:
        return args.rounds
    return 1 if args.augment in ONE_ROUND else min(args.patience, MAX_ROUNDS)


def seconds_of_run(args: argparse.Namespace, names: Sequence[str], pace: Pace, amount: Amount) -> dict[str, float]:
    """Seconds of each stage of ``pasm-aug run`` with the rounds that are sure.

    Args:
        names: of the arms, the one that leads first.
    """
    splits = amount.train, amount.val, amount.test
    seconds = {"imports": pace.imports, "reading the images": pace.opening + pace.read * sum(splits)}
    if "teacher" in pace.step:
        seconds["first teacher: train"] = pace.training(args.teacher_epochs, "teacher", amount)
        if "plain" in names and args.method != "pasm":  # it has a first teacher of its own
            seconds["plain training, first teacher: train"] = pace.training(args.teacher_epochs, "plain", amount)
    scoring = pace.scoring(*amount.scored)
    for number in range(1, sure_rounds(args) + 1):
        of_round = seconds_of_round(args, names, pace, amount, number)
        scoring += of_round.pop("scoring")
        for stage, value in of_round.items():
            seconds[stage] = seconds.get(stage, 0.0) + value
    return seconds | {"scoring": scoring, "report": pace.report}


def seconds_of_round(
    args: argparse.Namespace, names: Sequence[str], pace: Pace, amount: Amount, number: int
) -> dict[str, float]:
    """Seconds of each stage of one round of all arms."""
    seconds: dict[str, float] = {}
    for arm in names:
        if _mines(arm, names[0], number, miner=args.miner is not None):
            seconds[f"{AUGMENTS[arm]}: mine"] = pace.mine * amount.train
        seconds[f"{AUGMENTS[arm]}: train"] = pace.training(args.epochs, arm, amount)
    return seconds | {"scoring": len(names) * pace.scoring(*amount.scored)}


def seconds_of_train(args: argparse.Namespace, pace: Pace, amount: Amount) -> dict[str, float]:
    """Seconds of each stage of ``pasm-aug train``, which knows no test split."""
    return {
        "imports": pace.imports,
        "reading the images": pace.opening + pace.read * (amount.train + amount.val),
        "training": pace.training(args.epochs, args.augment, amount),
        "scoring": pace.scoring(amount.train, amount.val),
    }


def rough_duration(seconds: float) -> str:
    """A duration with the precision of an estimate."""
    for unit, size, least in (("days", 86400.0, 2 * 86400), ("h", 3600.0, 5400), ("min", 60.0, 90)):
        if seconds >= least:
            return f"{seconds / size:.{1 if seconds < 10 * size else 0}f} {unit}"
    return f"{seconds:.{1 if seconds < 10 else 0}f} s"


def _mines(arm: str, leader: str, number: int, *, miner: bool) -> bool:
    """Whether an arm searches in a round, rather than take points that are there."""
    if not mines(arm, leader):
        return False
    if miner:  # always the same network: its points of round 1 stay
        return number == 1
    return number > 1 or arm == leader or not mines(leader)  # round 1 has one teacher, so the leader's points serve
