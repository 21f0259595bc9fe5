"""The rounds of self mining: mine with the teacher, train a student on what it erased, let the better one teach.

:func:`run_rounds` reads like Algorithm 1 of the paper, with the two things the paper leaves open filled in: it stops
by itself when validation stops improving, and every stage that is done is on the disk and never done twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import nn
from torch.utils.data import Dataset

from pasm_aug.core.checksums import resealed
from pasm_aug.core.file_lock import FileLock
from pasm_aug.core.files import write_json
from pasm_aug.core.image_content import dataset_digest
from pasm_aug.core.processes import process_state
from pasm_aug.rounds.arms import make_erase
from pasm_aug.rounds.results import RoundResult, best_round, write_rounds
from pasm_aug.rounds.resume import check_begun, check_folder, plain_options
from pasm_aug.rounds.stages import Stages
from pasm_aug.rounds.stopping import MAX_ROUNDS, StopRule
from pasm_aug.search.point_search import PointSearch

__all__ = ["MAX_ROUNDS", "run_rounds"]


def run_rounds(
    model: Callable[[], nn.Module],
    datasets: Mapping[str, Dataset],
    *,
    out: str | Path,
    teacher: RoundResult | str | Path | nn.Module | None = None,
    miner: nn.Module | None = None,
    search: str | PointSearch = "seeded",
    augment: str = "point",
    rounds: int | None = None,
    patience: int = 1,
    margin: float = 1.0,
    keep_points: int = 1,
    refresh: float = 0.0,
    p: float = 1.0,
    size: float | int = 31 / 224,
    value: Any = "point",
    alpha: float = 1.0,
    beta: float = 0.1,
    label_smoothing: float = 0.0,
    class_weights: str | None = None,
    student: str = "refine",
    geometry: nn.Module | None = None,
    teacher_training: Mapping[str, Any] | None = None,
    early_stop: int | None = None,
    tensorboard: bool = False,
    info: Mapping[str, Any] | None = None,
    seed: int = 0,
    workers: int = 0,
    progress: bool = True,
    **training: Any,
) -> Iterator[RoundResult]:
    """Run the rounds of one arm, yielding each as it ends; the same call goes on where an earlier one stopped.

    Args:
        model: makes an untrained classifier; any architecture.
        datasets: ``"train"``, ``"val"`` and ``"test"``; items (image, label) without random transforms.
        out: folder; ``round-0`` holds the first teacher, ``round-r`` round r's positions, student and scores.
        teacher: start from this one: a module, a folder of :func:`~pasm_aug.models.save_model`, or round 0 of another
            run on the same data, whose scores stand as they are, and the points too that it mined in round 1 with the
            same search; default: train one with ``teacher_training``.
        miner: mine with this network instead of the teacher (Table 7 of the paper).
        search: mode or :class:`PointSearch`.
        augment: one of :data:`~pasm_aug.rounds.arms.AUGMENTS`; those in :data:`~pasm_aug.rounds.arms.MINED` mine.
        rounds, patience, margin: when to stop, see :class:`~pasm_aug.rounds.stopping.StopRule`; by default after the
            first round whose gain on validation is not beyond one standard error.
        keep_points: the student sees the points of so many rounds, this one's and the last ones', one at a time.
        refresh: mine anew only images whose true-class probability moved by at least this since the last round; the
            others keep their point. 0: all are mined anew.
        p, size, value: of the erasing; the paper erases every image (p = 1).
        alpha, beta: weights of Eq. 4.
        label_smoothing: of the cross-entropy, for teacher and students.
        class_weights: ``"balanced"`` weighs it by how rare a class is.
        student: ``"refine"`` starts from the teacher's weights (the paper), ``"scratch"`` from new ones.
        geometry: random transform that student's and teacher's image go through together.
        teacher_training: options of :func:`~pasm_aug.training.trainer.train` for the first teacher alone.
        early_stop: the ``patience`` of :func:`~pasm_aug.training.trainer.train`, which here is the rounds'.
        tensorboard: write event files into each round's folder.
        info: what ``model.json`` should say: ``architecture``, ``classes``, ``mean``, ``std``, ``image_size``.
        training: options of :func:`~pasm_aug.training.trainer.train` for teacher and students.

    Yields:
        Round 0, 1, …; after the last one every result's ``test`` is filled in, and ``rounds.csv`` and ``stop.json``
        (why the rounds ended) are written. A student that does not improve on the best validation accuracy so far
        teaches nobody.

    Raises:
        ValueError: wrong options; ``out`` holds rounds of others, or a damaged file.
        DivergedError: the first teacher's loss, or a student's in its first epoch, became NaN or infinite.
    """
    if student not in ("refine", "scratch"):
        raise ValueError(f"student must be 'refine' or 'scratch', got {student!r}")
    if class_weights not in (None, "balanced"):
        raise ValueError(f"class_weights must be None or 'balanced', got {class_weights!r}")
    if early_stop is not None and early_stop < 1:
        raise ValueError(f"early_stop must be at least 1 epoch or None, got {early_stop}")
    if keep_points < 1:
        raise ValueError(f"keep_points must be at least 1, got {keep_points}")
    if not 0 <= refresh <= 1:
        raise ValueError(f"refresh must be a difference of probabilities in [0, 1], got {refresh}")
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"label_smoothing must be a share in [0, 1], got {label_smoothing}")
    if isinstance(teacher, RoundResult) and (teacher.round or teacher.val.predictions is None):
        raise ValueError(
            f"teacher must be round 0 of a run that kept its predictions.csv, got round {teacher.round} of "
            f"{teacher.folder}: pass the folder itself to start from its network"
        )
    rule = StopRule(rounds, patience, margin)
    erasing = {"p": p, "size": size, "value": value}
    erase = repr(make_erase(augment, None, **erasing))  # a wrong option must not cost a teacher first
    out, main = Path(out), process_state(training.get("device")).is_main_process
    search = PointSearch(search, seed=seed) if isinstance(search, str) else search
    splits = {name: datasets[name] for name in ("train", "val", "test")}
    training = {"epochs": 6, "lr": 0.01, "patience": early_stop} | training
    begun = {
        "augment": augment,
        "erase": erase,
        "geometry": repr(geometry),
        "search": search.settings(),
        "loss": [alpha, beta, label_smoothing, class_weights],
        "student": student,
        "points": [keep_points, refresh],
        "training": plain_options(training),
        "teacher_training": plain_options(teacher_training or {}),
        "seed": seed,
        "data": {name: dataset_digest(splits[name]) for name in ("train", "val")},  # test stays unread
    }
    stages = Stages(
        model=model,
        splits=splits,
        out=out,
        teacher=teacher,
        miner=miner,
        search=search,
        augment=augment,
        erasing=erasing,
        alpha=alpha,
        beta=beta,
        label_smoothing=label_smoothing,
        class_weights=class_weights,
        student=student,
        geometry=geometry,
        keep_points=keep_points,
        refresh=refresh,
        training=training,
        teacher_training=teacher_training or {},
        tensorboard=tensorboard,
        info=info or {},
        seed=seed,
        workers=workers,
        progress=progress,
    )
    if main:
        check_folder(out)
    check_begun(out, begun)
    with FileLock(out / "rounds", enabled=main):
        best, network = stages.first_teacher()
        results = [best]
        yield best
        while not (reason := rule.reason(results)):
            result, pupil = stages.one_round(len(results), best, network, rule.reference(results))
            results.append(result)
            if result.improved:
                best, network = result, pupil
            yield result
        stages.score_on_test(results)
        with resealed(out, enabled=main):
            if main:
                write_rounds(out / "rounds.csv", results)
                stop = {"reason": reason, "best_round": best_round(results).round, "rounds": len(results) - 1}
                write_json(out / "stop.json", stop)
