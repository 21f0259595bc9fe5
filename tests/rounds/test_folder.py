"""What a disk corrupts in a finished run is noticed by name; what a kill leaves behind is gone on with."""

import errno
import os
import shutil
import warnings

import pytest
import torch

from pasm_aug.cli.entry import main
from pasm_aug.core import files
from pasm_aug.core.checksums import CHECKSUMS, damaged
from pasm_aug.models import load_model
from pasm_aug.rounds.algorithm import run_rounds
from pasm_aug.search.point_search import PointSearch
from tests.shapes import OwnNet, Shapes, own_net

DATA = {"train": Shapes(24), "val": Shapes(12, seed=1), "test": Shapes(12, seed=2)}
OPTIONS = {
    "search": PointSearch("seeded", candidates=4),
    "epochs": 1,
    "batch_size": 12,
    "teacher_training": {"epochs": 2, "lr": 0.05},
    "device": "cpu",
    "progress": False,
    "rounds": 2,
    "keep_points": 2,
}
ROUND = {
    "model.safetensors",
    "model.json",
    "metrics.csv",
    "result.json",
    "predictions.csv",
    "occlusion.json",
    "occlusion_images.csv",
    "README.md",
}
ROUND |= {CHECKSUMS, "occlusion_images.csv"}


def run(out, **options):
    return run_rounds(own_net, DATA, out=out, **(OPTIONS | options))


def contents(out):
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def weights(out, number):
    return torch.cat([p.flatten() for p in load_model(out / f"round-{number}", model=OwnNet()).parameters()]).detach()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "out"
    run(out)
    return out


def test_a_finished_run_is_sealed(finished):
    names = set(contents(finished))
    assert {name for name in names if "/" not in name} == {"options.json", "rounds.csv", "stop.json", CHECKSUMS}
    for number, more in enumerate([set(), {"positions.safetensors"}, {"positions.safetensors", "points.safetensors"}]):
        assert {f"round-{number}/{name}" for name in ROUND | more} <= names
    assert len(names) == 4 + 3 * len(ROUND) + 3
    assert all(damaged(folder) == [] for folder in (finished, *finished.glob("round-*")))


def test_the_next_call_changes_nothing(finished):
    before = contents(finished)
    run(finished)
    assert contents(finished) == before


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.9, 1.0])
def test_every_flipped_byte_is_noticed_by_name(finished, share):
    good = contents(finished)
    for name, data in good.items():
        flipped = bytearray(data)
        flipped[int(share * (len(data) - 1))] ^= 1
        (finished / name).write_bytes(flipped)
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            try:
                run(finished)
            except ValueError as error:
                told = [str(error)]
                (finished / name).write_bytes(data)
            else:
                told = [str(warning.message) for warning in seen]
        assert any(str(finished / name) in text or (name.endswith(CHECKSUMS) and CHECKSUMS in text) for text in told), (
            name,
            told,
        )
        assert any("damaged" in text for text in told)
        assert contents(finished) == good, name


@pytest.mark.parametrize("name", ["result.json", "model.safetensors", "predictions.csv", CHECKSUMS])
def test_a_file_that_is_gone_is_noticed_or_made_again(finished, tmp_path, name):
    out = tmp_path / "out"
    shutil.copytree(finished, out)
    (out / "round-1" / name).unlink()
    if name in ("result.json", CHECKSUMS):
        run(out)
        assert torch.equal(weights(out, 2), weights(finished, 2))
        assert damaged(out / "round-1") == []
    else:
        with pytest.raises(ValueError, match=f"round-1/{name}.* is damaged.*remove .*round-1 to do that round again"):
            run(out)
    shutil.rmtree(out / "round-1")
    run(out)
    assert torch.equal(weights(out, 1), weights(finished, 1))


class Killed(BaseException):
    pass


def test_a_run_killed_at_every_sixth_write_ends_as_one_that_never_was(finished, tmp_path, monkeypatch):
    replace, whole = os.replace, [weights(finished, number) for number in range(3)]
    for number in range(0, 100, 6):
        out, left = tmp_path / str(number), [number]

        def dying(source, target, left=left):
            left[0] -= 1
            if left[0] == 0:
                raise Killed
            replace(source, target)

        monkeypatch.setattr(os, "replace", dying)
        try:
            run(out)
        except Killed:
            run(out)
        finally:
            monkeypatch.setattr(os, "replace", replace)
        assert all(torch.equal(weights(out, n), w) for n, w in enumerate(whole))
        assert set(contents(out)) == set(contents(finished))
        assert all(damaged(folder) == [] for folder in (out, *out.glob("round-*")))
        if left[0] > 0:
            break
    assert number > 30


@pytest.mark.parametrize("file", ["result.json", "README.md", CHECKSUMS])
def test_a_stage_whose_network_is_written_is_not_trained_again(finished, tmp_path, monkeypatch, file):
    write = files.write_atomic

    def dying(path, data):
        if path.name == file and path.parent.name == "round-1":
            raise Killed
        write(path, data)

    for module in ("rounds.folder", "core.checksums", "core.files"):
        monkeypatch.setattr(f"pasm_aug.{module}.write_atomic", dying)
    with pytest.raises(Killed):
        run(tmp_path)
    monkeypatch.undo()

    steps = []
    monkeypatch.setattr("pasm_aug.training.steps.TrainingStep.__call__", lambda *_: steps.append(1))
    run(tmp_path, rounds=1)
    assert steps == []
    assert contents(tmp_path / "round-1").keys() == contents(finished / "round-1").keys()
    assert torch.equal(weights(tmp_path, 1), weights(finished, 1))


def test_on_the_command_line_a_full_disk_is_one_line(tmp_path, monkeypatch, capsys):
    words = ["train", "--limit", "24", "--epochs", "1", "--quiet", "--device", "cpu", "--out"]

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    assert main([*words, str(tmp_path / "out")]) == 2
    monkeypatch.undo()
    (tmp_path / "file").write_text("")
    assert main([*words, str(tmp_path / "file" / "out")]) == 2
    first, second = (line for line in capsys.readouterr().err.splitlines() if "warn" not in line.lower())
    assert first.startswith("pasm-aug: error: [Errno 28] No space left on device: ")
    assert str(tmp_path / "out") in first
    assert str(tmp_path / "file") in second
    assert not [path for path in tmp_path.rglob("*") if path.name.endswith(".tmp")]
