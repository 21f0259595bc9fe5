"""The figures of every epoch in experiment trackers: one of our own, and those whose packages are at hand."""

import csv
import time

import pytest
from accelerate.tracking import GeneralTracker

from pasm_aug import train
from pasm_aug.cli.entry import build_parser, main
from pasm_aug.core.processes import make_accelerator
from pasm_aug.rounds.options import RoundOptions
from pasm_aug.training.guards import DivergedError
from pasm_aug.training.tracking import TRACKERS, EpochLog, open_tracker
from tests.shapes import Shapes, own_net

HISTORY = [
    {"epoch": 1, "lr": 0.05, "loss": 1.5, "val_accuracy": 0.25, "seconds": 2.0},
    {"epoch": 2, "lr": 0.05, "loss": 1.25, "val_accuracy": 0.5, "seconds": 3.0},
    {"epoch": 3, "lr": 0.005, "loss": 1.125, "val_accuracy": 0.75, "seconds": 2.5},
]
TRAIN = ["train", "--limit", "14", "--batch-size", "7", "--epochs", "2", "--device", "cpu", "--quiet"]


class Diary(GeneralTracker):
    """A user's own tracker: it remembers what it is told."""

    name = "diary"
    requires_logging_directory = False

    def __init__(self):
        super().__init__()
        self.told = []

    @property
    def tracker(self):
        return self.told

    def start(self):
        self.told.append("start")

    def store_init_configuration(self, values):
        self.config = values

    def log(self, values, step=None, **_):
        self.told.append((step, values))

    def finish(self):
        self.told.append("finish")


def log_to(tracker, *lengths):
    """A training that tells its history when it is of these lengths."""
    with EpochLog(make_accelerator("cpu", tracker=tracker), {"lr": 0.05}) as log:
        for length in lengths:
            log.write(HISTORY[:length])


