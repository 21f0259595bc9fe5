"""The rounds of self mining: mine with the teacher, train a student on what it erased, let the better one teach.

:func:`run_rounds` reads like Algorithm 1 of the paper, with the two things the paper leaves open filled in: it stops
by itself when validation stops improving, and every stage that is done is on the disk and never done twice.
"""

from __future__ import annotations

import copy
import functools
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset, Subset

from pasm_aug.arms import MINED, arm_positions, make_erase
from pasm_aug.attack.search import PointSearch
from pasm_aug.begun import check_begun, plain_options, shared_positions
from pasm_aug.crossdata import less, shared_pictures
from pasm_aug.evaluation import evaluate
from pasm_aug.functional import distillation_loss
from pasm_aug.mining import mine_positions
from pasm_aug.models import load_model, save_model
from pasm_aug.processes import process_state
from pasm_aug.results import RoundResult, write_csv, write_rounds
from pasm_aug.rng import derive_seed
from pasm_aug.samples import dataset_digest
from pasm_aug.training import train
from pasm_aug.transforms import PairedView

MAX_ROUNDS = 8  # where a run that never stops improving ends


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
    p: float = 1.0,
    size: float | int = 31 / 224,
    value: Any = "point",
    alpha: float = 1.0,
    beta: float = 0.1,
    student: str = "refine",
    geometry: nn.Module | None = None,
    teacher_training: Mapping[str, Any] | None = None,
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
        augment: one of :data:`~pasm_aug.arms.AUGMENTS`; those in :data:`~pasm_aug.arms.MINED` mine.
        rounds: how many; ``None`` stops after the first round that does not raise validation accuracy, and after 8.
        p, size, value: of the erasing; the paper erases every image (p = 1).
        alpha, beta: weights of Eq. 4.
        student: ``"refine"`` starts from the teacher's weights (the paper), ``"scratch"`` from new ones.
        geometry: random transform that student's and teacher's image go through together.
        teacher_training: options of :func:`~pasm_aug.training.train` for the first teacher alone.
        info: what ``model.json`` should say: ``architecture``, ``classes``, ``mean``, ``std``, ``image_size``.
        training: options of :func:`~pasm_aug.training.train` for teacher and students.

    Yields:
        Round 0, 1, …; after the last one every result's ``test`` is filled in and ``rounds.csv`` written. A student
        that does not improve on the best validation accuracy so far teaches nobody.
    """
    if student not in ("refine", "scratch"):
        raise ValueError(f"student must be 'refine' or 'scratch', got {student!r}")
    if rounds is not None and rounds < 0:
        raise ValueError(f"rounds must be 0 or more, got {rounds}")
    make_erase(augment, None, p=p, size=size, value=value)  # a wrong option must not cost a teacher first
    out, about = Path(out), dict(info or {})
    splits = {name: datasets[name] for name in ("train", "val", "test")}
    check_begun(
        out,
        {
            "augment": augment,
            "erase": repr(make_erase(augment, None, p=p, size=size, value=value)),
            "geometry": repr(geometry),
            "search": (PointSearch(search, seed=seed) if isinstance(search, str) else search).settings(),
            "loss": [alpha, beta],
            "student": student,
            "training": plain_options(training),
            "teacher_training": plain_options(teacher_training or {}),
            "seed": seed,
            "data": {name: dataset_digest(splits[name]) for name in ("train", "val")},  # test stays unread
        },
    )
    score = functools.partial(evaluate, device=training.get("device"), workers=workers)
    fit = functools.partial(
        train, val=splits["val"], workers=workers, progress=progress, **({"epochs": 6, "lr": 0.01} | training)
    )

    def fresh(number: int) -> nn.Module:
        """An untrained network of round ``number``, the same in every arm."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, number))
            return model()

    def finish(result: RoundResult, network: nn.Module, history: list[dict[str, float]], **model_info: Any) -> None:
        """Write what a stage made; ``result.json`` comes last and says that the stage is done."""
        if process_state().is_main_process:
            folder = Path(result.folder)
            save_model(folder, network, about | model_info | {"seed": seed})
            if history:
                write_csv(folder / "metrics.csv", history)
            result.save()
            (folder / "training.safetensors").unlink(missing_ok=True)
        process_state().wait_for_everyone()

    def first_teacher() -> tuple[RoundResult, nn.Module]:
        folder = out / "round-0"
        if isinstance(teacher, RoundResult):
            return teacher, load_model(teacher.folder, model=fresh(0))
        if (folder / "result.json").exists():
            return RoundResult.load(folder), load_model(folder, model=fresh(0))
        folder.mkdir(parents=True, exist_ok=True)
        started, history, parent = time.perf_counter(), [], None
        if teacher is None:
            network = fresh(0)
            options = dict(fit.keywords) | dict(teacher_training or {})
            trained = train(
                network,
                splits["train"],
                augment=None if geometry is None else PairedView(geometry),
                seed=derive_seed(seed, 0),
                checkpoint=folder / "training.safetensors",
                name="teacher",
                **options,
            )
            network, history = trained.model, trained.history
        elif isinstance(teacher, nn.Module):
            network = copy.deepcopy(teacher)
        else:
            network, parent = load_model(teacher, model=fresh(0)), str(teacher)
        seconds = {"train": time.perf_counter() - started}
        result = RoundResult(
            "teacher", 0, str(folder), None, True, score(network, splits["train"]), score(network, splits["val"])
        )
        result.seconds = seconds
        finish(result, network, history, parent=parent)
        return result, network

    def one_round(number: int, best: RoundResult, network: nn.Module) -> tuple[RoundResult, nn.Module]:
        folder, started = out / f"round-{number}", time.perf_counter()
        if (folder / "result.json").exists():
            return RoundResult.load(folder), load_model(folder, model=fresh(0))
        folder.mkdir(parents=True, exist_ok=True)
        cache, queries = None, 0
        if augment in MINED:
            shared = shared_positions(teacher, out) if number == 1 and miner is None else None
            cache = shared or mine_positions(
                miner or network,
                splits["train"],
                folder / "positions.safetensors",
                search=search,
                seed=seed,
                device=training.get("device"),
                workers=workers,
                progress=progress,
            )
            queries = 0 if shared else int(cache.metadata["queries"])
        places = arm_positions(
            augment,
            cache,
            network,
            splits["train"],
            folder,
            seed=derive_seed(seed, number),
            device=training.get("device"),
            progress=progress,
        )
        mined = time.perf_counter()
        pupil = copy.deepcopy(network) if student == "refine" else fresh(number)
        trained = fit(
            model=pupil,
            dataset=splits["train"],
            augment=PairedView(make_erase(augment, places, p=p, size=size, value=value), geometry),
            teacher=network,
            loss=functools.partial(distillation_loss, alpha=alpha, beta=beta),
            seed=derive_seed(seed, number),
            checkpoint=folder / "training.safetensors",
            name=f"{augment} · round {number}",
        )
        train_scores, val_scores = score(pupil, splits["train"]), score(pupil, splits["val"])
        improved = val_scores.accuracy > best.val.accuracy
        result = RoundResult(augment, number, str(folder), best.round, improved, train_scores, val_scores)
        result.seconds = {"train": time.perf_counter() - mined}
        if places is not None:
            result.seconds["mine"] = mined - started
        result.erased_share = trained.history[-1].get("erased_share", 0.0)
        result.queries = queries
        finish(result, pupil, trained.history, parent=str(Path(best.folder)), initial=student)
        return result, pupil

    best, network = first_teacher()
    results = [best]
    yield best
    for number in range(1, (MAX_ROUNDS if rounds is None else rounds) + 1):
        result, pupil = one_round(number, best, network)
        results.append(result)
        if result.improved:
            best, network = result, pupil
        yield result
        if rounds is None and not result.improved:
            break
    seen: np.ndarray | None = None
    for result in results:
        if result.test is None:
            network = load_model(result.folder, model=fresh(0))
            result.test = score(network, splits["test"])
            seen = shared_pictures(splits["test"], splits["train"]) if seen is None else seen
            if len(seen):
                result.apart = less(result.test, score(network, Subset(splits["test"], seen.tolist())))
            if process_state().is_main_process:
                result.save()
    if process_state().is_main_process:
        write_rounds(out / "rounds.csv", results)
