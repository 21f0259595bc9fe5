import csv
import json

import numpy as np
import pytest

from pasm_aug.core.files import write_csv
from pasm_aug.rounds.results import RoundResult, best_round, read_predictions, write_rounds
from pasm_aug.training.evaluation import evaluate
from pasm_aug.training.metrics import Metrics
from tests.shapes import Shapes, own_net


def result(folder, number=0, **changes):
    scores = {split: evaluate(own_net(number), Shapes(12, seed=seed)) for seed, split in enumerate(("train", "val"))}
    folder.mkdir(exist_ok=True)
    return RoundResult("point", number, str(folder), None, True, **(scores | changes))


@pytest.mark.parametrize("test", [None, evaluate(own_net(), Shapes(9, seed=2))])
def test_a_result_is_read_as_it_was_written(tmp_path, test):
    written = result(tmp_path, 3, test=test, gain=0.0123456789, gain_error=0.004, gain_over=1, queries=7)
    written.seconds = {"train": 1.5, "mine": 0.25}
    written.save()
    read = RoundResult.load(tmp_path)
    assert read == written
    for split in ("val", "test"):
        if getattr(written, split):
            assert np.array_equal(getattr(read, split).predictions, getattr(written, split).predictions)
            assert getattr(read, split).predictions.dtype == np.int64
    assert read.train.predictions is None  # thousands of rows that nothing asks for


def test_the_predictions_are_the_networks_answers_in_the_order_of_the_split(tmp_path):
    result(tmp_path, test=evaluate(own_net(), Shapes(9, seed=2))).save()
    with open(tmp_path / "predictions.csv", newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [(row["split"], int(row["index"])) for row in rows] == [
        *(("val", i) for i in range(12)),
        *(("test", i) for i in range(9)),
    ]
    val = [row for row in rows if row["split"] == "val"]
    assert [int(row["label"]) for row in val] == Shapes(12, seed=1).labels.tolist()
    right = sum(row["label"] == row["predicted"] for row in val)
    assert right / 12 == pytest.approx(RoundResult.load(tmp_path).val.accuracy)


def test_a_folder_may_move(tmp_path):
    result(tmp_path / "a").save()
    (tmp_path / "a").rename(tmp_path / "b")
    assert RoundResult.load(tmp_path / "b").folder == str(tmp_path / "b")


def test_a_folder_of_before_there_were_predictions_has_no_answers(tmp_path):
    written = result(tmp_path)
    written.save()
    (tmp_path / "predictions.csv").unlink()
    data = json.loads((tmp_path / "result.json").read_text())
    for name in ("gain", "gain_error", "gain_over"):
        del data[name]
    (tmp_path / "result.json").write_text(json.dumps(data))
    read = RoundResult.load(tmp_path)
    assert read == written
    assert read.val.predictions is None


@pytest.mark.parametrize("text", ["split,index,label,predicted\nval,0,x,1\n", "a,b\n1,2\n",
                                  "split,index,label\nval,0\n",
                                  "split,index,label,predicted\nval,0,1\n"])  # fmt: skip
def test_damaged_predictions_are_named(tmp_path, text):
    (tmp_path / "predictions.csv").write_text(text)
    with pytest.raises(ValueError, match=r"predictions\.csv is damaged"):
        read_predictions(tmp_path / "predictions.csv")


def test_binary_rubbish_for_predictions_is_named(tmp_path):
    (tmp_path / "predictions.csv").write_bytes(b"split,index,label,predicted\nval,0,\xff\xfe,1\n")
    with pytest.raises(ValueError, match=r"predictions\.csv is damaged"):
        read_predictions(tmp_path / "predictions.csv")


def test_answers_take_no_part_in_comparisons_and_in_the_json():
    scores = evaluate(own_net(), Shapes(6))
    assert scores == Metrics(**scores.asdict())
    assert "predictions" not in json.loads(json.dumps(scores.asdict()))


def test_the_best_round_is_the_last_that_improved(tmp_path):
    rounds = [result(tmp_path, number) for number in range(4)]
    for item, improved in zip(rounds, (True, True, False, False), strict=True):
        item.improved = improved
    assert best_round(rounds).round == 1


def test_the_table_of_rounds_holds_a_row_a_round(tmp_path):
    rounds = [result(tmp_path, number) for number in range(2)]
    rounds[1].seconds, rounds[1].queries, rounds[1].erased_share = {"mine": 2.25, "train": 1.0}, 480, 0.25
    write_rounds(tmp_path / "rounds.csv", rounds)
    first, second = csv.DictReader((tmp_path / "rounds.csv").read_text().splitlines())
    assert (first["round"], first["test_accuracy"], first["mine_seconds"]) == ("0", "", "0.0")
    assert float(second["val_accuracy"]) == pytest.approx(rounds[1].val.accuracy, abs=1e-6)
    assert (second["queries"], second["mine_seconds"], second["erased_share"]) == ("480", "2.25", "0.25")


class Speechless:
    def __str__(self):
        raise ValueError("no words")


def test_a_table_is_written_whole_or_not_at_all(tmp_path):
    write_csv(tmp_path / "t.csv", [{"a": 1, "b": "x,y"}])
    assert (tmp_path / "t.csv").read_text() == 'a,b\n1,"x,y"\n'
    with pytest.raises(ValueError, match="no words"):
        write_csv(tmp_path / "t.csv", [{"a": 1}, {"a": Speechless()}])
    assert (tmp_path / "t.csv").read_text() == 'a,b\n1,"x,y"\n'
