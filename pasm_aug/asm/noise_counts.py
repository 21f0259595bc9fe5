"""How often the epochs of a training called a label noise, read from the file in which it kept its partition."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from pasm_aug.asm.record import PARTITION, AsmRecord, labels_digest
from pasm_aug.core.errors import UserError
from pasm_aug.core.image_content import dataset_digest
from pasm_aug.data.origin import labels_of

ADVICE = "audit what the run was trained on (--split train, and its --limit, --image-size, --noise and --seed)"


def read_noise_counts(source: Path, dataset: Any) -> np.ndarray | None:
    """(N,) int64, how many epochs called each training label noise; ``None`` where the file does not tell.

    Args:
        source: ``partition.safetensors``, the folder that holds it, or a run, of whose rounds the last one's is taken.
        dataset: N images, with their labels as they were in that training.

    Raises:
        ValueError: no such file, it cannot be read, or it is of other images or labels.
    """
    file = _found(source)
    try:
        with safe_open(str(file), framework="np") as held:
            ours = "partition" in (held.metadata() or {})
            counts = held.get_tensor("noise_counts") if "noise_counts" in held.keys() else None  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise UserError(f"{file} cannot be read: {error}") from error
    about: dict[str, Any] = {}
    if ours:
        record = AsmRecord.open(file)  # which verifies the file
        counts, about = record.noise_counts, record.about
    if counts is None:
        return None
    if counts.shape != (len(dataset),):
        raise UserError(f"{file} must hold a count for each of the {len(dataset):,} images, got shape {counts.shape}: "
                        f"{ADVICE}")  # fmt: skip
    here = {"data": dataset_digest(dataset), "labels": labels_digest(labels_of(dataset))}
    if any(about.get(name, value) != value for name, value in here.items()):
        raise UserError(f"{file} is of other images or labels than these {len(dataset):,}: {ADVICE}")
    return counts.astype(np.int64)


def _found(source: Path) -> Path:
    numbered = {int(name[1]): file for file in source.glob(f"round-*/{PARTITION}")
                if (name := re.fullmatch(r"round-(\d+)", file.parent.name))}  # fmt: skip
    last = [numbered[max(numbered)]] if numbered else []
    file = next((one for one in (source, source / PARTITION, *last) if one.is_file()), None)
    if file is None:
        raise UserError(f"--partitions must be a {PARTITION} or a folder with one, got {source}")
    return file
