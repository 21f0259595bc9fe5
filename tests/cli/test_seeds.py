"""``run --seeds``: every seed a run of its own, more may follow, one page of all."""

import csv
import json

import pytest

from pasm_aug.cli.entry import main
from pasm_aug.rounds.results import RoundResult

MACHINE = ["--limit", "42", "--image-size", "24", "--batch-size", "16", "--quiet", "--device", "cpu"]
RUN = [
    "run",
    *MACHINE,
    "--teacher-epochs",
    "1",
    "--epochs",
    "1",
    "--rounds",
    "1",
    "--budget",
    "4",
    "--baselines",
    "none",
]


def test_seeds_run_one_after_the_other_and_more_may_follow(tmp_path, capsys):
    out = tmp_path / "out"
    assert main([*RUN, "--seeds", "0,4", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "2 seeds, percent" in said
    assert f"report: {out / 'report.html'}" in said
    networks = [RoundResult.load(out / f"seed-{seed}" / "round-0") for seed in (0, 4)]
    assert networks[0].val.loss != networks[1].val.loss
    assert json.loads((out / "seed-4" / "config.json").read_text())["seed"] == 4
    written = (out / "seed-0" / "round-1" / "model.safetensors").stat().st_mtime_ns
    assert main([*RUN, "--seeds", "2", "--out", str(out)]) == 0  # those that lie there are told with it
    assert (out / "seed-0" / "round-1" / "model.safetensors").stat().st_mtime_ns == written
    with open(out / "seeds.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["seed"] for row in rows] == ["0", "0", "2", "2", "4", "4"]
    alone = tmp_path / "alone"
    assert main([*RUN, "--seed", "4", "--out", str(alone)]) == 0
    assert (alone / "round-1/model.safetensors").read_bytes() == (out / "seed-4/round-1/model.safetensors").read_bytes()
    capsys.readouterr()
    (out / "report.html").unlink()
    assert main(["report", str(out)]) == 0
    assert "3 seeds, percent" in capsys.readouterr().out
    assert (out / "report.html").exists()
    assert main([*RUN, "--seeds", "0,1", "--out", str(alone)]) == 2
    assert "holds a run of one seed" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["a", "1,1", "3-1", "1-2-3", ""])
def test_what_are_no_seeds_is_refused(text, capsys):
    with pytest.raises(SystemExit) as error:
        main([*RUN, "--seeds", text])
    assert error.value.code == 2
    assert "wanted different seeds such as 0,1,2 or 0-4" in capsys.readouterr().err
