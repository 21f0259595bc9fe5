"""Run folders that the version before the rooms wrote (``last_version/``) are opened and gone on with."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from pasm_aug.cli.entry import main
from pasm_aug.core.checksums import damaged
from pasm_aug.models import load_model
from pasm_aug.rounds.algorithm import run_rounds
from pasm_aug.rounds.results import RoundResult
from pasm_aug.search.point_search import PointSearch
from tests.rounds.last_runs import COMMAND, DATA, OPTIONS, TinyNet, tiny_net

HERE = Path(__file__).parent / "last_version"


@pytest.fixture(autouse=True)
def one_thread():
    """As they were made."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def no_step(monkeypatch):
    monkeypatch.setattr("pasm_aug.training.steps.TrainingStep.__call__", lambda *_: pytest.fail("trained"))


def copied(name, tmp_path):
    return Path(shutil.copytree(HERE / name, tmp_path / name))


def contents(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def run(out, **options):
    return run_rounds(tiny_net, DATA, out=out, search=PointSearch(budget=12), **(OPTIONS | options))


@pytest.fixture
def rounds_alike(tmp_path):
    """Whether this machine's kernels round as those that the files were made with: they train teacher 0 bit by bit."""
    run(tmp_path / "anew", rounds=0)
    return torch.equal(weights(tmp_path / "anew" / "round-0"), weights(HERE / "finished" / "round-0"))


def weights(folder):
    return torch.cat([p.detach().flatten() for p in load_model(folder, model=TinyNet()).parameters()])


def test_a_finished_run_is_read_and_nothing_is_done_again(tmp_path, no_step):
    out = copied("finished", tmp_path)
    results = run(out)
    for number, result in enumerate(results):
        assert result == RoundResult.load(out / f"round-{number}")
        old = json.loads((HERE / "finished" / f"round-{number}" / "result.json").read_text())
        assert (result.val.accuracy, result.test.confusion) == (old["val"]["accuracy"], old["test"]["confusion"])
    before, after = contents(HERE / "finished"), contents(out)
    changed = {"options.json", "SHA256SUMS"}  # written in the form of today
    assert {name for name in before if before[name] != after[name]} <= changed
    assert before.keys() == after.keys()
    assert damaged(out) == []
    run(out)
    assert contents(out) == after


def test_a_run_that_was_stopped_in_a_training_ends_as_it_would_have(tmp_path, rounds_alike):
    out = copied("stopped", tmp_path)
    assert (out / "round-1" / "training.safetensors").exists()
    results = run(out)
    mined = "round-1/positions.safetensors"
    assert (out / mined).read_bytes() == (HERE / "stopped" / mined).read_bytes()
    for number, result in enumerate(results):
        old = RoundResult.load(HERE / "finished" / f"round-{number}")
        ends = [weights(folder / f"round-{number}") for folder in (out, HERE / "finished")]
        assert torch.allclose(*ends, atol=1e-4)
        if rounds_alike:  # other kernels round otherwise
            assert torch.equal(*ends)
            assert (result.val, result.test, result.gain) == (old.val, old.test, old.gain)
            assert (result.val.predictions == old.val.predictions).all()


@pytest.mark.parametrize(
    ("options", "named"),
    [({"p": 1.0}, "erasing"), ({"beta": 0.2}, "loss"), ({"keep_points": 1}, "keep_points"),
     ({"schedule": "milestones"}, "schedule"), ({"warmup": 0.5}, "warmup"), ({"seed": 1}, "seed")],
)  # fmt: skip
def test_with_other_options_it_is_refused(tmp_path, options, named):
    out = copied("stopped", tmp_path)
    with pytest.raises(ValueError, match=f"{named}.* was "):
        run(out, **options)
    assert contents(out) == contents(HERE / "stopped")


def test_the_command_goes_on_with_its_folder_and_reports_it(tmp_path, no_step, capsys):
    out = copied("command", tmp_path)
    assert main([*COMMAND, "--out", str(out)]) == 0
    assert "going on with the run" in capsys.readouterr().out
    table = (HERE / "command" / "rounds.csv").read_text().splitlines()
    assert (out / "rounds.csv").read_text().splitlines() == table
    assert main(["run", "--options", str(out / "run.yaml"), "--out", str(out)]) == 0
    assert main([*COMMAND, "--epochs", "3", "--out", str(out)]) == 2
    assert "epochs was 2, now 3" in capsys.readouterr().err
    (out / "report.html").unlink()
    assert main(["report", str(out)]) == 0
    assert "erased" in (out / "report.html").read_text()
