"""The options of Adaptive Sample Mining, each named once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

from pasm_aug.core.errors import UserError
from pasm_aug.core.options import option, plain, without_addresses
from pasm_aug.core.parsers import at_least, ratio

if TYPE_CHECKING:  # --help reads the options without loading torch
    from pasm_aug.asm.class_thresholds import Confidence

RULES = ("label-mean", "label-mean-max", "marginal-max", "fixed")
COMBINE = ("mean", "both", "agree")
PROBABILITIES = ("training", "evaluation")
REDUCTIONS = ("batch", "subset")
ERASE = ("clean", "noise", "all", "suspect")


def _described(transform: Callable[[Any], Any] | None) -> Any:
    """A function by its name, a module by its ``repr``, which names its parts; without addresses, which change."""
    if transform is None or hasattr(transform, "__qualname__"):
        return plain(transform)
    return without_addresses(repr(transform))


@dataclass(frozen=True)
class AsmOptions:
    """What ASM does; keywords of :class:`~pasm_aug.asm.method.ASM`.

    Args:
        low, high (float), rule (str or callable): see :func:`~pasm_aug.asm.class_thresholds.thresholds`.
        combine (str): how two networks decide; see :func:`~pasm_aug.asm.subsets.partition`.
        probabilities (str): what the partition is made of: ``"training"``, what the networks said of the weak view as
            they were trained on it, for free; ``"evaluation"``, of the image as it lies in the data set, in eval mode,
            at one more forward of both an epoch. MAN's code has neither: a pass of its own in eval mode, but over the
            weak view, which is erased.
        memory (float): share of the last partition's probabilities that the next one keeps, in [0, 1).
        warm_up (float): share of the epochs in which every label counts as clean, of one epoch at least. 0: none; the
            first epoch's partition too is made, by an evaluation whatever ``probabilities`` says: for networks that
            have been trained already, as a student that is refined.
        omega, gamma (float): weights of the ambiguous and of the noise.
        ramp_beta, ramp_peak (float): see :func:`~pasm_aug.asm.losses.ramp`. ramp_from (str): e counts from the
            ``"start"`` (MAN's code), or from the first epoch with a partition (``"warm-up"``).
        detach (bool), reduction (str): see :func:`~pasm_aug.asm.losses.tri_loss`.
        distil (float, optional): weight of the squared distance to a teacher's logits, where the training has one
            (PASM's β); ``None``: 0.1, in rounds their ``beta``.
        erase (str): which images the training's augmentation may erase: those with a ``"clean"`` label alone, with
            ``"noise"`` alone, ``"all"``; or ``"suspect"``, all but the clean, whose label loses as much of its mass as
            is erased of the image.
        strong (callable, optional): transform of an image for the strong view; default
            :func:`~pasm_aug.asm.views.strong_view`.

    Raises:
        ValueError: an option out of its range.
    """

    low: float = option(
        0.2,
        "up to this share of its class's confidence a label is noise (the paper: 0.2)",
        group="asm",
        keyword="asm_low",
        parse=ratio,
        metavar="T",
    )
    high: float = option(
        0.8,
        "from this share on it is clean (the paper: 0.8)",
        group="asm",
        keyword="asm_high",
        parse=ratio,
        metavar="T",
    )
    rule: str | Confidence = option(
        "label-mean",
        "a class's confidence: its labels' mean probability; the same ÷ the largest; the mean over all images ÷ the "
        "largest; or 1 for all, fixed",
        group="asm",
        keyword="asm_rule",
        choices=RULES,
    )
    combine: str = option("mean", keyword="asm_combine")
    probabilities: str = option(
        "training",
        "what sorts the labels. training: what the networks said as they were trained, for free; evaluation: a pass "
        "of its own over the images before each epoch, in eval mode (MAN: such a pass, over erased images)",
        group="asm",
        keyword="asm_probabilities",
        choices=PROBABILITIES,
    )
    memory: float = option(0.0, keyword="asm_memory")
    warm_up: float = option(
        0.1,
        "share of the epochs before labels are sorted, one at least (MAN: 10 of 100); 0: sorted from the first on, by "
        "an evaluation",
        group="asm",
        keyword="asm_warm_up",
        parse=ratio,
        metavar="R",
    )
    omega: float = option(
        0.6, "weight of the ambiguous", group="asm", keyword="asm_omega", parse=at_least(0, float), metavar="W"
    )
    gamma: float = option(
        1.0, "weight of the noise", group="asm", keyword="asm_gamma", parse=at_least(0, float), metavar="W"
    )
    ramp_beta: float = option(0.65, keyword="asm_ramp_beta")
    ramp_peak: float = option(0.9, keyword="asm_ramp_peak")
    ramp_from: str = option("start", keyword="asm_ramp_from")
    detach: bool = option(True, keyword="asm_detach")
    reduction: str = option("subset", keyword="asm_reduction")
    distil: float | None = option(None, keyword="asm_distil")
    erase: str = option(
        "clean",
        "with --method pasm+asm, whose images are erased: those with a clean label; with a wrong one; all; or suspect: "
        "all but the clean, and their label loses as much weight as is erased",
        group="asm",
        keyword="asm_erase",
        choices=ERASE,
    )
    strong: Callable[[Any], Any] | None = option(None, keyword="asm_strong", identity=_described)

    def __post_init__(self) -> None:
        for name, known in (
            ("combine", COMBINE),
            ("probabilities", PROBABILITIES),
            ("erase", ERASE),
            ("ramp_from", ("start", "warm-up")),
            ("reduction", REDUCTIONS),
        ):
            if getattr(self, name) not in known:
                raise UserError(f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}")
        if not callable(self.rule) and self.rule not in RULES:
            raise UserError(f"rule must be one of {', '.join(RULES)} or a function, got {self.rule!r}")
        if not 0 <= self.low <= self.high <= 1:
            raise UserError(f"low and high must be 0 ≤ low ≤ high ≤ 1, got {self.low} and {self.high}")
        for name in ("memory", "warm_up"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(f"{name} must be a share in [0, 1), got {getattr(self, name)}")
        for name in ("omega", "gamma", "distil", "ramp_beta"):
            if getattr(self, name) is not None and not getattr(self, name) >= 0:
                raise UserError(f"{name} must be 0 or more, got {getattr(self, name)}")
        if not 0 <= self.ramp_peak <= 1:
            raise UserError(f"ramp_peak must lie in [0, 1], got {self.ramp_peak}")

    def first_sorted(self, epochs: int) -> int:
        """The first of ``epochs``, numbered from 0, that has a partition.

        Raises:
            ValueError: none has, and nothing would differ from plain training.
        """
        first = max(1, round(self.warm_up * epochs)) if self.warm_up else 0
        if first >= epochs:
            raise UserError(
                f"epochs must be more than ASM's warm-up, else no label is ever sorted, got epochs={epochs} and "
                f"warm_up={self.warm_up:g}, which is {first} of them: train longer, or lower warm_up (--asm-warm-up; 0 "
                "sorts from the first epoch on)"
            )
        return first


class AsmKeywords(TypedDict, total=False):
    """:class:`AsmOptions` as keywords, for editors and type checkers."""

    low: float
    high: float
    rule: str | Confidence
    combine: str
    probabilities: str
    memory: float
    warm_up: float
    omega: float
    gamma: float
    ramp_beta: float
    ramp_peak: float
    ramp_from: str
    detach: bool
    reduction: str
    distil: float | None
    erase: str
    strong: Callable[[Any], Any] | None
