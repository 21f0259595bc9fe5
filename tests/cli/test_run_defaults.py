"""What `pasm-aug run` promises of its defaults: squares searched in the step, a teacher in the right regime."""

import json

import numpy as np
import pytest

from pasm_aug.cli.entry import build_parser, main, parse
from pasm_aug.cli.options.groups import SEARCH_BUDGET
from pasm_aug.cli.options.settle import settle_run
from pasm_aug.data.in_memory import InMemory
from pasm_aug.data.synthetic.dataset import SyntheticExpressions
from pasm_aug.models import build_model
from pasm_aug.report.regions import region_shares
from pasm_aug.report.verdict import FITTED
from pasm_aug.rounds.arms import make_geometry
from pasm_aug.search.mine import mine_positions
from pasm_aug.search.options import SearchOptions
from pasm_aug.training.evaluation import evaluate
from pasm_aug.training.trainer import train
from pasm_aug.transforms.paired_view import PairedView

QUICK = ["--limit", "42", "--batch-size", "16", "--quiet", "--device", "cpu", "--teacher-epochs", "1", "--epochs", "1"]


def test_without_options_squares_are_searched_in_the_step_and_compared_with_the_same_at_random(tmp_path, capsys):
    assert main(["run", *QUICK, "--out", str(tmp_path)]) == 0
    arms = {}
    for folder in (tmp_path, *(tmp_path / "baselines").iterdir()):
        options = json.loads((folder / "options.json").read_text())
        arms[options["augment"]] = options["erasing"]
    assert arms.keys() == {"online", "none", "random", "random-matched"}
    assert (arms["online"]["queries"], arms["online"]["hardness"]) == (4, "worst")
    assert [arms["random-matched"][name] for name in ("size", "value", "p")] == [13 / 48, "mean", 1.0]
    assert not list(tmp_path.rglob("positions.safetensors"))  # nothing is mined
    assert (tmp_path / "round-1" / "erased.safetensors").exists()
    assert "online PASM" in capsys.readouterr().out


def test_a_search_may_spend_the_same_by_command_and_in_python():
    assert SearchOptions().budget == SEARCH_BUDGET


def test_the_paper_is_one_preset_away_and_an_arm_beside_it_wins():
    assert parse(["run"]).augment == "online"
    assert parse(["run", "--preset", "paper"]).augment == "point"
    args = parse(["run", "--preset", "paper", "--augment", "online"])
    assert (settle_run(args)[0], args.lr) == ("online", 0.01)


@pytest.mark.parametrize(
    "words",
    [["--search", "paper"], ["--objective", "patch"], ["--miner", "x"], ["--refresh", ".1"], ["--keep-points", "2"]],
)
def test_how_points_are_mined_says_nothing_where_none_are(words, tmp_path, capsys):
    out = ["--quiet", "--out", str(tmp_path / "out")]
    assert main(["run", *words, *out]) == 2
    assert f"{words[0]} needs an arm that mines points, as --augment point does; got online" in capsys.readouterr().err
    assert main(["run", *words, *out, "--baselines", "point", "--root", "/nowhere", "--data", "folder"]) == 2
    assert "needs an arm" not in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "epochs"),
    [([], 32), (["--method", "asm"], 60), (["--method", "pasm+asm"], 60), (["--augment", "asm"], 60),
     (["--method", "asm", "--teacher-epochs", "32"], 32)],
)  # fmt: skip
def test_wrong_labels_ask_for_a_longer_training(words, epochs):
    args = parse(["run", *words])
    settle_run(args)
    assert args.teacher_epochs == epochs


@pytest.mark.slow
def test_the_first_teacher_fits_and_its_points_lie_where_the_expression_is(tmp_path):
    options = build_parser().parse_args(["run"])
    settle_run(options)
    faces = InMemory(SyntheticExpressions("train"), progress=False)
    teacher = build_model("small", 7)
    view = PairedView(make_geometry())
    train(teacher, faces, augment=view, epochs=options.teacher_epochs, lr=options.teacher_lr, progress=False)
    assert evaluate(teacher, faces).accuracy >= FITTED
    assert 0.70 <= evaluate(teacher, InMemory(SyntheticExpressions("test"), progress=False)).accuracy <= 0.92
    cache = mine_positions(teacher, faces, tmp_path / "positions", progress=False)
    inside, area = region_shares(faces, cache)
    assert inside > 2 * area
    found = cache.lookup(indices=np.arange(len(faces)))
    assert found.hit.all()
    assert (found.p_point[:, 0] <= found.p_clean + 1e-6).mean() > 0.99
