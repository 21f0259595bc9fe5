"""Whose mistake: one line and exit code 2 for the user's, a file with the traceback and exit code 1 for ours."""

import os
import shutil
import subprocess
import sys

import pytest

from pasm_aug.cli.entry import main
from pasm_aug.core.errors import UserError

TRAIN = ["train", "--limit", "28", "--epochs", "1", "--image-size", "24", "--quiet", "--device", "cpu"]


@pytest.mark.parametrize("error", [ValueError("needs two"), KeyError("x"), IndexError("past"), AssertionError()])
def test_a_defect_of_ours_is_exit_code_1_and_its_traceback_lies_in_a_file(error, monkeypatch, tmp_path, capsys):
    def inside(*_, **__):
        raise error

    monkeypatch.setattr("pasm_aug.training.trainer.EpochLoop.run", inside)
    assert main([*TRAIN, "--out", str(tmp_path / "out")]) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert type(error).__name__ in err
    (file,) = (tmp_path / "out").glob("pasm-aug-error-*.txt")
    assert str(file) in err
    text = file.read_text()
    assert "in inside" in text
    assert text.startswith("pasm-aug train --limit 28 ")


def test_the_same_words_as_a_mistake_are_the_users(monkeypatch, tmp_path, capsys):
    def inside(*_, **__):
        raise UserError("needs two")

    monkeypatch.setattr("pasm_aug.training.trainer.EpochLoop.run", inside)
    assert main([*TRAIN, "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err == "pasm-aug: error: needs two\n"
    assert not list((tmp_path / "out").glob("pasm-aug-error-*"))


def test_a_mistake_in_a_loader_worker_is_one_line_too(tmp_path, capsys):
    """An image that is damaged shows when a worker decodes it."""
    from PIL import Image

    for part in ("train", "val"):
        for number, name in enumerate(("happy", "sad")):
            folder = tmp_path / "faces" / part / name
            folder.mkdir(parents=True)
            for i in range(6):
                Image.new("RGB", (600, 600), (40 * i, 99 * number, 7)).save(folder / f"{i}.png")
    broken = tmp_path / "faces" / "train" / "sad" / "3.png"
    broken.write_bytes(broken.read_bytes()[:200])
    words = ["train", "--data", "folder", "--root", str(tmp_path / "faces"), "--epochs", "1", "--quiet"]
    words += ["--image-size", "24", "--workers", "1", "--decoded", str(tmp_path / "d"), "--out", str(tmp_path / "o")]
    assert main(words) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert str(broken) in err
    assert "Traceback" not in err


FACTORY = """
from torch import nn
def make(num_classes):
    return nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(48, num_classes))
def fails(num_classes):
    assert num_classes > 99
"""


def test_a_factory_in_the_working_folder_is_found_from_the_console_script(tmp_path):
    (tmp_path / "mynet.py").write_text(FACTORY)
    script = shutil.which("pasm-aug", path=os.path.dirname(sys.executable))
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    options = {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True}
    done = subprocess.run([script, *TRAIN, "--model", "mynet:make", "--out", "o"], **options)
    assert done.returncode == 0, done.stderr
    done = subprocess.run([script, *TRAIN, "--model", "mynet:fails", "--out", "p"], **options)
    assert (done.returncode, done.stderr) == (
        2,
        "pasm-aug: error: model 'mynet:fails' cannot be made: AssertionError\n",
    )


def test_compile_without_a_compiler_is_one_line(tmp_path):
    environment = os.environ | {
        "CXX": "/nowhere/g++",
        "PATH": "/nowhere",
        "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "c"),
    }
    words = [sys.executable, "-m", "pasm_aug", *TRAIN, "--compile", "--out", str(tmp_path / "o")]
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "needs a C++ compiler" in done.stderr
    assert "--compile" in done.stderr


def can_mount():
    return (
        subprocess.run(["unshare", "-Urm", "true"], capture_output=True).returncode == 0
        if shutil.which("unshare")
        else False
    )


@pytest.mark.skipif(not can_mount(), reason="needs a mount namespace of one's own")
def test_a_small_shared_memory_is_told_within_seconds(tmp_path):
    """Docker gives 64 MB: two workers' batches do not fit."""
    words = [sys.executable, "-m", "pasm_aug", "train", "--limit", "140", "--epochs", "1", "--image-size", "224"]
    words += ["--batch-size", "64", "--workers", "2", "--quiet", "--model", "mynet:make", "--out", str(tmp_path / "o")]
    (tmp_path / "mynet.py").write_text(FACTORY)
    shell = 'mount -t tmpfs -o size=16m tmpfs /dev/shm && exec "$@"'
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        ["unshare", "-Urm", "bash", "-c", shell, "bash", *words],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert done.stderr.splitlines()[-1].startswith("pasm-aug: error: shared memory has no room for a batch")
    assert "--workers 0" in done.stderr


def test_positions_that_know_no_image_are_refused_before_the_training(tmp_path, capsys):
    from pasm_aug.data.synthetic.dataset import SyntheticExpressions
    from pasm_aug.models import build_model
    from pasm_aug.search.mine import mine_positions

    data = SyntheticExpressions("train", size=32, length=14, seed=9)
    mine_positions(build_model("small", 7), data, tmp_path / "p.safetensors", progress=False)
    words = [*TRAIN, "--augment", "point", "--positions", str(tmp_path / "p.safetensors"), "--out", str(tmp_path / "o")]
    assert main(words) == 2
    err = capsys.readouterr().err
    assert "knows none of the training images" in err.splitlines()[-1]
    assert not (tmp_path / "o" / "metrics.csv").exists()
