import json
import os
import subprocess
import sys

import pytest
import torch

from pasm_aug.core.processes import PATIENCE, exists_for_all, make_accelerator, process_state

CODE = """
import json
from torch.distributed.distributed_c10d import _get_default_group
from pasm_aug.core.processes import process_state
state = process_state("cpu")
patience = _get_default_group()._get_backend(state.device).options._timeout
if state.is_main_process:
    print(json.dumps([state.num_processes, patience.total_seconds()]))
"""


def test_processes_wait_for_each_other_as_long_as_mining_may_take(tmp_path):
    (tmp_path / "wait.py").write_text(CODE)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += [str(tmp_path / "wait.py")]
    done = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": os.getcwd()}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [2, PATIENCE.total_seconds()]


def test_another_device_than_the_first_calls_is_refused():
    process_state("cpu")
    with pytest.raises(ValueError, match="device must be None, 'cpu' or 'cuda', got 'tpu'"):
        process_state("tpu")
    with pytest.raises(ValueError, match="got 'cuda:1': which one, CUDA_VISIBLE_DEVICES tells"):
        process_state(torch.device("cuda", 1))


def test_torchs_own_devices_are_known():
    assert process_state(torch.device("cpu")).device.type == "cpu"
    assert make_accelerator(torch.device("cpu")).device.type == "cpu"


def test_a_file_that_exists(tmp_path):
    assert not exists_for_all(tmp_path / "file")
    (tmp_path / "file").touch()
    assert exists_for_all(tmp_path / "file")
