"""A network while it trains: on its device, laid out and compiled; and the caller's own again afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from accelerate import Accelerator
from torch import nn

SET_BY_OTHERS = ("forward", "_compiled_call_impl", "_is_accelerate_prepared")  # on the network, by what prepares it


@contextmanager
def borrowed(
    model: nn.Module, accelerator: Accelerator, *, channels_last: bool = False, compile: bool = False
) -> Iterator[None]:
    """``model`` on the accelerator's device; whatever happens, what was set on it is taken away at the end.

    Args:
        channels_last: lay its weights out so; afterwards they lie as before.
        compile: ``torch.compile`` it.
    """
    strides = [(weight, weight.stride()) for weight in model.parameters() if channels_last]
    layout = torch.channels_last if channels_last else None
    model.to(device=accelerator.device, memory_format=layout)  # type: ignore[call-overload]
    own = {name: vars(model)[name] for name in SET_BY_OTHERS if name in vars(model)}
    try:
        if compile:
            model.compile()
        yield
    finally:
        accelerator.unwrap_model(model, keep_fp32_wrapper=False)
        for name in SET_BY_OTHERS:
            vars(model).pop(name, None)
        vars(model).update(own)
        for weight, stride in strides:
            if weight.stride() != stride:
                weight.data = weight.data.new_empty_strided(weight.shape, stride).copy_(weight.data)
        model.eval()
