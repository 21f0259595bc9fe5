"""Memory that a command frees is there for its next step, without asking the system again."""

import os
import platform
import subprocess
import sys

import pytest

COUNT = """
import resource, sys
from unittest import mock
from pasm_aug.cli import entry
import numpy as np

def work(words):
    def faults():
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for step in range(20):
        if step == 2:
            before = faults()
        large = np.ones(48 << 20, dtype=np.uint8)
        del large
    print(faults() - before)
    return 0

with mock.patch.object(entry, "_run", work):
    entry.main(None if sys.argv[1] == "command" else [])
"""

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")


def faults(how, **environment):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    done = subprocess.run(
        [sys.executable, "-c", COUNT, how], env=kept | environment, capture_output=True, text=True, check=True
    )
    return int(done.stdout)


def test_a_command_keeps_what_it_frees():
    usual = faults("called")  # from Python: the process is the caller's
    assert usual > 300  # eighteen times 48 MiB, in huge pages at the most
    assert faults("command") < usual / 4


def test_settings_in_the_environment_win():
    assert faults("command", MALLOC_MMAP_THRESHOLD_="1000000") > 300
