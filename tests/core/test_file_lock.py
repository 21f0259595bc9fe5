"""One writer at a time, whatever becomes of the other."""

import os
import subprocess
import sys

import pytest

from pasm_aug.core.file_lock import FileLock, LockedError


def test_lock_excludes_others_and_outlives_nobody(tmp_path):
    path = tmp_path / "c"
    code = (
        "import sys, os\nfrom pasm_aug.core.file_lock import FileLock\n"
        "with FileLock(sys.argv[1]):\n    print(os.getpid(), flush=True)\n    sys.stdin.read()\n"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, path], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    )
    pid = other.stdout.readline().strip()
    with pytest.raises(LockedError, match=f"being written by process {pid}"), FileLock(path):
        pass
    with FileLock(path, enabled=False):
        pass
    other.kill()
    other.wait()
    with FileLock(path), pytest.raises(LockedError, match="this one"), FileLock(path):
        pass
    assert not os.listdir(tmp_path)
