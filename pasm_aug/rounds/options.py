"""The options of a run of rounds, each named once.

:func:`~pasm_aug.rounds.algorithm.run_rounds` works with :class:`RoundOptions`, the command line fills them, the run
folder stores their :meth:`~RoundOptions.identity`, resuming compares it and the model card prints it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pasm_aug.asm.options import AsmOptions
from pasm_aug.core import options
from pasm_aug.core.errors import UserError
from pasm_aug.core.options import option, part
from pasm_aug.core.parsers import at_least, ratio
from pasm_aug.rounds.arms import AUGMENTS, BARE, make_erase, square_of
from pasm_aug.rounds.erasing import Erasing
from pasm_aug.rounds.stopping import StopRule
from pasm_aug.training.options import LossOptions, TrainingOptions
from pasm_aug.training.tracking import TRACKERS, check_installed

if TYPE_CHECKING:  # --help reads the options without loading torch
    from torch import nn

    from pasm_aug.asm.method import ASM
    from pasm_aug.rounds.results import RoundResult
    from pasm_aug.search.options import Mode
    from pasm_aug.search.point_search import PointSearch

STUDENTS = ("refine", "scratch")
METHODS = ("pasm", "asm")


def network_digest(network: RoundResult | nn.Module | str | Path | None) -> str | None:
    """What tells one network from another: a digest of its weights, also of those in a folder.

    Raises:
        ValueError: the folder holds no weights that can be read.
    """
    if network is None:
        return None
    from pasm_aug.core.networks import weights_digest
    from pasm_aug.core.weight_files import read_weights

    if hasattr(network, "state_dict"):
        return weights_digest(cast("nn.Module", network).state_dict())[:16]
    folder = Path(network if isinstance(network, str | Path) else network.folder)
    return weights_digest(read_weights(folder.parent if folder.name == "model.json" else folder))[:16]


@dataclass(frozen=True)
class RoundOptions:
    """What :func:`~pasm_aug.rounds.algorithm.run_rounds` does, besides its network, data and folder.

    Args:
        augment (str): one of :data:`~pasm_aug.rounds.arms.AUGMENTS`; those in :data:`~pasm_aug.rounds.arms.MINED` mine.
        method (str): how networks are trained: ``"pasm"``, by Eq. 4; ``"asm"``, by Adaptive Sample Mining, for labels
            that cannot be trusted: the network is a :class:`~pasm_aug.core.pair.Pair`, and only images with a label
            that is believed are erased.
        asm (AsmOptions): keywords those of :class:`~pasm_aug.asm.options.AsmOptions`, each after ``asm_``;
            ``asm_distil`` is ``beta`` unless it is given.
        erasing (Erasing): keywords ``p``, ``size``, ``value``, ``queries``, ``hardness``.
        matched_to (str): the arm that ``"random-matched"`` is matched to, ``"point"`` or ``"online"``.
        stopping (StopRule): when to stop, keywords ``rounds``, ``patience``, ``margin``; by default after the first
            round whose gain on validation is not beyond one standard error.
        keep_points (int): the student sees the points of so many rounds, this one's and the last ones', one at a time.
        refresh (float): mine anew only images whose true-class probability moved by at least this since the last
            round; the others keep their point. 0: all are mined anew.
        teacher (RoundResult, nn.Module or path, optional): start from this one: a module, a folder of
            :func:`~pasm_aug.models.save_model`, or round 0 of another run on the same data, whose scores stand as they
            are, and the points too that it mined in round 1 with the same search; default: train one.
        miner (nn.Module, optional): mine with this network instead of the teacher (Table 7 of the paper).
        search (str or PointSearch): the search, or its mode.
        student (str): ``"refine"`` starts from the teacher's weights (the paper), ``"scratch"`` from new ones.
        loss (LossOptions): keywords ``alpha``, ``beta``, ``label_smoothing``, ``class_weights``.
        training (TrainingOptions): of teacher and students; keywords those of
            :func:`~pasm_aug.training.trainer.train`, whose ``patience`` is ``early_stop`` here.
        teacher_training (mapping, optional): options of the training that the first teacher alone has otherwise.
        geometry (nn.Module, optional): random transform that student's and teacher's image go through together.
        seed (int): of weights, order, erasing and, where ``search`` is a mode, of the search.
        info (mapping, optional): what ``model.json`` should say: ``architecture``, ``classes``, ``mean``, ``std``,
            ``image_size``; ``parent`` of a teacher that is given as a module.
        tracker (str, optional): the experiment tracker that gets every training's epochs, one of
            :data:`~pasm_aug.training.tracking.TRACKERS`.
        workers (int): processes that load images.
        progress (bool): show bars.

    Raises:
        ValueError: an option out of its range, or no package for the tracker.
    """

    augment: str = option(
        "point",
        "; ".join(f"{name}: {text}" for name, text in AUGMENTS.items()),
        group="erasing",
        choices=tuple(AUGMENTS),
    )
    method: str = option("pasm")
    asm: AsmOptions = part(AsmOptions)
    erasing: Erasing = part(Erasing)
    matched_to: str = option("point")
    stopping: StopRule = part(StopRule, recorded=False)
    keep_points: int = option(
        1,
        "erase at the points of the last K rounds, one of them drawn each time; 1: this round's alone (the paper)",
        group="rounds",
        parse=at_least(1, int),
        metavar="K",
    )
    refresh: float = option(
        0.0,
        "from round 2 on, mine again only the images whose true-class probability moved by T or more, and keep the "
        "other points; 0.01 saves about 40 %% of the search for 2 %% of its drop; 0: mine all (the paper)",
        group="rounds",
        parse=ratio,
        metavar="T",
    )
    teacher: RoundResult | nn.Module | str | Path | None = option(
        None,
        "start from this trained network: a round's folder, or a FILE of your own weights (.pt, .pth, .safetensors) of "
        "--model with --classes",
        group="rounds",
        parse=Path,
        metavar="DIR|FILE",
        identity=network_digest,
    )
    miner: nn.Module | None = option(
        None, "mine with this network instead (Table 7)", group="rounds", parse=Path, metavar="DIR|FILE",
        identity=network_digest,
    )  # fmt: skip
    search: Mode | PointSearch = option("seeded", identity=None)
    student: str = option(
        "refine",
        "refine: from the teacher's weights (the paper); scratch: from new ones",
        group="rounds",
        choices=STUDENTS,
    )
    loss: LossOptions = part(LossOptions)
    training: TrainingOptions = part(TrainingOptions, epochs=6)
    teacher_training: Mapping[str, Any] | None = option(None, identity=lambda given: options.plain(given or {}))
    geometry: nn.Module | None = option(None, identity=repr)
    seed: int = option(0, flag="seed")
    info: Mapping[str, Any] | None = option(None, identity=None)
    tracker: str | None = option(
        None,
        "send the figures of every epoch to an experiment tracker too, a run for each training (tensorboard: see them "
        "by tensorboard --logdir DIR of --out)",
        group="machine",
        choices=TRACKERS,
        identity=None,
    )
    workers: int = option(0, flag="workers", identity=None)
    progress: bool = option(True, identity=None)

    def __post_init__(self) -> None:
        if self.student not in STUDENTS:
            raise UserError(f"student must be 'refine' or 'scratch', got {self.student!r}")
        if self.method not in METHODS:
            raise UserError(f"method must be one of {', '.join(METHODS)}, got {self.method!r}")
        if self.augment in ("asm", "plain") and self.method != {"asm": "asm", "plain": "pasm"}[self.augment]:
            raise UserError(f"method must be that of augment={self.augment!r}, got {self.method!r}")
        if self.method == "asm" and (self.loss.label_smoothing or self.loss.class_weights):
            raise UserError(
                "label_smoothing and class_weights must be left alone with method='asm', whose loss has none"
            )
        if self.method == "asm":
            self.asm.first_sorted(self.training.epochs)
            if self.teacher is None:
                self.asm.first_sorted(self.first_training.epochs)
        if self.keep_points < 1:
            raise UserError(f"keep_points must be at least 1, got {self.keep_points}")
        if not 0 <= self.refresh <= 1:
            raise UserError(f"refresh must be a difference of probabilities in [0, 1], got {self.refresh}")
        number, scores = getattr(self.teacher, "round", 0), getattr(self.teacher, "val", None)
        if scores is not None and (number or scores.predictions is None):
            raise UserError(
                f"teacher must be round 0 of a run that kept its predictions.csv, got round {number} of "
                f"{self.teacher.folder}: pass the folder itself to start from its network"  # type: ignore[union-attr]
            )
        if self.tracker:
            check_installed(self.tracker)
        make_erase(self.augment, None, **self.square())
        assert self.first_training
        assert self.point_search

    def square(self) -> dict[str, Any]:
        """Keywords of :func:`~pasm_aug.rounds.arms.make_erase`: the square of this arm."""
        given = vars(self.erasing)
        usual = square_of(self.augment, self.matched_to, size=self.erasing.size, value=self.erasing.value)
        return given | usual | {"matched_to": self.matched_to}

    @property
    def first_training(self) -> TrainingOptions:
        """The options of the first teacher's training."""
        return options.replaced(self.training, **(self.teacher_training or {}))

    @property
    def training_method(self) -> ASM | None:
        """How a network is trained, where it is not by Eq. 4; a new one for each training."""
        if self.method == "pasm":
            return None
        from pasm_aug.asm.method import ASM

        distil = self.loss.beta if self.asm.distil is None else self.asm.distil
        return ASM(options=options.replaced(self.asm, distil=distil))

    @property
    def point_search(self) -> PointSearch:
        """The search with all its options."""
        from pasm_aug.search.point_search import PointSearch

        return PointSearch(self.search, seed=self.seed) if isinstance(self.search, str) else self.search

    def identity(self) -> dict[str, Any]:
        """What the rounds depend on, ready for JSON; how many there are is none of it: more may follow."""
        about = options.identity(self) | {"search": self.point_search.settings()}
        used: tuple[str, ...] = () if self.augment in ("random", *BARE) else ("p", "size", "value")
        used += ("queries", "hardness") if self.augment == "online" else ()
        return about | {"erasing": {name: value for name, value in self.square().items() if name in used}}
