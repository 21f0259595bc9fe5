"""Global random states of torch, seeded for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within: torch's generators start from ``seed``; afterwards they are as before, those of the GPUs among them."""
    gpus = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=gpus):
        reseed(seed, gpus=bool(gpus))
        yield


def reseed(seed: int, *, gpus: bool) -> None:
    """Seed torch's generator of the CPU, and of the ``gpus`` only where asked to: ``torch.manual_seed`` always does."""
    torch.default_generator.manual_seed(seed)
    if gpus:
        torch.cuda.manual_seed_all(seed)
