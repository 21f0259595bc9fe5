"""One writer at a time: a lock beside the file that is being made."""

from __future__ import annotations

import contextlib
import os
from types import TracebackType

from pasm_aug.core.errors import UserError

try:
    import fcntl
except ImportError:  # a platform without advisory locks: two writers are then the user's affair
    fcntl = None  # type: ignore[assignment]

_held: dict[str, int] = {}  # POSIX locks do not exclude a second one by the same process


class LockedError(UserError):
    """Another process, or this one, is writing the same file or folder; the message names it and the process."""


class FileLock:
    """Hold ``<path>.lock`` for the length of a ``with`` block.

    A POSIX record lock: it vanishes with its process however that ends, and processes forked meanwhile (loader
    workers that outlive a killed parent by seconds) do not inherit it.

    Args:
        path: of the file or folder; the lock file lies beside it while held.
        doing: what the message says is being done to it.
        enabled: ``False`` does nothing (all but one of several co-operating processes).
        error: what is raised on entering when another process holds it.

    Raises:
        LockedError: on entering, another process holds it; or what ``error`` says.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        doing: str = "written",
        enabled: bool = True,
        error: type[ValueError] = LockedError,
    ) -> None:
        self.path = os.path.realpath(path) + ".lock"
        self.doing, self.enabled, self.error = doing, enabled and fcntl is not None, error
        self._fd = -1

    def __enter__(self) -> FileLock:
        if not self.enabled:
            return self
        if _held.get(self.path) == os.getpid():
            raise self.error(f"{self.path[:-5]} is being {self.doing} by process {os.getpid()} (this one)")
        while True:
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(fd).st_ino == os.stat(self.path).st_ino:
                    break
                os.close(fd)  # its holder removed it between our opening and locking: take the new one
            except FileNotFoundError:
                os.close(fd)
            except OSError as error:
                holder = os.pread(fd, 32, 0).decode(errors="replace") or "unknown"
                os.close(fd)
                raise self.error(f"{self.path[:-5]} is being {self.doing} by process {holder}") from error
        os.ftruncate(fd, 0)
        os.pwrite(fd, str(os.getpid()).encode(), 0)
        self._fd = fd
        _held[self.path] = os.getpid()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._fd >= 0:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path)
            os.close(self._fd)
            self._fd = -1
            _held.pop(self.path, None)
