"""Every file of a finished folder by its SHA-256, so that what a disk corrupts is noticed by name.

The list has the format of coreutils, so ``sha256sum --check SHA256SUMS`` reads it too.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pasm_aug.core.files import write_atomic

CHECKSUMS = "SHA256SUMS"


@contextmanager
def resealed(folder: Path, *, enabled: bool = True) -> Iterator[None]:
    """Take the list away while the files of a folder change, and write it anew when all of them are whole.

    A folder without a list is one whose last change was interrupted; each file in it is whole nevertheless, because
    files appear atomically.
    """
    if not enabled:
        yield
        return
    (folder / CHECKSUMS).unlink(missing_ok=True)
    yield
    for stale in folder.glob(".*.tmp"):  # of a process that was killed while it wrote
        stale.unlink(missing_ok=True)
    lines = [f"{_sha256(file)}  {file.relative_to(folder).as_posix()}\n" for file in _files(folder)]
    write_atomic(folder / CHECKSUMS, "".join(lines).encode())


def damaged(folder: Path) -> list[str]:
    """Names of the files that are not what the folder's list says, or are missing; none where there is no list."""
    file = folder / CHECKSUMS
    if not file.exists():
        return []
    names = []
    *lines, rest = file.read_bytes().split(b"\n")
    if rest or not lines:  # cut short, or another byte in place of the last line's end
        return [CHECKSUMS]
    for line in lines:
        digest, _, name = line.partition(b"  ")
        path = folder / os.fsdecode(name)
        try:
            good = bool(name) and _sha256(path).encode() == digest
        except (OSError, ValueError):  # gone, or a name that is none
            good = False
        if not good:
            names.append(os.fsdecode(name) if name and path.exists() else f"{os.fsdecode(name)} or {CHECKSUMS}")
    return names


def _files(folder: Path) -> list[Path]:
    """All files of a folder and below it, but hidden ones and those of rounds, which have a list of their own."""
    found = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name == CHECKSUMS or path.suffix == ".lock":
            continue
        if path.is_file():
            found.append(path)
        elif path.name != "baselines" and not path.name.startswith("round-"):
            found += _files(path)
    return found


def _sha256(path: Path) -> str:
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
