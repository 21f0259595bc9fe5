"""Score one network on one split."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from accelerate.utils import reduce
from torch import Tensor, nn
from torch.utils.data import Dataset

from pasm_aug.core.errors import UserError
from pasm_aug.core.eval_mode import eval_mode
from pasm_aug.core.image_content import to_uint8_tensor
from pasm_aug.core.items import check_map_style, unpacked
from pasm_aug.core.networks import take_logits
from pasm_aug.core.processes import Device, process_state
from pasm_aug.models import preprocess_of
from pasm_aug.training.loading import EpochSampler, make_loader
from pasm_aug.training.metrics import Metrics


def evaluate(
    model: nn.Module,
    dataset: Dataset,
    *,
    preprocess: Callable[[Tensor], Tensor] | None = None,
    batch_size: int | None = None,
    device: Device | None = None,
    workers: int = 0,
) -> Metrics:
    """Score ``model`` on ``dataset``, sharded over the processes without padding; the model's mode is kept.

    Args:
        preprocess: uint8 (B, C, H, W) → network input; default the model's own ``.preprocess``.
        batch_size: images a forward; default 256, and 32 on a CPU, whose caches hold no more (1.4 times as fast).

    Returns:
        :class:`Metrics` with overall accuracy (micro, as the paper reports), mean cross-entropy, recall per class
        (``None`` for a class without images), the confusion matrix and every sample's prediction.
    """
    return Evaluation(dataset, preprocess=preprocess, batch_size=batch_size, device=device, workers=workers)(model)


def _counts(confusion: np.ndarray) -> dict[str, Any]:
    """What a confusion matrix (classes, classes) tells of a split."""
    images, right, count = confusion.sum(1), confusion.diagonal(), int(confusion.sum())
    return {
        "accuracy": int(right.sum()) / count,
        "per_class": [hits / of if of else None for hits, of in zip(right.tolist(), images.tolist(), strict=True)],
        "confusion": confusion.tolist(),
        "count": count,
    }


def logits_of(
    model: nn.Module,
    dataset: Dataset,
    *,
    preprocess: Callable[[Tensor], Tensor] | None = None,
    batch_size: int | None = None,
    device: Device | None = None,
    workers: int = 0,
) -> Tensor:
    """(N, classes) float32, on the CPU: the logits of every sample; shared out like :func:`evaluate`."""
    found: Tensor | None = None
    options: dict[str, Any] = {"preprocess": preprocess, "batch_size": batch_size, "device": device, "workers": workers}
    for index, logits, _ in Evaluation(dataset, **options).batches(model):
        if found is None:
            found = torch.zeros(len(dataset), logits.shape[1], device=logits.device)  # type: ignore[arg-type]
            continue
        found[index] = logits
    assert found is not None
    return reduce(found, "sum").cpu()


def count_outputs(model: nn.Module, dataset: Dataset, *, device: Device | None = None) -> int:
    """How many classes ``model`` tells apart, seen on the first sample."""
    return next(Evaluation(dataset, batch_size=1, device=device).batches(model))[1].shape[1]


class Evaluation:
    """:func:`evaluate` with its options, for a split that is scored again and again: its loader workers stay."""

    def __init__(
        self,
        dataset: Any,
        *,
        preprocess: Callable[[Tensor], Tensor] | None = None,
        batch_size: int | None = None,
        device: Device | None = None,
        workers: int = 0,
    ) -> None:
        check_map_style(dataset)
        if not len(dataset):
            raise UserError("dataset must not be empty")
        state = process_state(device)
        self.dataset, self.preprocess, self.device = dataset, preprocess, state.device
        batch_size = batch_size or (32 * state.num_processes if state.device.type == "cpu" else 256)
        share = {"rank": state.process_index, "world": state.num_processes}
        self.sampler = EpochSampler(len(dataset), batch_size, shuffle=False, **share)
        self.loader = make_loader(dataset, self.sampler, workers=workers)

    def __call__(self, model: nn.Module) -> Metrics:
        """The scores of ``model``."""
        loss: Tensor | None = None
        for index, logits, target in self.batches(model):
            if loss is None:  # the first, for every process, tells the number of classes and takes no part
                classes = logits.shape[1]
                loss = torch.zeros((), dtype=torch.float64, device=logits.device)
                predictions = torch.zeros(2, len(self.dataset), dtype=torch.int64, device=logits.device)
                continue
            loss += nn.functional.cross_entropy(logits, target, reduction="sum")
            predictions[:, index] = torch.stack([target, logits.argmax(1)])  # each process fills in its own
        assert loss is not None
        summed, known = reduce(loss, "sum").item(), reduce(predictions, "sum").cpu().numpy()
        confusion = np.zeros((classes, classes), dtype=np.int64)
        np.add.at(confusion, tuple(known), 1)
        return Metrics(**_counts(confusion), loss=summed / known.shape[1], predictions=known)

    @torch.no_grad()
    def batches(self, model: nn.Module) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """(indices, logits, labels) of this process's share, on its device; before them the first sample's alone."""
        preprocess, model = preprocess_of(model, self.preprocess), model.to(self.device)
        if isinstance(preprocess, nn.Module):
            preprocess = preprocess.to(self.device)
        with eval_mode(model):
            first, label = unpacked(self.dataset[0])[:2]
            logits = take_logits(model(preprocess(to_uint8_tensor(first)[None].to(self.device)))).float()
            yield torch.zeros(1, dtype=torch.int64), logits, torch.tensor([int(label)])
            for batch, (images, target) in zip(self.sampler, self.loader, strict=True):
                logits = take_logits(model(preprocess(images.to(self.device, non_blocking=True)))).float()
                check_targets(target, logits)
                index = torch.tensor([index for _, index in batch], device=self.device)
                yield index, logits, target.to(self.device, non_blocking=True)


def check_targets(target: Tensor, logits: Tensor) -> None:
    """Raise a ValueError for labels without an output: cheaper to read than the loss's own index error."""
    if int(target.max()) >= logits.shape[1] or int(target.min()) < 0:
        raise UserError(
            f"labels must lie in 0…{logits.shape[1] - 1} (the model has {logits.shape[1]} outputs), "
            f"got {int(target.min())}…{int(target.max())}"
        )


def less(whole: Metrics, part: Metrics) -> Metrics | None:
    """The scores on all images but ``part`` of them; ``None`` if none is left."""
    count = whole.count - part.count
    if not count:
        return None
    confusion = np.array(whole.confusion) - np.array(part.confusion)
    return Metrics(**_counts(confusion), loss=(whole.loss * whole.count - part.loss * part.count) / count)
