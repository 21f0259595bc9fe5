"""The two stages of a run, first teacher and round; each is done once, and what it made lies in a folder of its own."""

from __future__ import annotations

import copy
import functools
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset, Subset

from pasm_aug.cache.position_cache import PositionCache
from pasm_aug.cache.stack import stacked_positions
from pasm_aug.core.files import write_atomic
from pasm_aug.core.processes import process_state
from pasm_aug.core.rng import derive_seed
from pasm_aug.data.overlap import shared_images
from pasm_aug.models import load_model
from pasm_aug.rounds.arms import MINED, arm_positions, make_erase
from pasm_aug.rounds.folder import read_round, rewrite_round, write_round
from pasm_aug.rounds.results import RoundResult
from pasm_aug.rounds.resume import shared_positions
from pasm_aug.search.mine import mine_positions
from pasm_aug.search.point_search import PointSearch
from pasm_aug.training.balance import class_weights, labels_of
from pasm_aug.training.evaluation import count_outputs, evaluate, less
from pasm_aug.training.guards import DivergedError
from pasm_aug.training.losses import distillation_loss
from pasm_aug.training.paired_gain import paired_gain
from pasm_aug.training.result import TrainResult
from pasm_aug.training.trainer import train
from pasm_aug.transforms.paired_view import PairedView


