"""The options of a run of rounds as keywords, for editors and type checkers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pasm_aug.training.options import CommonKeywords

if TYPE_CHECKING:  # --help reads the options without loading torch
    from torch import nn

    from pasm_aug.asm.class_thresholds import Confidence
    from pasm_aug.rounds.results import RoundResult
    from pasm_aug.search.options import Mode
    from pasm_aug.search.point_search import PointSearch


class RoundKeywords(CommonKeywords, total=False):
    """:class:`~pasm_aug.rounds.options.RoundOptions` and its parts as flat keywords."""

    augment: str
    method: str
    asm_low: float
    asm_high: float
    asm_rule: str | Confidence
    asm_combine: str
    asm_probabilities: str
    asm_memory: float
    asm_warm_up: float
    asm_omega: float
    asm_gamma: float
    asm_ramp_beta: float
    asm_ramp_peak: float
    asm_ramp_from: str
    asm_detach: bool
    asm_reduction: str
    asm_distil: float | None
    asm_erase: str
    asm_strong: Callable[[Any], Any] | None
    p: float
    size: float | int | None
    value: str | float | Sequence[float] | None
    queries: int
    hardness: str | float
    matched_to: str
    rounds: int | None
    patience: int
    margin: float
    keep_points: int
    refresh: float
    teacher: RoundResult | nn.Module | str | Path | None
    miner: nn.Module | None
    search: Mode | PointSearch
    student: str
    alpha: float
    beta: float
    label_smoothing: float
    class_weights: str | None
    early_stop: int | None
    teacher_training: Mapping[str, Any] | None
    geometry: nn.Module | None
    seed: int
    info: Mapping[str, Any] | None
    tracker: str | None
    workers: int
    progress: bool
