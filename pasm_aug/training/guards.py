"""What may go wrong in a long training, told in words that help: a loss that is no number, and too little memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from pasm_aug.training.result import TrainResult


class DivergedError(RuntimeError):
    """The loss became NaN or infinite.

    Attributes:
        result: the network with the weights of the last good epoch, and the rows of the epochs that were good.
    """

    result: TrainResult


class OutOfMemoryError(RuntimeError):
    """A training step does not fit into memory."""


class CompileError(RuntimeError):
    """``torch.compile`` cannot compile the network here."""


class SharedMemoryError(RuntimeError):
    """No room in shared memory for a batch of a loader worker."""


TOLD = (DivergedError, OutOfMemoryError, CompileError, SharedMemoryError)  # what the command line says in one line


@contextmanager
def compile_advice() -> Iterator[None]:
    """Turn a failure of ``torch.compile``, a hundred lines, into a :class:`CompileError` that says what to do."""
    try:
        yield
    except Exception as error:
        if not type(error).__module__.startswith(("torch._inductor", "torch._dynamo")):
            raise
        cause = " ".join(str(error).split("Traceback")[0].split())[:200]
        raise CompileError(
            f"torch.compile failed ({cause}): it needs a C++ compiler on a CPU (g++ or clang), Triton on a GPU; go "
            "without compile=True (--compile)"
        ) from error


@contextmanager
def memory_advice(batch_size: int, accumulate: int) -> Iterator[None]:
    """Turn running out of memory into an :class:`OutOfMemoryError` that says what to change."""
    try:
        yield
    except RuntimeError as error:  # torch.OutOfMemoryError is one; the CPU's allocator raises a plain one
        if not isinstance(error, torch.OutOfMemoryError) and "allocate memory" not in str(error):
            raise
        raise OutOfMemoryError(
            f"out of memory in a training step of {batch_size} images in {accumulate} part(s): "
            f"accumulate={2 * accumulate} (--accumulate {2 * accumulate}) needs about half, for the same step; "
            "precision='bf16' (--precision bf16), smaller images (--image-size) or a smaller network help too"
        ) from error
