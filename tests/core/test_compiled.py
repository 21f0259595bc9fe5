"""Compiled code without a place to keep it: a read-only install and no home."""

import os
import subprocess
import sys
from pathlib import Path

import pasm_aug

SCRIPT = """
import numba.core.caching as caching
from pathlib import Path

class Nowhere:
    @classmethod
    def from_function(cls, py_func, py_file):
        return None

caching.CacheImpl._locator_classes = [Nowhere]
import torch
from pasm_aug import PointSearch
from tests.small_teachers import conv_net, random_images, scaled

found = PointSearch(generations=2).run(conv_net(), random_images(2, 8), [0, 1], preprocess=scaled)
print(found.xy.tolist())
"""


def test_the_default_search_works_where_nothing_can_be_kept():
    root = Path(pasm_aug.__file__).parents[1]
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    runs = [
        subprocess.run([sys.executable, "-c", script], cwd=root, env=environment, capture_output=True, text=True)
        for script in (SCRIPT, SCRIPT.replace("caching.CacheImpl._locator_classes = [Nowhere]", ""))
    ]
    assert [run.returncode for run in runs] == [0, 0], runs[0].stderr
    assert runs[0].stdout == runs[1].stdout
    assert runs[0].stderr.count("numba has no folder to keep compiled code in") == 1
    assert "numba has no folder" not in runs[1].stderr
