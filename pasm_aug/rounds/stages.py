"""The two stages of a run, first teacher and round; each is done once, and what it made lies in a folder of its own."""

from __future__ import annotations

import functools
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn
from torch.utils.data import Dataset, Subset

from pasm_aug.cache.position_cache import PositionCache
from pasm_aug.cache.stack import stacked_positions
from pasm_aug.core.files import write_atomic
from pasm_aug.core.image_content import dataset_digest
from pasm_aug.core.networks import copied
from pasm_aug.core.processes import exists_for_all, process_state
from pasm_aug.core.rng import derive_seed
from pasm_aug.core.seeding import seeded
from pasm_aug.data.origin import labels_of
from pasm_aug.data.overlap import shared_images
from pasm_aug.models import load_model
from pasm_aug.rounds.arms import arm_positions, hit_rate, make_erase, mines
from pasm_aug.rounds.folder import MINING, read_round, rewrite_round, write_round
from pasm_aug.rounds.occluded import occluded_scores
from pasm_aug.rounds.options import RoundOptions
from pasm_aug.rounds.results import RoundResult
from pasm_aug.rounds.resume import shared_positions
from pasm_aug.rounds.stopwatch import adding_up
from pasm_aug.search.mine import mine_positions
from pasm_aug.training.balance import class_weights
from pasm_aug.training.evaluation import count_outputs, evaluate, less
from pasm_aug.training.guards import DivergedError
from pasm_aug.training.losses import distillation_loss
from pasm_aug.training.paired_gain import paired_gain
from pasm_aug.training.result import TrainResult
from pasm_aug.training.tracking import open_tracker
from pasm_aug.training.trainer import train
from pasm_aug.transforms.paired_view import PairedView


