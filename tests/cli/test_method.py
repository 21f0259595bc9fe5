"""Adaptive Sample Mining by command: run, train, resume, dry run."""

import json
import shutil

import numpy as np
import pytest

from pasm_aug import Pair, PositionCache, SyntheticExpressions, load_model
from pasm_aug.asm.record import AsmRecord
from pasm_aug.cli.entry import main
from pasm_aug.report.run_folder import read_run
from pasm_aug.rounds.results import RoundResult
from pasm_aug.training.evaluation import evaluate

MACHINE = ["--limit", "42", "--image-size", "24", "--batch-size", "16", "--quiet", "--device", "cpu"]
NOISE = ["--noise", "symmetric:0.3"]
RUN = ["run", *MACHINE, *NOISE, "--teacher-epochs", "3", "--epochs", "2"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("asm") / "out"
    assert main([*RUN, "--method", "pasm+asm", "--augment", "point", "--budget", "4", "--out", str(out)]) == 0
    return out


def test_every_network_but_the_plain_ones_is_trained_by_asm_and_leaves_its_partition(finished):
    arms = read_run(finished).arms
    assert list(arms) == ["point", "asm", "plain", "random-matched"]
    for arm, results in arms.items():
        assert [r.round for r in results] == [0, 1]
        for result in results:
            info = json.loads((finished / result.folder / "model.json").read_text())
            assert info["architecture"] == "pair:small"
            network = load_model(result.folder)
            assert isinstance(network, Pair)
            kept = finished / result.folder / "partition.safetensors"
            assert kept.exists() == (arm != "plain")
            if kept.exists():
                record = AsmRecord.open(kept)
                assert len(record.subset) == 42
                assert record.epochs.tolist() == ([1, 2] if result.round == 0 else [1])
                assert record.wrong.sum(1).sum(1).tolist() == [sum(record.wrong[0].ravel())] * len(record.epochs)
            test = SyntheticExpressions("test", size=24, length=42)
            assert evaluate(network, test, device="cpu").accuracy == result.test.accuracy


def test_only_labels_that_are_believed_are_erased(finished):
    round_1 = RoundResult.load(finished / "round-1")
    believed = AsmRecord.open(finished / "round-1" / "partition.safetensors").partition.clean.mean()
    share = (31 / 224) ** 2  # of each image that is erased whole; fewer at the border
    assert 0 <= round_1.erased_share <= share * believed * 1.2
    assert len(PositionCache.open(finished / "round-1" / "positions.safetensors")) == 42


def test_the_arm_plain_forks_from_a_teacher_that_believed_all_labels(finished):
    own, shared = (RoundResult.load(finished / folder / "round-0") for folder in ("baselines/plain", "."))
    assert own.val.loss != shared.val.loss
    options = json.loads((finished / "baselines/plain/options.json").read_text())
    assert (options["method"], options["augment"]) == ("pasm", "plain")
    assert not (finished / "baselines/asm/round-0").exists()


def test_the_same_again_reprints_and_other_options_are_refused(finished, capsys):
    words = [*RUN, "--method", "pasm+asm", "--augment", "point", "--budget", "4", "--out", str(finished)]
    assert main(words) == 0
    said = capsys.readouterr().out
    for name in ("first teacher, of plain training", "plain training: all labels believed", "ASM: wrong labels sorted"):
        assert name in said
    for other, message in (
        (["--asm-omega", "0.7"], "asm_omega was 0.6, now 0.7"),
        (["--method", "pasm"], "method was pasm+asm, now pasm"),
    ):
        assert main([*words, *other]) == 2
        assert message in capsys.readouterr().err


def test_a_lost_round_is_done_again_to_the_same_end(finished, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(finished, copy)
    shutil.rmtree(copy / "round-1")
    words = [*RUN, "--method", "pasm+asm", "--augment", "point", "--budget", "4", "--out", str(copy)]
    assert main(words) == 0
    for name in ("partition.safetensors", "model.safetensors"):
        assert (copy / "round-1" / name).read_bytes() == (finished / "round-1" / name).read_bytes()


def test_asm_alone_erases_nothing_and_is_compared_with_plain_training(tmp_path, capsys):
    words = [*RUN, "--method", "asm", "--asm-rule", "fixed", "--asm-high", "0.5", "--out", str(tmp_path / "out")]
    assert main(words) == 0
    arms = read_run(tmp_path / "out").arms
    assert list(arms) == ["asm", "plain"]
    assert arms["asm"][1].erased_share == 0
    record = AsmRecord.open(tmp_path / "out" / "round-1" / "partition.safetensors")
    np.testing.assert_allclose(record.thresholds[-1], [[0.2, 0.5]] * 7)
    assert not list((tmp_path / "out").rglob("positions.safetensors"))
    assert "Why it stopped: The one round of this run is done." in capsys.readouterr().out


def test_train_takes_the_method_too(tmp_path):
    out = tmp_path / "out"
    assert main(["train", *MACHINE, *NOISE, "--epochs", "3", "--method", "asm", "--out", str(out)]) == 0
    assert AsmRecord.open(out / "partition.safetensors").epochs.tolist() == [1, 2]
    assert isinstance(load_model(out), Pair)
    rows = (out / "metrics.csv").read_text().splitlines()
    assert "noise_share" in rows[0]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--method", "asm", "--asm-low", "0.9"], "low and high must be 0 ≤ low ≤ high ≤ 1, got 0.9 and 0.8"),
        (["--method", "asm", "--label-smoothing", "0.1"], "label_smoothing and class_weights must be left alone"),
    ],
)
def test_what_cannot_be_is_one_line(tmp_path, capsys, words, message):
    assert main([*RUN, *words, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert "\n" not in error


def test_a_dry_run_tries_all_of_it(tmp_path, capsys):
    assert main([*RUN, "--method", "asm", "--dry-run", "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "plain training, first teacher: train" in said
    assert not (tmp_path / "out").exists()
