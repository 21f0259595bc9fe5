import json
import multiprocessing
import os
import signal
import time

import pytest
import torch

from pasm_aug.cli.environment import Terminated, deterministic, ended_by_sigterm, recorded


def test_sigterm_ends_the_work_as_ctrl_c_does_and_the_old_handler_comes_back():
    before = signal.getsignal(signal.SIGTERM)
    cleaned = []

    def work():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        finally:
            cleaned.append(True)

    with pytest.raises(Terminated), ended_by_sigterm():
        work()
    assert cleaned
    assert issubclass(Terminated, KeyboardInterrupt)
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_forked_worker_is_ended_without_a_word(capfd):
    with ended_by_sigterm():
        worker = multiprocessing.get_context("fork").Process(target=time.sleep, args=(30,))
        worker.start()
        time.sleep(0.2)
        worker.terminate()
        worker.join(10)
    assert worker.exitcode == -signal.SIGTERM
    assert capfd.readouterr().err == ""


def test_under_torchrun_the_signal_ends_a_process_at_once(monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    before = signal.getsignal(signal.SIGTERM)
    with ended_by_sigterm():
        assert signal.getsignal(signal.SIGTERM) is before


def test_deterministic_kernels_inside_and_the_old_ones_afterwards(monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    before = torch.backends.cudnn.benchmark
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    with deterministic(True):
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.backends.cudnn.benchmark
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = before
    with deterministic(False):
        assert not torch.are_deterministic_algorithms_enabled()


def test_what_has_no_deterministic_kernel_is_told_as_a_mistake():
    text = "adaptive_max_pool2d_backward_cuda does not have a deterministic implementation, but you set ..."
    told = "--deterministic is not possible with this network: adaptive_max_pool2d_backward_cuda"
    with pytest.raises(ValueError, match=told), deterministic(True):
        raise RuntimeError(text)
    with pytest.raises(RuntimeError, match="something else"), deterministic(True):
        raise RuntimeError("something else")
    assert not torch.are_deterministic_algorithms_enabled()


def test_under_torchrun_the_error_goes_into_the_file_that_the_launcher_shows(tmp_path, monkeypatch):
    def fail(args):
        raise ValueError("the disk is full")

    assert recorded(fail) is fail
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(tmp_path / "error.json"))
    with pytest.raises(ValueError, match="the disk is full"):
        recorded(fail)(None)
    assert "the disk is full" in json.loads((tmp_path / "error.json").read_text())["message"]["message"]
