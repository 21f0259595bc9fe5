import csv

import pytest

from pasm_aug.cli.entry import main
from pasm_aug.training.tensorboard import EventLog, write_events

HISTORY = [
    {"epoch": 1, "lr": 0.05, "loss": 1.5, "val_accuracy": 0.25, "seconds": 2.0},
    {"epoch": 2, "lr": 0.05, "loss": 1.25, "val_accuracy": 0.5, "seconds": 3.0},
    {"epoch": 3, "lr": 0.005, "loss": 1.125, "val_accuracy": 0.75, "seconds": 2.5},
]


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


def test_every_column_is_a_curve_over_the_epochs(tmp_path):
    pytest.importorskip("tensorboard")
    write_events(tmp_path / "events", HISTORY)
    assert curves(tmp_path / "events") == expected(HISTORY)


def test_a_log_that_grows_by_epoch_holds_what_one_written_at_once_holds(tmp_path):
    pytest.importorskip("tensorboard")
    log = EventLog(tmp_path)
    for count in (1, 2, 2, 3):
        log.write(HISTORY[:count])
    assert curves(tmp_path) == expected(HISTORY)  # readable before it is closed
    log.close()


def test_a_training_that_goes_on_leaves_no_epoch_out_and_none_twice(tmp_path):
    pytest.importorskip("tensorboard")
    EventLog(tmp_path).write(HISTORY[:2])  # never closed: killed
    (tmp_path / "metrics.csv").write_text("stays")
    again = EventLog(tmp_path)
    again.write(HISTORY)
    again.close()
    assert curves(tmp_path) == expected(HISTORY)
    assert (tmp_path / "metrics.csv").read_text() == "stays"


def test_without_the_package_the_message_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr("pasm_aug.training.tensorboard.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="pip install tensorboard"):
        EventLog(tmp_path)
    assert main(["train", "--tensorboard", "--out", str(tmp_path / "out")]) == 2  # before anything is read
    assert not (tmp_path / "out").exists()


def test_a_training_writes_its_table_as_curves(tmp_path):
    pytest.importorskip("tensorboard")
    words = ["train", "--limit", "14", "--batch-size", "7", "--epochs", "2", "--device", "cpu", "--quiet"]
    assert main([*words, "--tensorboard", "--out", str(tmp_path)]) == 0
    rows = list(csv.DictReader((tmp_path / "metrics.csv").read_text().splitlines()))
    found = curves(tmp_path / "tensorboard")
    assert set(found) == set(rows[0]) - {"epoch"}
    assert [value for _, value, _ in found["val_loss"]] == [float(row["val_loss"]) for row in rows]