def curves(folder):
    """{name: [(step, value, time)]} as TensorBoard itself reads them."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(folder), {accumulator.SCALARS: 0})
    events.Reload()
    return {
        name: [(e.step, pytest.approx(e.value), e.wall_time) for e in events.Scalars(name)]
        for name in events.Tags()["scalars"]
    }


def expected(history):
    times = [sum(row["seconds"] for row in history[: i + 1]) for i in range(len(history))]
    return {
        name: [(row["epoch"], row[name], time) for row, time in zip(history, times, strict=True)]
        for name in history[0]
        if name != "epoch"
    }


def test_every_epoch_is_told_once_between_start_and_finish():
    diary = Diary()
    log_to(diary, 1, 2, 2, 3)
    figures = [(row["epoch"], {k: v for k, v in row.items() if k != "epoch"}) for row in HISTORY]
    assert diary.told == ["start", *figures, "finish"]
    assert diary.config == {"lr": 0.05}


def test_a_training_tells_its_tracker_what_its_table_says_and_what_decided_it(tmp_path):
    diary = Diary()
    options = {"epochs": 2, "lr": 0.02, "seed": 3, "device": "cpu", "progress": False}
    result = train(own_net(), Shapes(), val=Shapes(15, seed=1), tracker=diary, milestones=(0.5,), **options)
    assert [step for step, _ in diary.told[1:-1]] == [1, 2]
    assert [{"epoch": step, **values} for step, values in diary.told[1:-1]] == result.history
    assert (diary.config["lr"], diary.config["seed"]) == (0.02, 3)
    assert all(isinstance(value, str | int | float) for value in diary.config.values())


def test_a_training_that_dies_still_finishes_its_run():
    diary = Diary()
    with pytest.raises(DivergedError):
        train(own_net(), Shapes(), tracker=diary, lr=1e30, epochs=3, device="cpu", progress=False)
    assert diary.told[-1] == "finish"


def test_a_tracker_that_cannot_start_says_why_and_nothing_is_trained():
    class Shy(Diary):
        def start(self):
            raise RuntimeError("no key")

    with pytest.raises(ValueError, match="tracker 'diary' cannot start: no key"):
        train(own_net(), Shapes(), tracker=Shy(), loss=pytest.fail, device="cpu", progress=False)


def test_what_is_no_tracker_is_refused():
    with pytest.raises(TypeError, match=r"tracker must be one of accelerate's, .* got str"):
        train(own_net(), Shapes(), tracker="wandb", device="cpu", progress=False)
    with pytest.raises(ValueError, match=r"tracker must be one of tensorboard, wandb, .*, got 'board'"):
        open_tracker("board", "x")
    with pytest.raises(ValueError, match="tracker must be one of"):
        RoundOptions(tracker="board")


def test_all_of_accelerates_trackers_are_known():
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS

    assert set(TRACKERS) == set(LOGGER_TYPE_TO_CLASS)
    assert build_parser().parse_args(["run", "--tracker", "wandb"]).tracker == "wandb"


def test_every_column_is_a_curve_of_tensorboard_over_the_epochs(tmp_path):
    pytest.importorskip("tensorboard")
    log_to(open_tracker("tensorboard", tmp_path), 1, 2, 2, 3)
    assert curves(tmp_path / "tensorboard") == expected(HISTORY)


def test_a_training_that_goes_on_leaves_no_epoch_out_and_none_twice(tmp_path):
    pytest.importorskip("tensorboard")
    killed = EpochLog(make_accelerator("cpu", tracker=open_tracker("tensorboard", tmp_path)), {})
    killed.__enter__().write(HISTORY[:2])  # never closed
    assert curves(tmp_path / "tensorboard") == expected(HISTORY[:2])  # readable all the same
    log_to(open_tracker("tensorboard", tmp_path), 2, 3)
    assert curves(tmp_path / "tensorboard") == expected(HISTORY)


def test_without_the_package_the_message_says_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("accelerate.tracking._available_trackers", [])
    with pytest.raises(ValueError, match="pip install tensorboard"):
        open_tracker("tensorboard", tmp_path)
    for words in (["--tensorboard"], ["--tracker", "mlflow"]):
        assert main(["train", *words, "--out", str(tmp_path / "out")]) == 2  # before anything is read
        assert f"pip install {words[-1].lstrip('-')}" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_two_names_of_one_option_may_not_differ(tmp_path, capsys):
    assert main(["train", "--tensorboard", "--tracker", "wandb", "--out", str(tmp_path)]) == 2
    assert "--tensorboard is --tracker tensorboard, got --tracker wandb" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--tensorboard"], ["--tracker", "tensorboard"]])
def test_the_command_writes_its_table_as_curves(tmp_path, words):
    pytest.importorskip("tensorboard")
    assert main([*TRAIN, *words, "--out", str(tmp_path)]) == 0
    rows = list(csv.DictReader((tmp_path / "metrics.csv").read_text().splitlines()))
    found = curves(tmp_path / "tensorboard")
    assert set(found) == set(rows[0]) - {"epoch"}
    assert [value for _, value, _ in found["val_loss"]] == [float(row["val_loss"]) for row in rows]


def test_a_dry_run_tells_nobody(tmp_path, monkeypatch):
    pytest.importorskip("tensorboard")
    monkeypatch.setattr("accelerate.tracking.TensorBoardTracker.start", lambda _: pytest.fail("told"))
    assert main([*TRAIN, "--tracker", "tensorboard", "--dry-run", "--out", str(tmp_path)]) == 0


@pytest.mark.slow
def test_mlflow_holds_a_run_for_each_training(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "runs").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # mlflow-skinny knows no other store
    for folder in ("one", "two"):
        log_to(open_tracker("mlflow", tmp_path / folder), 3)
    client = mlflow.MlflowClient()
    (experiment,) = mlflow.search_experiments(filter_string="name = 'pasm_aug'")
    runs = client.search_runs([experiment.experiment_id])
    assert {run.info.run_name for run in runs} == {f"{tmp_path.name}/one", f"{tmp_path.name}/two"}
    for run in runs:
        assert run.info.status == "FINISHED"
        assert run.data.params == {"lr": "0.05"}
        seen = client.get_metric_history(run.info.run_id, "val_accuracy")
        assert [(one.step, one.value) for one in seen] == [(1, 0.25), (2, 0.5), (3, 0.75)]


@pytest.mark.slow
def test_wandb_gets_a_run_for_each_training(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        monkeypatch.setenv("WANDB_DIR", str(tmp_path / folder))
        tracker = open_tracker("wandb", tmp_path / folder)
        log_to(tracker, 3)
        assert tracker.run.name == f"{tmp_path.name}/{folder}"
        assert tracker.run.project == "pasm_aug"
        assert dict(tracker.run.config) == {"lr": 0.05}
        (file,) = (tmp_path / folder / "wandb").glob("offline-run-*/*.wandb")
        until = time.monotonic() + 30
        while b"val_accuracy" not in file.read_bytes() and time.monotonic() < until:  # another process writes it
            time.sleep(0.1)
        assert b"val_accuracy" in file.read_bytes()