@dataclass(frozen=True)
class Stages:
    """What the stages of one arm have in common; see :func:`~pasm_aug.rounds.algorithm.run_rounds` for the options.

    Attributes:
        erasing: ``p``, ``size`` and ``value`` of the arm's transform.
        training, teacher_training: options of :func:`~pasm_aug.training.trainer.train`.
    """

    model: Callable[[], nn.Module]
    splits: Mapping[str, Dataset]
    out: Path
    teacher: Any
    miner: nn.Module | None
    search: PointSearch
    augment: str
    erasing: Mapping[str, Any]
    alpha: float
    beta: float
    label_smoothing: float
    class_weights: str | None
    student: str
    geometry: nn.Module | None
    keep_points: int
    refresh: float
    training: Mapping[str, Any]
    teacher_training: Mapping[str, Any]
    tensorboard: bool
    info: Mapping[str, Any]
    seed: int
    workers: int
    progress: bool

    def fresh(self, number: int) -> nn.Module:
        """An untrained network of round ``number``, the same in every arm."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(self.seed, number))
            return self._preprocessing(self.model())

    def _preprocessing(self, network: nn.Module) -> nn.Module:
        """``network`` with the run's preprocessing, so that it is trained, scored and attacked with the same one."""
        if preprocess := self.training.get("preprocess"):
            vars(network)["preprocess"] = preprocess  # not as a part of it: its weights stay those of the architecture
        return network

    def first_teacher(self) -> tuple[RoundResult, nn.Module]:
        """Round 0: given, or trained without erasing."""
        folder = self.out / "round-0"
        if isinstance(self.teacher, RoundResult):
            return self.teacher, load_model(self.teacher.folder, model=self.fresh(0))
        if done := read_round(folder, self.fresh(0)):
            return done
        trained, parent = TrainResult(self.fresh(0)), None
        if self.teacher is None:
            view = None if self.geometry is None else PairedView(self.geometry)
            options = {"seed": derive_seed(self.seed, 0), "name": "teacher", **self.training, **self.teacher_training}
            trained = self._fit(trained.model, folder, augment=view, loss=self._loss(), **options)
        elif isinstance(self.teacher, nn.Module):
            trained.model = self._preprocessing(copy.deepcopy(self.teacher))
        else:
            trained.model, parent = load_model(self.teacher, model=trained.model), str(self.teacher)
        result = self._scored("teacher", 0, folder, trained)
        return write_round(result, trained, {**self.info, "seed": self.seed, "parent": parent}), trained.model

    def one_round(
        self, number: int, best: RoundResult, network: nn.Module, over: RoundResult
    ) -> tuple[RoundResult, nn.Module]:
        """Mine with ``network``, the best so far, train a student on what is erased, and score it.

        Args:
            over: the result that the gain is measured against.
        """
        folder, started = self.out / f"round-{number}", time.perf_counter()
        if done := read_round(folder, self.fresh(0)):
            return done
        folder.mkdir(parents=True, exist_ok=True)
        places, queries = self._places(number, best, network, folder)
        seconds = {} if places is None else {"mine": time.perf_counter() - started}
        pupil = copy.deepcopy(network) if self.student == "refine" else self.fresh(number)
        try:
            trained = self._fit(
                pupil,
                folder,
                augment=PairedView(make_erase(self.augment, places, **self.erasing), self.geometry),
                teacher=network,
                loss=self._loss(alpha=self.alpha, beta=self.beta),
                seed=derive_seed(self.seed, number),
                name=f"{self.augment} · round {number}",
                **self.training,
            )
        except DivergedError as error:
            if not error.result.history:
                raise
            warnings.warn(f"{error}; the round goes on with these", stacklevel=2)
            trained = error.result
        result = self._scored(self.augment, number, folder, trained)
        assert result.val.predictions is not None
        assert over.val.predictions is not None
        gain = paired_gain(over.val.predictions, result.val.predictions)
        result.gain, result.gain_error, result.gain_over = gain.gain, gain.error, over.round
        result.teacher_round, result.improved = best.round, result.val.accuracy > best.val.accuracy
        result.seconds, result.queries = seconds | result.seconds, queries
        about = {**self.info, "seed": self.seed, "parent": str(Path(best.folder)), "initial": self.student}
        return write_round(result, trained, about), trained.model

    def score_on_test(self, results: list[RoundResult]) -> None:
        """Fill in what the test split says of each result; the rounds have stopped, so it chooses nothing."""
        seen: np.ndarray | None = None
        for result in results:
            if result.test is not None:
                continue
            network, test = load_model(result.folder, model=self.fresh(0)), self.splits["test"]
            result.test = self._score(network, test)
            seen = shared_images(test, self.splits["train"]) if seen is None else seen
            if len(seen):
                result.apart = less(result.test, self._score(network, Subset(test, seen.tolist())))
            rewrite_round(result)

    def _places(
        self, number: int, best: RoundResult, network: nn.Module, folder: Path
    ) -> tuple[PositionCache | None, int]:
        """Where this round erases, and the queries that it cost to find out."""
        mined, queries = self._mine(number, best, network, folder) if self.augment in MINED else (None, 0)
        places = arm_positions(
            self.augment,
            mined,
            network,
            self.splits["train"],
            folder,
            seed=derive_seed(self.seed, number),
            device=self.training.get("device"),
            progress=self.progress,
        )
        return places, queries

    def _mine(self, number: int, best: RoundResult, network: nn.Module, folder: Path) -> tuple[PositionCache, int]:
        path = folder / "positions.safetensors"
        first = None if self.miner else shared_positions(self.teacher, self.out)  # of round 1, mined by another arm
        earlier = [self._mined(n) or first for n in range(1, number)]
        last = RoundResult.load(self.out / f"round-{number - 1}") if number > 1 else None
        again = first if best.round == 0 else None
        if last and earlier[-1] and (self.miner or last.teacher_round == best.round) and not again:
            again = earlier[-1]  # the same network would find the same points
            if process_state().is_main_process:
                write_atomic(path, Path(again.path).read_bytes())
        cache = again or mine_positions(
            self.miner or network,
            self.splits["train"],
            path,
            search=self.search,
            refresh=(earlier[-1], self.refresh) if self.refresh and earlier and earlier[-1] else None,
            device=self.training.get("device"),
            workers=self.workers,
            progress=self.progress,
        )
        queries = 0 if again else int(cache.metadata["queries"])
        kept = [cache, *(points for points in earlier[::-1] if points)][: self.keep_points]
        return stacked_positions(kept, folder / "points.safetensors") if len(kept) > 1 else cache, queries

    def _mined(self, number: int) -> PositionCache | None:
        path = self.out / f"round-{number}" / "positions.safetensors"
        return PositionCache.open(path) if path.exists() else None

    def _fit(self, network: nn.Module, folder: Path, **options: Any) -> TrainResult:
        folder.mkdir(parents=True, exist_ok=True)
        return train(
            network,
            self.splits["train"],
            val=self.splits["val"],
            workers=self.workers,
            progress=self.progress,
            checkpoint=folder / "training.safetensors",
            metrics=folder / "metrics.csv",
            tensorboard=folder / "tensorboard" if self.tensorboard else None,
            **options,
        )

    def _loss(self, **weights: Any) -> Callable[..., Any]:
        balanced = None
        if self.class_weights == "balanced":
            outputs = count_outputs(self.fresh(0), self.splits["train"], device=self.training.get("device"))
            balanced = class_weights(labels_of(self.splits["train"]), outputs)
        return functools.partial(
            distillation_loss, **weights, label_smoothing=self.label_smoothing, class_weights=balanced
        )

    def _score(self, network: nn.Module, split: Dataset) -> Any:
        return evaluate(network, split, device=self.training.get("device"), workers=self.workers)

    def _scored(self, arm: str, number: int, folder: Path, trained: TrainResult) -> RoundResult:
        """The result of a network that has just been trained, or given."""
        started, scores = time.perf_counter(), [self._score(trained.model, self.splits[s]) for s in ("train", "val")]
        result = RoundResult(arm, number, str(folder), None, True, *scores)
        result.seconds = {
            "train": sum(row["seconds"] for row in trained.history),
            "score": time.perf_counter() - started,
        }
        result.erased_share = trained.history[-1].get("erased_share", 0.0) if trained.history else 0.0
        return result
