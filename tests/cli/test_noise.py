"""Label noise by command: training labels alone, recorded, listed for others, and compared before a run goes on."""

import csv
import json
import shutil

import numpy as np
import pytest

from pasm_aug import NoisyLabels, SyntheticExpressions
from pasm_aug.cli.entry import main
from pasm_aug.core.checksums import CHECKSUMS, resealed
from pasm_aug.rounds.results import RoundResult

MACHINE = ["--limit", "42", "--image-size", "24", "--batch-size", "16", "--quiet", "--device", "cpu"]
RUN = ["run", *MACHINE, "--teacher-epochs", "1", "--epochs", "1", "--rounds", "1", "--baselines", "none"]
TRAIN = ["train", *MACHINE, "--epochs", "1"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run with noise, and what it said."""
    out = tmp_path_factory.mktemp("noisy") / "out"
    assert main([*RUN, "--noise", "symmetric:0.3", "--seed", "5", "--out", str(out)]) == 0
    return out


def expected(seed, **options):
    return NoisyLabels(SyntheticExpressions("train", size=24, length=42), seed=seed, **options)


def test_the_folder_tells_which_labels_are_wrong(finished):
    with open(finished / "noise.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    noisy = expected(5, rate=0.3)
    assert [int(row["label"]) for row in rows] == noisy.labels.tolist()
    assert [int(row["true"]) for row in rows] == noisy.true_labels.tolist()
    assert json.loads((finished / "config.json").read_text())["noise"] == "symmetric:0.3"
    assert "noise.csv" in (finished / CHECKSUMS).read_text()
    about = json.loads((finished / "round-0" / "model.json").read_text())["data"]
    assert (about["noise"], about["flipped"]) == ("symmetric:0.3", int(noisy.flipped.sum()))
    assert (finished / "report.html").exists()


def test_only_training_labels_are_wrong(finished):
    teacher = RoundResult.load(finished / "round-0")
    true = {split: SyntheticExpressions(split, length=42).labels for split in ("val", "test")}
    for split, labels in ({"train": expected(5, rate=0.3).labels} | true).items():
        counted = np.array(getattr(teacher, split).confusion).sum(1)
        assert counted.tolist() == np.bincount(labels, minlength=7).tolist()


def test_the_same_again_goes_on_and_other_noise_is_refused(finished, capsys):
    before = (finished / "noise.csv").stat().st_mtime_ns
    words = [*RUN, "--out", str(finished), "--seed", "5"]
    assert main([*words, "--noise", "symmetric:.3"]) == 0
    count = int(expected(5, rate=0.3).flipped.sum())
    said = capsys.readouterr().out
    told = f"{count} of 42 training labels flipped ({count / 42:.1%}) → {finished}/noise.csv"
    assert f"--noise symmetric:0.3: {told}" in said
    assert (finished / "noise.csv").stat().st_mtime_ns == before
    for now in ("symmetric:0.2", "pair:0.3", None):
        assert main([*words, *(["--noise", now] if now else [])]) == 2
        err = capsys.readouterr().err
        assert f"noise was symmetric:0.3, now {now}" in err
        assert err.count("\n") == 1


def test_a_damaged_list_is_named_and_one_of_other_labels_refused(finished, tmp_path, capsys):
    out = tmp_path / "copy"
    shutil.copytree(finished, out)
    rows = (out / "noise.csv").read_text().splitlines()
    first = rows[1].split(",")
    first[3], first[5] = ("1", "anger") if first[3] != "1" else ("2", "disgust")
    (out / "noise.csv").write_text("\n".join([rows[0], ",".join(first), *rows[2:], ""]))
    words = [*RUN, "--noise", "symmetric:0.3", "--seed", "5", "--out", str(out)]
    assert main(words) == 2
    assert "noise.csv is damaged" in capsys.readouterr().err
    with resealed(out):
        pass
    assert main(words) == 2
    err = capsys.readouterr().err
    assert "holds other labels than --noise gives now (1 of 42 differ): choose another --out" in err
    assert err.count("\n") == 1


def test_a_run_without_noise_does_not_go_on_with_it(tmp_path, capsys):
    assert main([*TRAIN, "--out", str(tmp_path)]) == 0
    assert not (tmp_path / "noise.csv").exists()
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["noise"] is None
    del config["noise"]  # as it was before there was any
    with resealed(tmp_path):
        (tmp_path / "config.json").write_text(json.dumps(config))
    assert main([*TRAIN, "--noise", "pair:0.5", "--out", str(tmp_path)]) == 2
    assert "noise was None, now pair:0.5" in capsys.readouterr().err
    assert main([*TRAIN, "--out", str(tmp_path)]) == 0


def test_another_run_takes_the_list_and_its_report_needs_the_run_alone(finished, tmp_path, capsys):
    file = tmp_path / "list.csv"
    file.write_bytes((finished / "noise.csv").read_bytes())
    out = tmp_path / "out"
    words = [*RUN, "--baselines", "", "--noise", str(file), "--out", str(out)]
    assert main(words) == 0
    assert (out / "noise.csv").read_bytes() == file.read_bytes()
    text = file.read_text()
    file.unlink()
    assert main(["report", str(out)]) == 0
    assert "go without" not in capsys.readouterr().out
    assert main(["run", "--options", str(out / "run.yaml")]) == 2
    assert "a file that is there" in capsys.readouterr().err
    rows = text.splitlines()
    file.write_text("\r\n".join(rows))
    assert main(words) == 0  # the same list, the file's bytes aside
    file.write_text("\n".join([rows[0], "0,,2,6", *rows[2:]]))
    assert main(words) == 2
    assert "list.csv, line 2: expected 6 columns" in capsys.readouterr().err


def test_train_takes_it_and_keeps_the_list(tmp_path, capsys):
    words = [*TRAIN, "--noise", "uniform:0.9", "--out", str(tmp_path)]
    assert main(words) == 0
    noisy = expected(0, rate=0.9, kind="uniform")
    assert f"{noisy.flipped.sum()} of 42 training labels flipped" in capsys.readouterr().out
    assert "noise.csv" in (tmp_path / CHECKSUMS).read_text()
    data = SyntheticExpressions("train", size=24, length=42)
    assert NoisyLabels(data, file=tmp_path / "noise.csv").labels.tolist() == noisy.labels.tolist()
    assert main(words) == 0
    assert "holds this network already" in capsys.readouterr().out
    assert main([*words, "--seed", "1"]) == 2


@pytest.mark.parametrize("noise", ["symmetric:2", "sometimes:0.3", "nowhere.csv"])
@pytest.mark.parametrize("command", [RUN, TRAIN])
def test_what_it_cannot_be_is_one_line_before_anything_is_read(command, noise, tmp_path, capsys):
    assert main([*command, "--noise", noise, "--out", str(tmp_path / "out")]) == 2
    err = capsys.readouterr().err
    assert err.startswith("pasm-aug: error: --noise must be symmetric:R, uniform:R, pair:R with a share R in 0…1")
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_list_of_other_data_is_refused_in_one_line(finished, tmp_path, capsys):
    words = [*TRAIN, "--noise", str(finished / "noise.csv"), "--out", str(tmp_path / "out")]
    assert main([*words, "--limit", "49"]) == 2
    err = capsys.readouterr().err
    assert "noise.csv lists 42 images, but the data set has 49: it belongs to another one" in err
    assert err.count("\n") == 1
    assert main([*words, "--limit", "49", "--dry-run"]) == 2
    assert "it belongs to another one" in capsys.readouterr().err
    assert main([*words, "--dry-run"]) == 0


def test_decoded_images_are_shared_by_every_noise(tmp_path):
    for seed in ("0", "1"):
        words = ["--noise", "symmetric:0.5", "--seed", seed, "--out", str(tmp_path / seed)]
        assert main([*TRAIN, *words, "--decoded", str(tmp_path / "decoded")]) == 0
    assert len(list((tmp_path / "decoded").glob("synthetic-train-*.npy"))) == 1
    assert (tmp_path / "0" / "noise.csv").read_bytes() != (tmp_path / "1" / "noise.csv").read_bytes()
