"""What surrounds a command: a scheduler that ends it, torchrun that shows its errors, terminals, other kernels."""

from __future__ import annotations

import argparse
import codecs
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pasm_aug.core.errors import UserError


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


# How the few signs that our output has beside ASCII are written where the encoding has none of them.
PLAIN = str.maketrans({"─": "-", "→": "->", "◀": "<", "±": "+-", "…": "...", "×": "x", "²": "2", "–": "-", "·": "-"})


def _plainer(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    text = error.object[error.start : error.end].translate(PLAIN)
    return text.encode("ascii", "replace").decode(), error.end


codecs.register_error("pasm_aug.plainer", _plainer)


class _Output:
    """A stream whose reader may go away (``| head``): that ends what is printed, not the work."""

    def __init__(self, stream: Any) -> None:
        self.stream, self.read = stream, True

    def write(self, text: str) -> int:
        return self._tried(self.stream.write, text) or len(text)

    def flush(self) -> None:
        self._tried(self.stream.flush)

    def _tried(self, work: Callable[..., Any], *given: str) -> Any:
        try:
            return work(*given)
        except BrokenPipeError:
            self.read = False
            with open(os.devnull, "w") as nowhere:  # also for what is still in the buffer
                os.dup2(nowhere.fileno(), self.stream.fileno())

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def is_read() -> bool:
    """Whether what is printed may still be read by anybody."""
    return getattr(sys.stdout, "read", None) is not False


@contextmanager
def output_anywhere() -> Iterator[None]:
    """Output in every encoding, readers that go away, and figures without a window, whatever a notebook has left in
    the environment. Names of files that are no UTF-8 are printed in their own bytes."""
    before = sys.stdout, sys.stderr
    streams = [(one, one.errors) for one in before if hasattr(one, "reconfigure")]
    for stream, _ in streams:
        utf8 = codecs.lookup(stream.encoding).name == "utf-8"
        stream.reconfigure(errors="surrogateescape" if utf8 else "pasm_aug.plainer")
    sys.stdout, sys.stderr = map(_Output, before)  # type: ignore[assignment]
    backend = os.environ.get("MPLBACKEND")
    os.environ["MPLBACKEND"] = "agg"
    try:
        yield
    finally:
        os.environ.pop("MPLBACKEND", None)  # a signal may come while others have emptied the environment
        if backend is not None:
            os.environ["MPLBACKEND"] = backend
        sys.stdout, sys.stderr = before
        for stream, errors in streams:
            stream.reconfigure(errors=errors)


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
        raise UserError(f"--deterministic is not possible with this network: {str(error).split('. ')[0]}") from error
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.backends.cudnn.benchmark = before[1]


def recorded(work: Callable[[argparse.Namespace], None]) -> Callable[[argparse.Namespace], Any]:
    """``work``; under torchrun its error goes to the launcher, which shows that of the process that failed first."""
    if "TORCHELASTIC_ERROR_FILE" not in os.environ:
        return work
    from torch.distributed.elastic.multiprocessing.errors import record

    return record(work)


@contextmanager
def importable_here() -> Iterator[None]:
    """Within: modules in the working folder can be imported, for ``--model mynet:make``; they hide no installed one."""
    here = os.getcwd()
    added = here not in sys.path and "" not in sys.path
    if added:
        sys.path.append(here)
    try:
        yield
    finally:
        if added:
            sys.path.remove(here)
