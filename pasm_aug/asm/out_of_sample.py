"""What networks say of images that they were not trained on: every image once, by k-fold training.

A network that is trained for long remembers the wrong labels that it has seen (Zhang et al., "Understanding deep
learning requires rethinking generalization", ICLR 2017), so every image has a network that has not seen it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from torch import nn
from torch.utils.data import Dataset, Subset

from pasm_aug.asm.fold_file import check_about, read_fold, write_fold
from pasm_aug.asm.folds import data_digest, deal_folds
from pasm_aug.asm.judgements import FoldJudgements
from pasm_aug.core.errors import UserError
from pasm_aug.core.file_lock import FileLock
from pasm_aug.core.items import unpacked
from pasm_aug.core.networks import architecture_of, weights_digest
from pasm_aug.core.options import identity, replaced, takes, without_addresses
from pasm_aug.core.processes import exists_for_all, process_state
from pasm_aug.core.progress import progress_bar
from pasm_aug.core.rng import derive_seed
from pasm_aug.core.seeding import seeded
from pasm_aug.data.grouped_split import Groups, joined
from pasm_aug.data.origin import labels_of
from pasm_aug.data.overlap import content_keys
from pasm_aug.training.checkpoint import remove_checkpoint
from pasm_aug.training.evaluation import logits_of
from pasm_aug.training.losses import distillation_loss
from pasm_aug.training.options import TrainingKeywords, TrainingOptions
from pasm_aug.training.trainer import train


def out_of_sample_probabilities(model: Callable[[], nn.Module], dataset: Dataset, **options: Any) -> np.ndarray:
    """(N, K) float32 probabilities of every image's classes, by a network that has been trained on others.

    Args:
        model, dataset, options: as :func:`judge_by_folds` has them, which tells what the other networks say, too.
    """
    return judge_by_folds(model, dataset, **options).out_of_sample


@takes(TrainingOptions)
def judge_by_folds(
    model: Callable[[], nn.Module],
    dataset: Dataset,
    *,
    folds: int = 4,
    seed: int = 0,
    groups: Groups | None = None,
    out: str | Path | None = None,
    augment: Any = None,
    loss: Callable[..., Any] = distillation_loss,
    workers: int = 0,
    progress: bool = True,
    options: TrainingOptions | None = None,
    **keywords: Unpack[TrainingKeywords],
) -> FoldJudgements:
    """Train a network on all folds but one, for each of them, and let all judge every image.

    Args:
        model (callable): makes an untrained network; its initial weights come from torch's global generator, which is
            seeded for each fold.
        dataset (Dataset): items (image, label), the image a PIL image or uint8 (C, H, W), without random transforms.
        folds (int): parts of about the same share of every class, each left out by one network. Images of the same
            content stay in one part.
        seed (int): of the parts, of the initial weights and of the training.
        groups (sequence, optional): (N,) names; items of one group (a person's images) stay in one part, too.
        out (path, optional): a folder that keeps each fold's result and the state of the training that is going on;
            the same call goes on from there.
        augment, loss, workers, progress, options, keywords: as :func:`~pasm_aug.training.trainer.train` has them.

    Returns:
        FoldJudgements: the logits of all, and which network has not seen which image.

    Raises:
        ValueError: fewer than 2 folds or classes, a class that a network would not see, bad options; or what lies in
            ``out`` is damaged, or of other data or options.
        DivergedError: a training's loss is NaN or infinite.
    """
    options = replaced(options or TrainingOptions(), "judge_by_folds", **keywords)
    state = process_state(options.device)
    labels = labels_of(dataset)
    keys = content_keys(_images(dataset, progress and state.is_main_process))
    parts = deal_folds(labels, keys if groups is None else joined(groups, keys), folds, seed=seed)
    about = {"folds": folds, "seed": seed, "data": data_digest(keys, labels), "training": identity(options)}
    about |= {"augment": _named(augment), "loss": _named(loss)}
    folder = None if out is None else Path(out)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    with FileLock((folder or Path()) / "folds", enabled=folder is not None and state.is_main_process):
        if folder is not None:
            check_about(folder / "folds.json", about)
        found = [
            _one_fold(model, dataset, parts, number, folder, about, augment=augment, loss=loss, options=options,
                      workers=workers, progress=progress)
            for number in range(folds)
        ]  # fmt: skip
    fold = np.empty(len(labels), dtype=np.int64)
    for number, part in enumerate(parts):
        fold[part] = number
    return FoldJudgements(np.stack(found), fold)


def _one_fold(
    model: Callable[[], nn.Module],
    dataset: Dataset,
    parts: list[np.ndarray],
    number: int,
    folder: Path | None,
    about: Mapping[str, Any],
    *,
    options: TrainingOptions,
    workers: int,
    **training: Any,
) -> np.ndarray:
    """(N, K) float32 logits of the network that leaves one part out; read from ``folder``, where they are kept."""
    part, rest = parts[number], np.setdiff1d(np.concatenate(parts), parts[number])
    own = derive_seed(about["seed"], number)
    with seeded(own):
        network = model()
    about = {**about, "network": _network_digest(network)}
    file = None if folder is None else folder / f"fold-{number}.safetensors"
    if file is not None and exists_for_all(file):
        return read_fold(file, part, about)
    checkpoint = None if folder is None else folder / f"fold-{number}.training.safetensors"
    trained = train(
        network,
        Subset(dataset, rest.tolist()),
        seed=own,
        workers=workers,
        checkpoint=checkpoint,
        metrics=None if folder is None else folder / f"fold-{number}.csv",
        name=f"fold {number + 1} of {len(parts)}",
        options=options,
        **training,
    )
    logits = logits_of(
        trained.model, dataset, preprocess=options.preprocess, device=options.device, workers=workers
    ).numpy()
    if not np.isfinite(logits).all():
        raise UserError(f"the network of fold {number + 1} must give finite logits, got NaN or infinite ones")
    if file is not None and checkpoint is not None and process_state().is_main_process:
        write_fold(file, part, logits, about)
        remove_checkpoint(checkpoint)
    process_state().wait_for_everyone()  # else another looks for the file before it is there
    return logits


def _images(dataset: Any, progress: bool) -> Iterator[Any]:
    bar = progress_bar(range(len(dataset)), name="comparing images", shown=progress)
    return (unpacked(dataset[index])[0] for index in bar)


def _network_digest(network: nn.Module) -> str:
    text = architecture_of(network) + weights_digest(network.state_dict())
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _named(value: Any) -> str:
    """A function or transform in words that are the same in every process."""
    return without_addresses(repr(value))
