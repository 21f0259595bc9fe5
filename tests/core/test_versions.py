import platform

import torch

import pasm_aug
from pasm_aug.core.versions import versions


def test_versions_are_those_of_what_runs():
    found = versions()
    assert found["pasm_aug"] == pasm_aug.__version__
    assert found["python"] == platform.python_version()
    assert torch.__version__.startswith(found["torch"].partition("+")[0])
