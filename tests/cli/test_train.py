import csv
import json

import pytest

from pasm_aug.cli.entry import main
from pasm_aug.core.file_lock import FileLock
from pasm_aug.models import build_model, load_model, save_model
from pasm_aug.training.steps import TrainingStep

CLASSES = ["neutral", "anger", "disgust", "fear", "happiness", "sadness", "surprise"]
QUICK = ["train", "--limit", "42", "--batch-size", "16", "--quiet", "--device", "cpu"]


@pytest.fixture
def teacher(tmp_path):
    folder = tmp_path / "teacher"
    save_model(folder, build_model("small", 7, seed=1), {"architecture": "small", "classes": CLASSES})
    return str(folder)


def test_a_training_with_everything_switched_on(tmp_path, teacher):
    words = [*QUICK, "--epochs", "4", "--teacher", teacher, "--early-stop", "4"]
    words += ["--schedule", "cosine", "--warmup", "0.5", "--label-smoothing", "0.1", "--ema", "0.9"]
    words += ["--class-weights", "balanced", "--sampling", "balanced", "--accumulate", "2", "--weight-decay", "0"]
    words += ["--precision", "bf16", "--channels-last", "--deterministic", "--checkpoint-minutes", "0"]
    assert main([*words, "--out", str(tmp_path / "net")]) == 0
    rows = list(csv.DictReader((tmp_path / "net" / "metrics.csv").read_text().splitlines()))
    rates = [float(row["lr"]) for row in rows]
    assert len(rates) == 4
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 0.01  # the cosine has fallen from 0.05
    files = {file.name for file in (tmp_path / "net").iterdir()}
    assert files == {
        "README.md", "SHA256SUMS", "config.json", "metrics.csv", "model.json", "model.safetensors", "predictions.csv",
        "result.json", "train.yaml",
    }  # fmt: skip
    assert load_model(tmp_path / "net").info["classes"] == CLASSES


def test_the_same_command_again_trains_nothing_and_another_is_refused(tmp_path, capsys):
    words = [*QUICK, "--epochs", "1", "--out", str(tmp_path)]
    assert main(words) == 0
    said = capsys.readouterr().out.split("  →")[0]
    before = (tmp_path / "model.safetensors").stat().st_mtime_ns
    assert main(words) == 0
    assert capsys.readouterr().out == f"{tmp_path} holds this network already: {said}\n"
    assert (tmp_path / "model.safetensors").stat().st_mtime_ns == before
    assert main([*words, "--seed", "1"]) == 2
    assert "seed was 0, now 1" in capsys.readouterr().err
    (tmp_path / "result.json").write_bytes((tmp_path / "result.json").read_bytes().replace(b"0", b"1", 1))
    assert main(words) == 2
    assert "result.json is damaged" in capsys.readouterr().err


def test_options_that_failed_before_anything_was_done_may_be_corrected(tmp_path, capsys):
    words = [*QUICK, "--epochs", "2", "--out", str(tmp_path), "--method", "asm", "--warmup", "1"]
    assert main([*words, "--label-smoothing", "0.1"]) == 2
    assert "label_smoothing" in capsys.readouterr().err
    assert main(words) == 0
    assert json.loads((tmp_path / "config.json").read_text())["label_smoothing"] == 0


@pytest.mark.parametrize(
    ("words", "told", "untold"),
    [
        ([], "way of erasing: no erasing", "predictions of"),
        (["--augment", "online"], "way of erasing: online PASM", "first teacher"),
        (["--method", "asm", "--epochs", "3"], "**Labels sorted out.**", "Nothing was written down"),
    ],
)
def test_the_card_tells_how_a_network_was_trained_alone(tmp_path, words, told, untold):
    assert main([*QUICK, "--epochs", "1", *words, "--out", str(tmp_path)]) == 0
    card = (tmp_path / "README.md").read_text()
    assert "It was trained by itself (`pasm-aug train`), from new weights" in card
    assert "- training: epochs" in card
    assert told in card
    assert untold not in card


def test_the_card_names_the_teacher_of_a_network_that_was_trained_alone(tmp_path, teacher):
    assert main([*QUICK, "--epochs", "1", "--teacher", teacher, "--out", str(tmp_path / "net")]) == 0
    card = (tmp_path / "net" / "README.md").read_text()
    assert "it learned from the predictions of `teacher` to whole images" in card
    assert "None" not in card


