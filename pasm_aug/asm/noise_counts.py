"""How often the epochs of a training called a label noise, read from the file in which it kept its partition."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from pasm_aug.asm.record import PARTITION, AsmRecord
from pasm_aug.core.errors import UserError


def read_noise_counts(source: Path, length: int) -> np.ndarray | None:
    """(N,) int64, how many epochs called each training label noise; ``None`` where the file does not tell.

    Args:
        source: ``partition.safetensors``, the folder that holds it, or a run, of whose rounds the last one's is taken.

    Raises:
        ValueError: no such file, it cannot be read, or it is of another number of images.
    """
    rounds = sorted(source.glob(f"round-*/{PARTITION}"), key=lambda file: int(file.parent.name.rpartition("-")[2]))
    file = next((one for one in (source, source / PARTITION, *rounds[::-1]) if one.is_file()), None)
    if file is None:
        raise UserError(f"--partitions must be a {PARTITION} or a folder with one, got {source}")
    try:
        with safe_open(str(file), framework="np") as held:
            ours = "partition" in (held.metadata() or {})
            counts = held.get_tensor("noise_counts") if "noise_counts" in held.keys() else None  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise UserError(f"{file} cannot be read: {error}") from error
    if ours:
        counts = AsmRecord.open(file).noise_counts  # which verifies the file
    if counts is None:
        return None
    if counts.shape != (length,):
        raise UserError(
            f"{file} must hold a count for each of the {length:,} images, got shape {counts.shape}: audit the images "
            "that the run was trained on (--split train, and its --limit)"
        )
    return counts.astype(np.int64)
