"""Score one network on one split; torchmetrics counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

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
    """Scores of one network on one split; rows of ``confusion`` are true classes, columns predicted ones."""

    accuracy: float
    loss: float
    per_class: list[float | None]
    confusion: list[list[int]]
    count: int

    asdict = asdict

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
        (``None`` for a class without images) and the confusion matrix.
    """
    if not len(dataset):  # type: ignore[arg-type]
        raise ValueError("dataset must not be empty")
    state = process_state(device)
    preprocess = preprocess or getattr(model, "preprocess", None) or Preprocess()
    model = model.to(state.device)
    if isinstance(preprocess, nn.Module):
        preprocess = preprocess.to(state.device)
    sampler = EpochSampler(
        len(dataset),  # type: ignore[arg-type]
        batch_size,
        shuffle=False,
        rank=state.process_index,
        world=state.num_processes,
    )
    with eval_mode(model):
        first = to_uint8_tensor(dataset[0][0])[None].to(state.device)
        classes = model(preprocess(first)).shape[-1]
        loss = torch.zeros((), dtype=torch.float64, device=state.device)
        confusion = torch.zeros(classes, classes, dtype=torch.int64, device=state.device)
        for images, target in make_loader(dataset, sampler, workers=workers):
            target = target.to(state.device)
            logits = model(preprocess(images.to(state.device))).float()
            check_targets(target, logits)
            loss += nn.functional.cross_entropy(logits, target, reduction="sum")
            confusion += multiclass_confusion_matrix(logits, target, num_classes=classes)
    loss, confusion = reduce(loss, "sum"), reduce(confusion, "sum").cpu()
    count, right = int(confusion.sum()), confusion.diag().tolist()
    return Metrics(
        accuracy=sum(right) / count,
        loss=loss.item() / count,
        per_class=[hits / row if row else None for hits, row in zip(right, confusion.sum(1).tolist(), strict=True)],
        confusion=confusion.tolist(),
        count=count,
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
