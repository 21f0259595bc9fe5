"""How long a stage of work took, with what processes spent on it that were stopped before its round ended."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from pasm_aug.core.files import read_json, write_json
from pasm_aug.core.processes import process_state


@contextlib.contextmanager
def adding_up(file: Path) -> Iterator[list[float]]:
    """A list that holds, once the block ends, the seconds of it and of the blocks before with the same ``file``.

    What a killed process had spent is lost; one that is interrupted writes it down.
    """
    seconds = [read_json(file)["seconds"] if file.exists() else 0.0]
    started = time.perf_counter()
    try:
        yield seconds
    finally:
        seconds[0] += time.perf_counter() - started
        if process_state().is_main_process:
            write_json(file, {"seconds": seconds[0]})
