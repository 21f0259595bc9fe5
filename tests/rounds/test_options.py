"""An option is named once: what one field brings, and that callers and type checkers know the same names."""

import dataclasses
import json

import pytest

from pasm_aug.cli.entry import build_parser, main
from pasm_aug.core.options import leaves, option
from pasm_aug.rounds import options
from pasm_aug.rounds.keywords import RoundKeywords
from pasm_aug.rounds.options import RoundOptions
from pasm_aug.training.options import TrainingKeywords, TrainingOptions

QUICK = ["run", "--limit", "28", "--batch-size", "14", "--teacher-epochs", "1", "--epochs", "1", "--rounds", "0"]
QUICK += ["--baselines", "", "--quiet", "--device", "cpu"]


@dataclasses.dataclass(frozen=True)
class MoreOptions(RoundOptions):
    warmth: float = option(2.5, "how warm", group="rounds", parse=float, metavar="W")


def test_one_field_is_flag_key_of_a_file_record_comparison_and_model_card(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(options, "RoundOptions", MoreOptions)
    assert build_parser().parse_args(["run"]).warmth == 2.5
    (tmp_path / "my.yaml").write_text("warmth: 3.5\n")
    out = tmp_path / "out"
    assert main([*QUICK, "--options", str(tmp_path / "my.yaml"), "--out", str(out)]) == 0
    assert "\nwarmth: 3.5\n" in (out / "run.yaml").read_text()
    assert json.loads((out / "config.json").read_text())["warmth"] == 3.5
    assert json.loads((out / "options.json").read_text())["warmth"] == 3.5
    assert "- warmth: 3.5" in (out / "round-0" / "README.md").read_text()
    assert main([*QUICK, "--warmth", "4", "--out", str(out)]) == 2
    assert "warmth was 3.5, now 4.0" in capsys.readouterr().err


@pytest.mark.parametrize(("kind", "keywords"), [(RoundOptions, RoundKeywords), (TrainingOptions, TrainingKeywords)])
def test_type_checkers_know_every_option(kind, keywords):
    assert {leaf.keyword for leaf in leaves(kind)} == set(keywords.__optional_keys__)


def test_every_option_is_in_the_identity_or_says_that_no_result_depends_on_it():
    known = options.RoundOptions().identity()
    without = {leaf.path[0] for leaf in leaves(RoundOptions) if leaf.path[0] not in known}
    assert without == {"stopping", "info", "tracker", "workers", "progress"}
