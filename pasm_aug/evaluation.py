"""Score one network on one split; torchmetrics counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch
from accelerate.utils import reduce
from torch import Tensor, nn
from torch.utils.data import Dataset
from torchmetrics.functional.classification import multiclass_confusion_matrix

from pasm_aug.loading import EpochSampler, make_loader, to_uint8_tensor
from pasm_aug.models import Preprocess
from pasm_aug.processes import process_state


@dataclass(frozen=True)
class Metrics:
    """Scores of one network on one split; rows of ``confusion`` are true classes, columns predicted ones.

    ``answers`` (2, count) int64 are every sample's label and predicted class, in the order of the split; they are not
    part of :meth:`asdict`, because a table of their own (``predictions.csv``) holds them.
    """

    accuracy: float
    loss: float
    per_class: list[float | None]
    confusion: list[list[int]]
    count: int
    answers: np.ndarray | None = field(default=None, compare=False, repr=False)

    def asdict(self) -> dict[str, Any]:
        scores = asdict(replace(self, answers=None))
        del scores["answers"]
        return scores

    @property
    def mean_per_class(self) -> float:
        """Mean recall over the classes that have images."""
        known = [recall for recall in self.per_class if recall is not None]
        return sum(known) / len(known)


@torch.no_grad()
def evaluate(
    model: nn.Module,
    dataset: Dataset,
    *,
    preprocess: Callable[[Tensor], Tensor] | None = None,
    batch_size: int = 256,
    device: str | None = None,
    workers: int = 0,
) -> Metrics:
    """Score ``model`` on ``dataset``, sharded over the processes without padding; the model's mode is kept.

    Returns:
        :class:`Metrics` with overall accuracy (micro, as the paper reports), mean cross-entropy, recall per class
        (``None`` for a class without images), the confusion matrix and every sample's answer.
    """
    length = len(dataset)  # type: ignore[arg-type]
    if not length:
        raise ValueError("dataset must not be empty")
    state = process_state(device)
    preprocess = preprocess or getattr(model, "preprocess", None) or Preprocess()
    model = model.to(state.device)
    if isinstance(preprocess, nn.Module):
        preprocess = preprocess.to(state.device)
    sampler = EpochSampler(length, batch_size, shuffle=False, rank=state.process_index, world=state.num_processes)
    with eval_mode(model):
        first = to_uint8_tensor(dataset[0][0])[None].to(state.device)
        classes = model(preprocess(first)).shape[-1]
        loss = torch.zeros((), dtype=torch.float64, device=state.device)
        confusion = torch.zeros(classes, classes, dtype=torch.int64, device=state.device)
        answers = torch.zeros(2, length, dtype=torch.int64, device=state.device)  # each process fills in its own
        mine = [torch.tensor([index for _, index in batch]) for batch in sampler]
        for at, (images, target) in zip(mine, make_loader(dataset, sampler, workers=workers), strict=True):
            logits = model(preprocess(images.to(state.device))).float()
            check_targets(target, logits)
            target = target.to(state.device)
            answers[:, at.to(state.device)] = torch.stack([target, logits.argmax(1)])
            loss += nn.functional.cross_entropy(logits, target, reduction="sum")
            confusion += multiclass_confusion_matrix(logits, target, num_classes=classes)
    loss, confusion, answers = reduce(loss, "sum"), reduce(confusion, "sum").cpu(), reduce(answers, "sum").cpu()
    count, right = int(confusion.sum()), confusion.diag().tolist()
    return Metrics(
        accuracy=sum(right) / count,
        loss=loss.item() / count,
        per_class=[hits / row if row else None for hits, row in zip(right, confusion.sum(1).tolist(), strict=True)],
        confusion=confusion.tolist(),
        count=count,
        answers=answers.numpy(),
    )


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Eval mode inside; every submodule's own mode again afterwards."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def check_targets(target: Tensor, logits: Tensor) -> None:
    """Raise a ValueError for labels without an output: cheaper to read than the loss's own index error."""
    if logits.ndim != 2:
        raise ValueError(f"model must return logits of shape (B, classes), got {tuple(logits.shape)}")
    if int(target.max()) >= logits.shape[1] or int(target.min()) < 0:
        raise ValueError(
            f"labels must lie in 0…{logits.shape[1] - 1} (the model has {logits.shape[1]} outputs), "
            f"got {int(target.min())}…{int(target.max())}"
        )
