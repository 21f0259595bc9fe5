"""What surrounds a command: a scheduler that ends it, torchrun that shows its errors, kernels that may differ."""

from __future__ import annotations

import argparse
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class Terminated(KeyboardInterrupt):
    """SIGTERM, as schedulers send it; ends the work in the way Ctrl-C does."""


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """SIGTERM becomes :class:`Terminated` inside.

    Not under torchrun: a process that waits for a dead one would not see it, and the launcher speaks for all.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ or threading.current_thread() is not threading.main_thread():
        yield
        return
    process = os.getpid()

    def stop(number: int, frame: object) -> None:
        if os.getpid() == process:
            raise Terminated
        signal.signal(number, signal.SIG_DFL)  # a forked worker: as if there were no handler
        os.kill(os.getpid(), number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def warnings_in_one_line() -> Iterator[None]:
    """Warnings without the line of code that they come from."""
    before = warnings.formatwarning

    def told(message: Warning | str, *_: Any, **__: Any) -> str:
        return f"pasm-aug: warning: {' '.join(str(message).split())}\n"

    warnings.formatwarning = told
    try:
        yield
    finally:
        warnings.formatwarning = before


@contextmanager
def deterministic(wanted: bool) -> Iterator[None]:
    """The same numbers from every run on a GPU; afterwards torch is as before."""
    if not wanted:
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # CUDA reads it once, when it is first called
    import torch

    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    try:
        yield
    except RuntimeError as error:
        if "deterministic" not in str(error):
            raise
        raise ValueError(f"--deterministic is not possible with this network: {str(error).split('. ')[0]}") from error
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.backends.cudnn.benchmark = before[1]


def recorded(work: Callable[[argparse.Namespace], None]) -> Callable[[argparse.Namespace], Any]:
    """``work``; under torchrun its error goes to the launcher, which shows that of the process that failed first."""
    if "TORCHELASTIC_ERROR_FILE" not in os.environ:
        return work
    from torch.distributed.elastic.multiprocessing.errors import record

    return record(work)
