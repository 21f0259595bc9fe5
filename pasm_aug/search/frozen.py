"""Using a user's model without leaving a trace on it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn


@contextmanager
def frozen(model: nn.Module, device: torch.device | None = None) -> Iterator[None]:
    """Within: evaluation mode, no parameter takes gradients, no autocast; on leaving, all is as it was.

    Restored are the training flag of every submodule, ``requires_grad`` of every parameter, the device, and the global
    random states of Python, numpy and torch. Hooks are left alone.
    """
    training = [(module, module.training) for module in model.modules()]
    trainable = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    home = device_of(model)
    device = device or home
    python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(cuda), torch.inference_mode(False), torch.autocast(device.type, enabled=False):
        try:
            model.eval()
            model.requires_grad_(False)
            if device != home:
                model.to(device)
            yield
        finally:
            if device != home:
                model.to(home)
            for parameter, flag in trainable:
                parameter.requires_grad_(flag)
            for module, flag in training:
                module.training = flag
            random.setstate(python_state)
            np.random.set_state(numpy_state)  # noqa: NPY002


def device_of(model: nn.Module) -> torch.device:
    """Where the model's first parameter or buffer lies; the CPU if it has none."""
    for tensor in (*model.parameters(), *model.buffers()):
        return tensor.device
    return torch.device("cpu")
