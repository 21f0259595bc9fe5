"""The epochs of a training: steps, validation, checkpoints, tables, and the good end of a bad one."""

from __future__ import annotations

import copy
import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from torch import Tensor, nn
from torch.utils.data import DataLoader

from pasm_aug.core.files import write_csv
from pasm_aug.core.progress import progress_bar
from pasm_aug.core.rng import derive_seed
from pasm_aug.core.seeding import reseed
from pasm_aug.training.checkpoint import Saved, load_checkpoint, save_checkpoint
from pasm_aug.training.erased_gallery import ErasedGallery
from pasm_aug.training.guards import DivergedError
from pasm_aug.training.loading import EpochSampler
from pasm_aug.training.metrics import Metrics
from pasm_aug.training.result import TrainResult
from pasm_aug.training.steps import TrainingStep
from pasm_aug.training.tracking import EpochLog

LOOK = 50  # steps on a GPU between two looks at the loss: each look waits for the GPU


@dataclass(frozen=True)
class TrainingFiles:
    """What a training writes and where; see :func:`~pasm_aug.training.trainer.train`."""

    checkpoint: str | Path | None = None
    checkpoint_seconds: float = 600.0
    metrics: str | Path | None = None


@dataclass
class EpochLoop:
    """Runs the epochs of one training, from its checkpoint on if there is one.

    Attributes:
        model: trained in place; ``average``: of its weights, scored and returned instead.
        optimizer, scheduler: of ``model``, not wrapped; the scheduler is stepped ``by_step`` or by epoch.
        step: trains on one batch of ``loader``, whose order is the ``sampler``'s.
        areas: whether the batches tell how much of them is erased; what the step's adversary erases is known anyway.
        gallery: what ``step`` erased, for the result.
        score: of a network on the validation split.
        identity: what the checkpoint must have been written for.
    """

    accelerator: Accelerator
    model: nn.Module
    average: Any
    optimizer: torch.optim.Optimizer
    scheduler: Any
    by_step: bool
    sampler: EpochSampler
    loader: DataLoader
    areas: bool
    step: TrainingStep
    gallery: ErasedGallery | None
    score: Callable[[nn.Module], Metrics] | None
    files: TrainingFiles
    identity: dict[str, Any]
    epochs: int
    patience: int | None
    seed: int
    name: str
    progress: bool

    def run(self) -> TrainResult:
        """Train to the end.

        Raises:
            DivergedError: the loss became NaN or infinite; the weights are those of the last good epoch.
        """
        self.steps = len(self.sampler)
        self.log = EpochLog(self.accelerator, self.identity)
        saved = self._resume()
        self.history, self.saved_at = saved.history, time.monotonic()
        self.good = _part(saved.tensors, "good.") or _weights(self.judged)  # of the last epoch that ended well
        self.best = _part(saved.tensors, "best.")
        self.bar = progress_bar(
            total=self.epochs * self.steps,
            done=len(self.history) * self.steps + saved.step,
            name=self.name,
            unit=" batches",
            shown=self.progress and self.accelerator.is_main_process,
        )
        gpus = [self.accelerator.device] if self.accelerator.device.type == "cuda" else []
        with self.log, self.bar, torch.random.fork_rng(devices=gpus), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Grad strides do not match")  # DistributedDataParallel, of 1×1 filters
            if self.history:
                self._tables()  # a kill may have come between them and the checkpoint
            while len(self.history) < self.epochs and not self._settled():
                self._epoch(saved)
                saved = Saved()
        if self.best:
            self.judged.load_state_dict(self.best)
        return self._result(self._best_epoch() if self.best else len(self.history))

    @property
    def judged(self) -> nn.Module:
        """The network that is scored and returned."""
        return self.average.module if self.average else self.model

    def _epoch(self, saved: Saved) -> None:
        """Train one epoch, of which ``saved.step`` batches are done, score it and write down how it went."""
        epoch, started = len(self.history), time.perf_counter() - saved.numbers.get("seconds", 0.0)
        total = self._steps(epoch, saved, started)
        self._check(float(total[0]), epoch)
        if not all(bool(weight.isfinite().all()) for weight in self.judged.parameters()):  # of the very last step
            self._check(math.nan, epoch, "a weight")
        networks = [self.model, self.judged] if self.average else [self.model]
        for buffer in (buffer for network in networks for buffer in network.buffers()):
            buffer.copy_(broadcast(buffer.detach().clone()))  # each process kept running statistics of its own share
        loss, hits, images, erased, seen = total.tolist()
        row: dict[str, float] = {"epoch": epoch + 1, "lr": self.rate}
        row |= {"loss": loss / images, "running_accuracy": hits / images}
        if seen:
            row["erased_share"] = round(erased / seen, 6)
        row |= self.told
        if not self.by_step:
            self.scheduler.step()
        if self.score:
            scores = self.score(self.judged)
            self._check(scores.loss, epoch, "the validation loss")
            row |= {"val_accuracy": scores.accuracy, "val_loss": scores.loss}
        self.history.append(row | {"seconds": round(time.perf_counter() - started, 2)})
        self.good = _weights(self.judged)
        if self.patience and self._best_epoch() == epoch + 1:
            self.best = _weights(self.judged)
        self._save()
        self._tables()

    def _steps(self, epoch: int, saved: Saved, started: float) -> Tensor:
        """(5,) float64 over all processes: sum of the loss, right predictions, images; pixels erased, pixels seen."""
        device = self.accelerator.device
        total = torch.tensor(saved.numbers.get("total", [0.0] * 5), dtype=torch.float64, device=device)
        look = LOOK if device.type == "cuda" else 1
        alone = self.accelerator.num_processes == 1
        self.sampler.epoch, self.sampler.start = epoch, saved.step
        self.step.plan.student.train()
        self.told = self.step.method.epoch_start(epoch) or {}
        self.rate = float(self.optimizer.param_groups[0]["lr"])
        for number, (batch, samples) in enumerate(zip(self.loader, self.sampler, strict=True), saved.step):
            *columns, erased, seen = batch if self.areas else (*batch, torch.zeros(1), torch.zeros(1))
            *images, target = columns
            index = torch.tensor([index for _, index, *_ in samples])
            # Dropout and its like draw from (seed, epoch, step, process) alone.
            reseed(derive_seed(self.seed, epoch, number, self.accelerator.process_index, 1), gpus=device.type == "cuda")
            total += self.step(images, target, index, self.sampler.size(number))
            total[3:] += torch.stack([erased.sum(), seen.sum()]).to(device)
            if self.average:
                self.average.update_parameters(self.model)
            self.rate = float(self.optimizer.param_groups[0]["lr"])
            if self.by_step:
                self.scheduler.step()
            if alone and (number + 1) % look == 0:
                self._check(loss := float(total[0]), epoch)
                val = f", validation {self.history[-1]['val_accuracy']:.1%}" if self.score and self.history else ""
                self.bar.set_postfix_str(
                    f"epoch {epoch + 1}/{self.epochs}, loss {loss / float(total[2]):.3f}{val}", refresh=False
                )
            self.bar.update()
            if alone and number + 1 < self.steps and time.monotonic() - self.saved_at > self.files.checkpoint_seconds:
                self._save(number + 1, {"total": total.tolist(), "seconds": time.perf_counter() - started})
        return self.accelerator.reduce(total)

    def _tables(self) -> None:
        if self.files.metrics and self.accelerator.is_main_process:
            write_csv(Path(self.files.metrics), self.history)
        self.log.write(self.history)

    def _check(self, value: float, epoch: int, what: str = "the loss") -> None:
        if math.isfinite(value):
            return
        self.judged.load_state_dict(self.good)
        flag = "--teacher-lr" if self.name == "teacher" else "--lr"
        error = DivergedError(
            f"{self.name}: {what} became {value} in epoch {epoch + 1}; lower the learning rate ({flag}) or warm up "
            f"(--warmup 1); the weights are those of epoch {epoch}"
        )
        error.result = self._result(epoch)
        raise error

    def _result(self, epoch: int) -> TrainResult:
        if self.average:
            self.model.load_state_dict(self.average.module.state_dict())
        return TrainResult(self.model, self.history, epoch, self.gallery, self.step.method)

    def _best_epoch(self) -> int:
        """The first epoch of the best validation accuracy, from 1; 0 before any."""
        return max(range(len(self.history)), key=lambda i: (self.history[i]["val_accuracy"], -i), default=-1) + 1

    def _settled(self) -> bool:
        return self.patience is not None and len(self.history) >= self.patience + self._best_epoch()

    def _resume(self) -> Saved:
        path = self.files.checkpoint
        saved = path and load_checkpoint(path, self.model, self.optimizer, self.scheduler, self.identity)
        if not saved:
            return Saved()
        if self.average:
            self.average.load_state_dict(_part(saved.tensors, "ema."))
        self.step.method.load_state_dict(_part(saved.tensors, "method."))
        if self.accelerator.scaler is not None and saved.numbers.get("scaler"):
            self.accelerator.scaler.load_state_dict(saved.numbers["scaler"])
        return saved

    def _save(self, step: int = 0, numbers: dict[str, Any] | None = None) -> None:
        """Write a checkpoint, of an epoch's end or of its first ``step`` batches."""
        self.saved_at = time.monotonic()
        if not self.files.checkpoint:
            return
        more = self.step.method.state_dict()  # the processes share what they found
        if not self.accelerator.is_main_process:
            return
        scaler = self.accelerator.scaler
        tensors = {f"best.{k}": v for k, v in self.best.items()}
        tensors |= {f"good.{k}": v for k, v in self.good.items()} if step else {}
        if self.average:
            tensors |= {f"ema.{k}": v for k, v in self.average.state_dict().items()}
        tensors |= {f"method.{k}": v for k, v in more.items()}
        numbers = (numbers or {}) | ({} if scaler is None else {"scaler": scaler.state_dict()})
        state = self.model, self.optimizer, self.scheduler, self.history, self.identity
        save_checkpoint(self.files.checkpoint, *state, step=step, numbers=numbers, tensors=tensors)


def _part(tensors: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _weights(model: nn.Module) -> dict[str, Any]:
    state = model.state_dict()
    return {n: v.detach().clone() if isinstance(v, Tensor) else copy.deepcopy(v) for n, v in state.items()}
