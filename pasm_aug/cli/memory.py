"""How the command's process handles memory that is freed."""

from __future__ import annotations

import ctypes
import os
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt(3)
_KEPT = 1 << 30  # bytes


def keep_freed_memory() -> None:
    """Have the C library keep what is freed for the next step, instead of giving it back to the system at once.

    A training step on a CPU frees and allocates the same tensors as the one before. By glibc's defaults the large ones
    come as fresh pages each time, which takes about a tenth of the processor time (benchmarks/README.md). It is a
    setting of the whole process, hence the command's and not the trainer's. Settings in the environment win
    (``MALLOC_…``, ``GLIBC_TUNABLES``); without glibc nothing is done.
    """
    own = any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ)
    if sys.platform != "linux" or own:
        return
    library = ctypes.CDLL(None)
    if hasattr(library, "gnu_get_libc_version"):
        for option in (_TRIM_THRESHOLD, _MMAP_THRESHOLD):
            library.mallopt(option, _KEPT)
