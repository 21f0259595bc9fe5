"""Using a user's model without leaving a trace on it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from pasm_aug.core.eval_mode import eval_mode


@contextmanager
def frozen(model: nn.Module, device: torch.device | None = None, preprocess: object = None) -> Iterator[None]:
    """Within: evaluation mode, no parameter takes gradients, true float32, no autocast; on leaving, all is as it was.

    Restored are the training flag of every submodule, ``requires_grad`` of every parameter, the device (also of a
    ``preprocess`` that is a module), the precision of float32, and the global random states of Python, numpy and torch.
    Hooks are left alone.
    """
    trainable = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    device = device or device_of(model)
    parts = [part for part in (model, preprocess) if isinstance(part, nn.Module)]
    moved = [(part, home) for part in parts if (home := device_of(part, device)) != device]
    python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
    cuda = [device] if device.type == "cuda" else []
    off = torch.autocast(device.type, enabled=False)
    with torch.random.fork_rng(cuda), torch.inference_mode(False), off, _true_float32(), eval_mode(model):
        try:
            model.requires_grad_(False)
            for part, _ in moved:
                part.to(device)
            yield
        finally:
            for part, home in moved:
                part.to(home)
            for parameter, flag in trainable:
                parameter.requires_grad_(flag)
            random.setstate(python_state)
            np.random.set_state(numpy_state)  # noqa: NPY002


@contextmanager
def _true_float32() -> Iterator[None]:
    """Within: float32 is computed as such.

    TF32, on by default in convolutions on a GPU, moves logits further than two machines' float32 differ: a cache mined
    on one of them would be refused on the other.
    """
    backends = torch.backends
    parts = [backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn]  # type: ignore[attr-defined]
    parts += [backends.mkldnn.matmul, backends.mkldnn.conv, backends.mkldnn.rnn]  # type: ignore[attr-defined]
    before = [part.fp32_precision for part in parts]
    try:
        for part in parts:
            part.fp32_precision = "ieee"
        yield
    finally:
        for part, precision in zip(parts, before, strict=True):
            part.fp32_precision = precision


def device_of(model: nn.Module, default: torch.device = torch.device("cpu")) -> torch.device:  # noqa: B008
    """Where the model's first parameter or buffer lies; ``default`` if it has none."""
    for tensor in (*model.parameters(), *model.buffers()):
        return tensor.device
    return default
