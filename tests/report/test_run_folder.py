import json

import numpy as np
import pytest

from pasm_aug.core.checksums import resealed
from pasm_aug.report.run_folder import read_metrics, read_run
from tests.made_runs import made_run
from tests.shapes import Shapes

DATA = Shapes(12)


def test_a_run_is_read_as_it_was_written(tmp_path):
    made = made_run(tmp_path, DATA, rounds=11, baselines=("none", "random"))
    run = read_run(tmp_path)
    assert run.arms == made.arms  # round 10 after round 9
    assert list(run.arms) == ["point", "none", "random"]
    assert run.config == made.config
    assert run.main == run.arms["point"]
    assert run.stopped == "Every round was run."
    assert run.model["classes"] == list(DATA.classes)
    for read, written in zip(run.main, made.main, strict=True):
        assert np.array_equal(read.test.predictions, written.test.predictions)


def test_what_a_file_manager_leaves_beside_the_arms_is_none(tmp_path):
    made_run(tmp_path, DATA, baselines=("none",))
    (tmp_path / "baselines" / ".DS_Store").write_bytes(b"x")
    (tmp_path / "baselines" / "notes.txt").write_text("x")
    assert list(read_run(tmp_path).arms) == ["point", "none"]


def test_an_older_run_tells_no_answers_and_not_why_it_stopped(tmp_path):
    made_run(tmp_path, DATA, known=False)
    run = read_run(tmp_path)
    assert run.stopped == ""
    assert all(r.test.predictions is None for r in run.main)


def test_a_run_that_has_not_ended_or_is_damaged_is_refused_by_name(tmp_path):
    with pytest.raises(ValueError, match=r"config\.json cannot be read"):
        read_run(tmp_path)
    made_run(tmp_path, DATA)
    result = tmp_path / "round-2" / "result.json"
    whole = result.read_text()
    result.write_text(json.dumps(json.loads(whole) | {"test": None}))
    with pytest.raises(ValueError, match="holds no finished run"):
        read_run(tmp_path)
    result.write_text(whole[:-20])
    with pytest.raises(ValueError, match=r"round-2/result\.json is damaged"):
        read_run(tmp_path)


def test_metrics_are_numbers_with_gaps_for_empty_cells(tmp_path):
    run = made_run(tmp_path, DATA, rounds=0, baselines=())
    assert [row["epoch"] for row in read_metrics(run.main[0])] == [1.0, 2.0]
    file = tmp_path / "round-0" / "metrics.csv"
    file.write_text("epoch,val_accuracy\n1,\n")
    assert np.isnan(read_metrics(run.main[0])[0]["val_accuracy"])
    file.write_text("epoch,val_accuracy\n1,x\n")
    with pytest.raises(ValueError, match=r"metrics\.csv is damaged"):
        read_metrics(run.main[0])
    file.unlink()
    assert read_metrics(run.main[0]) == []


def test_a_changed_file_is_named_and_changed_scores_are_refused(tmp_path):
    made_run(tmp_path, DATA, baselines=(), rounds=1)
    folder = tmp_path / "round-1"
    with resealed(folder):
        pass
    assert len(read_run(tmp_path).main) == 2
    metrics = folder / "metrics.csv"
    metrics.write_text(metrics.read_text().replace("0.5", "0.6"))
    with pytest.warns(UserWarning, match=r"round-1/metrics\.csv is damaged"):
        assert len(read_run(tmp_path).main) == 2
    with resealed(folder):
        predictions = folder / "predictions.csv"
    predictions.write_text(predictions.read_text().replace("val,0,0,", "val,0,1,", 1))
    with pytest.raises(ValueError, match=r"round-1/predictions\.csv is damaged"):
        read_run(tmp_path)
