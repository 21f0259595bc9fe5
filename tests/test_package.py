import subprocess
import sys

import pytest

import pasm_aug


def test_every_public_name_can_be_had():
    for name in pasm_aug.__all__:
        assert getattr(pasm_aug, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = pasm_aug.no_such_name


def test_a_worker_that_transforms_loads_no_more_than_it_needs():
    code = (
        "import sys; import pasm_aug; assert 'torch' not in sys.modules; "
        "pasm_aug.PointAdversarialErase; pasm_aug.PairedView; pasm_aug.PositionCache; "
        "print([m for m in ('numba', 'torchmetrics', 'accelerate', 'matplotlib') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_python_m_is_the_command():
    done = subprocess.run([sys.executable, "-m", "pasm_aug", "--help"], capture_output=True, text=True, check=True)
    assert "pasm-aug run --data fer2013" in done.stdout