@dataclass(frozen=True)
class Stages:
    """The stages of one arm; see :func:`~pasm_aug.rounds.algorithm.run_rounds`."""

    model: Callable[[], nn.Module]
    splits: Mapping[str, Dataset]
    out: Path
    options: RoundOptions

    def fresh(self, number: int) -> nn.Module:
        """An untrained network of round ``number``, the same in every arm."""
        with seeded(derive_seed(self.options.seed, number)):
            network = self.model()
        if not isinstance(network, nn.Module):
            raise TypeError(f"model() must return a torch.nn.Module, got {type(network).__name__}")
        return self._preprocessing(network)

    def _preprocessing(self, network: nn.Module) -> nn.Module:
        """``network`` with the run's preprocessing, so that it is trained, scored and attacked with the same one."""
        if preprocess := self.options.training.preprocess:
            vars(network)["preprocess"] = preprocess  # not as a part of it: its weights stay those of the architecture
        return network

    def first_teacher(self) -> tuple[RoundResult, nn.Module]:
        """Round 0: given, or trained without erasing."""
        folder, given = self.out / "round-0", self.options.teacher
        if isinstance(given, RoundResult):
            return given, load_model(given.folder, model=self.fresh(0))
        if done := read_round(folder, self.fresh(0)):
            return done
        trained, parent = TrainResult(self.fresh(0)), None
        if given is None:
            trained = self._fit(
                trained.model,
                folder,
                augment=None if self.options.geometry is None else PairedView(self.options.geometry),
                loss=self._loss(),
                options=self.options.first_training,
                seed=derive_seed(self.options.seed, 0),
                name="teacher",
            )
        elif isinstance(given, nn.Module):
            trained.model = self._preprocessing(copied(given))
        else:
            trained.model, parent = load_model(given, model=trained.model), str(given)
        return write_round(self._scored("teacher", 0, folder, trained), trained, self._info(parent)), trained.model

    def one_round(
        self, number: int, best: RoundResult, network: nn.Module, over: RoundResult
    ) -> tuple[RoundResult, nn.Module]:
        """Mine with ``network``, the best so far, train a student on what is erased, and score it.

        Args:
            over: the result that the gain is measured against.
        """
        folder = self.out / f"round-{number}"
        if done := read_round(folder, self.fresh(0)):
            return done
        folder.mkdir(parents=True, exist_ok=True)
        with adding_up(folder / MINING) as spent:
            points, queries = self._points(number, best, network, folder)
        seconds = {} if points is None else {"mine": spent[0]}
        pupil = copied(network) if self.options.student == "refine" else self.fresh(number)
        erase = make_erase(self.options.augment, points, **self.options.square())
        try:
            trained = self._fit(
                pupil,
                folder,
                augment=PairedView(erase, self.options.geometry),
                teacher=network,
                loss=self._loss(alpha=self.options.loss.alpha, beta=self.options.loss.beta),
                options=self.options.training,
                seed=derive_seed(self.options.seed, number),
                name=f"{self.options.augment} · round {number}",
            )
        except DivergedError as error:
            if not error.result.history:
                raise
            warnings.warn(f"{error}; the round goes on with these", stacklevel=2)
            trained = error.result
        result = self._scored(self.options.augment, number, folder, trained)
        assert result.val.predictions is not None
        assert over.val.predictions is not None
        gain = paired_gain(over.val.predictions, result.val.predictions)
        result.gain, result.gain_error, result.gain_over = gain.gain, gain.error, over.round
        result.teacher_round, result.improved = best.round, result.val.accuracy > best.val.accuracy
        result.seconds, result.queries = seconds | result.seconds, queries
        result.hit_rate = None if points is None else hit_rate(points, self.splits["train"])
        return write_round(result, trained, self._info(best.folder, initial=self.options.student)), trained.model

    def _info(self, parent: str | None, **more: Any) -> dict[str, Any]:
        """For ``model.json``."""
        info = self.options.info or {}
        own = str(Path(parent)) if parent else info.get("parent")
        return {**info, "seed": self.options.seed, "parent": own, **more}

    def score_on_test(self, results: list[RoundResult]) -> None:
        """Fill in what the test split says of each result; the rounds have stopped, so it chooses nothing."""
        test, digest = self.splits["test"], dataset_digest(self.splits["test"])
        wanting = [r for r in results if r.test is None or r.test_digest not in (None, digest)]
        seen = shared_images(test, self.splits["train"]) if wanting else ()
        for result in wanting:
            if result.test is not None and process_state().is_main_process:
                warnings.warn(f"{result.folder}: the test images have changed; they are scored anew", stacklevel=2)
            network = load_model(result.folder, model=self.fresh(0))
            result.test, result.test_digest, result.apart = self._score(network, test), digest, None
            device, workers = self.options.training.device, self.options.workers
            result.occluded = occluded_scores(network, test, Path(result.folder), device=device, workers=workers)
            if len(seen):
                result.apart = less(result.test, self._score(network, Subset(test, list(seen))))
            rewrite_round(result)

    def _points(
        self, number: int, best: RoundResult, network: nn.Module, folder: Path
    ) -> tuple[PositionCache | None, int]:
        """Where this round erases, and the queries that it cost to find out."""
        augment, mined, queries = self.options.augment, None, 0
        if mines(augment, self.options.matched_to):
            mined, queries = self._mine(number, best, network, folder)
        points = arm_positions(
            augment,
            mined,
            network,
            self.splits["train"],
            folder,
            seed=derive_seed(self.options.seed, number),
            device=self.options.training.device,
            progress=self.options.progress,
        )
        return points, queries

    def _mine(self, number: int, best: RoundResult, network: nn.Module, folder: Path) -> tuple[PositionCache, int]:
        options, path = self.options, folder / "positions.safetensors"
        first = None if options.miner else shared_positions(options.teacher, self.out)  # round 1's, of another arm
        earlier = [self._mined(n) or first for n in range(1, number)]
        last = RoundResult.load(self.out / f"round-{number - 1}") if number > 1 else None
        again = first if best.round == 0 else None
        if last and earlier[-1] and (options.miner or last.teacher_round == best.round) and not again:
            again = earlier[-1]  # the same network would find the same points
            if process_state().is_main_process:
                write_atomic(path, Path(again.path).read_bytes())
        cache = again or mine_positions(
            options.miner or network,
            self.splits["train"],
            path,
            search=options.point_search,
            refresh=(earlier[-1], options.refresh) if options.refresh and earlier and earlier[-1] else None,
            device=options.training.device,
            workers=options.workers,
            progress=options.progress,
        )
        queries = 0 if again else int(cache.metadata["queries"])
        kept = [cache, *(points for points in earlier[::-1] if points)][: options.keep_points]
        return stacked_positions(kept, folder / "points.safetensors") if len(kept) > 1 else cache, queries

    def _mined(self, number: int) -> PositionCache | None:
        path = self.out / f"round-{number}" / "positions.safetensors"
        return PositionCache.open(path) if exists_for_all(path) else None

    def _fit(self, network: nn.Module, folder: Path, **options: Any) -> TrainResult:
        folder.mkdir(parents=True, exist_ok=True)
        return train(
            network,
            self.splits["train"],
            val=self.splits["val"],
            workers=self.options.workers,
            progress=self.options.progress,
            checkpoint=folder / "training.safetensors",
            metrics=folder / "metrics.csv",
            tracker=open_tracker(self.options.tracker, folder) if self.options.tracker else None,
            method=self.options.training_method,
            **options,
        )

    def _loss(self, **weights: Any) -> Callable[..., Any]:
        balanced = None
        if self.options.loss.class_weights == "balanced":
            outputs = count_outputs(self.fresh(0), self.splits["train"], device=self.options.training.device)
            balanced = class_weights(labels_of(self.splits["train"]), outputs)
        return functools.partial(
            distillation_loss, **weights, label_smoothing=self.options.loss.label_smoothing, class_weights=balanced
        )

    def _score(self, network: nn.Module, split: Dataset) -> Any:
        return evaluate(network, split, device=self.options.training.device, workers=self.options.workers)

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