def test_early_stopping_keeps_the_best_epoch_and_says_so(tmp_path, capsys):
    assert main([*QUICK, "--epochs", "20", "--lr", "1e-6", "--early-stop", "2", "--out", str(tmp_path)]) == 0
    rows = csv.DictReader((tmp_path / "metrics.csv").read_text().splitlines())
    scores = [float(row["val_accuracy"]) for row in rows]
    best = scores.index(max(scores)) + 1
    assert len(scores) == best + 2
    assert f"val {max(scores):.1%} (weights of epoch {best})" in capsys.readouterr().out


def test_options_that_weigh_classes_and_labels_reach_the_loss(tmp_path):
    losses = {}
    for name, words in {"plain": [], "smooth": ["--label-smoothing", "0.5"], "half": ["--alpha", "0.5"]}.items():
        assert main([*QUICK, "--epochs", "1", "--lr", "0", *words, "--out", str(tmp_path / name)]) == 0
        (row,) = csv.DictReader((tmp_path / name / "metrics.csv").read_text().splitlines())
        losses[name] = float(row["loss"])
    assert losses["half"] == pytest.approx(losses["plain"] / 2)
    assert losses["smooth"] != pytest.approx(losses["plain"])


def test_its_options_are_kept_and_train_the_same_network_again(tmp_path):
    words = [*QUICK, "--epochs", "2", "--lr", "1e-3", "--out", str(tmp_path / "one")]
    assert main(words) == 0
    again = ["train", "--options", str(tmp_path / "one" / "train.yaml"), "--out", str(tmp_path / "two")]
    assert main(again) == 0
    ends = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "two")]
    assert ends[0] == ends[1]


def test_a_training_that_diverges_keeps_the_last_good_weights(tmp_path, capsys, monkeypatch):
    call, steps = TrainingStep.__call__, []

    def corrupt(self, *args, **options):
        steps.append(1)
        total = call(self, *args, **options)
        return total * float("nan") if len(steps) > 4 else total  # 42 images in batches of 16: in the second epoch

    monkeypatch.setattr(TrainingStep, "__call__", corrupt)
    assert main([*QUICK, "--epochs", "3", "--out", str(tmp_path)]) == 2
    assert "in epoch 2" in capsys.readouterr().err
    network = load_model(tmp_path)
    assert network.info["diverged_after_epoch"] == 1
    assert all(value.isfinite().all() for value in network.state_dict().values())


def test_too_little_memory_is_one_line_with_advice(tmp_path, capsys, monkeypatch):
    def too_little(*args, **options):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 99999999999999 bytes.")

    monkeypatch.setattr(TrainingStep, "__call__", too_little)
    assert main([*QUICK, "--epochs", "1", "--out", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert "--accumulate 2" in err
    assert err.count("\n") == 1


def test_squares_searched_in_the_step(tmp_path, teacher, capsys):
    words = [*QUICK, "--epochs", "1", "--teacher", teacher, "--augment", "online", "--budget", "1"]
    assert main([*words, "--out", str(tmp_path / "net")]) == 0
    (row,) = csv.DictReader((tmp_path / "net" / "metrics.csv").read_text().splitlines())
    assert float(row["erased_share"]) == pytest.approx(13 * 13 / 48 / 48, abs=1e-6)
    assert (tmp_path / "net" / "erased.safetensors").exists()
    with pytest.raises(SystemExit) as stopped:
        main([*words, "--hardness", "hard", "--out", str(tmp_path / "other")])
    assert stopped.value.code == 2
    assert "wanted worst, drawn or a number between 0 and 1, got 'hard'" in capsys.readouterr().err


def test_geometry_is_recorded(tmp_path, capsys):
    words = [*QUICK, "--epochs", "1", "--out", str(tmp_path / "net")]
    assert main([*words, "--geometry", "none"]) == 0
    assert json.loads((tmp_path / "net" / "config.json").read_text())["geometry"] == "none"
    assert main(words) == 2
    assert "geometry was none, now flip" in capsys.readouterr().err


def test_a_second_training_in_the_same_folder_is_refused(tmp_path, capsys):
    with FileLock(tmp_path / "train"):
        assert main([*QUICK, "--epochs", "1", "--out", str(tmp_path)]) == 2
    assert "train is being written by process" in capsys.readouterr().err
    assert {file.name for file in tmp_path.iterdir()} <= {"train.lock"}
    assert main([*QUICK, "--epochs", "1", "--out", str(tmp_path)]) == 0
    assert not list(tmp_path.glob("*.lock"))
    assert "lock" not in (tmp_path / "SHA256SUMS").read_text()
