"""Two networks as one: the mean of their logits."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pasm_aug.core.errors import UserError
from pasm_aug.core.networks import take_logits


class Pair(nn.Module):
    """Two classifiers that answer together, (B, …) → (B, classes): the mean of their logits.

    What ASM trains (:class:`~pasm_aug.asm.method.ASM`); to all that scores, searches or keeps networks it is one
    network. It carries the first one's ``.preprocess``.

    Args:
        a, b (nn.Module): of the same classes; two objects, with weights of their own.

    Raises:
        ValueError: twice the same network, or preprocessings that differ.
    """

    def __init__(self, a: nn.Module, b: nn.Module) -> None:
        super().__init__()
        if a is b:
            raise UserError("a and b of a Pair must be two networks, got the same one twice")
        for name, network in (("a", a), ("b", b)):
            if not isinstance(network, nn.Module):
                raise TypeError(f"{name} of a Pair must be a torch.nn.Module, got {type(network).__name__}")
        self.a, self.b = a, b
        first, second = (getattr(network, "preprocess", None) for network in (a, b))
        if repr(first) != repr(second) and first is not second:
            raise UserError(f"a and b of a Pair must have the same preprocess, got {first!r} and {second!r}")
        if first is not None:
            vars(self)["preprocess"] = first  # no part of it, as in build_model

    def forward(self, x: Tensor, *, apart: bool = False) -> Tensor:
        """The mean (B, classes) of the logits, or with ``apart`` both, (2, B, classes)."""
        both = torch.stack([take_logits(self.a(x)), take_logits(self.b(x))])
        return both if apart else both.mean(0)
