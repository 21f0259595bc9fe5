"""What a round makes of its options: points of several rounds, points kept, students that diverge."""

import csv
import json
import time

import numpy as np
import pytest
import torch

from pasm_aug.cache.position_cache import PositionCache
from pasm_aug.core.rng import derive_seed
from pasm_aug.models import load_model
from pasm_aug.rounds import stages
from pasm_aug.rounds.algorithm import run_rounds
from pasm_aug.rounds.folder import MINING
from pasm_aug.rounds.results import RoundResult
from pasm_aug.search.mine import mine_positions
from pasm_aug.search.point_search import PointSearch
from pasm_aug.training.balance import class_weights
from pasm_aug.training.evaluation import evaluate
from pasm_aug.training.guards import DivergedError
from pasm_aug.training.losses import distillation_loss
from pasm_aug.training.paired_gain import paired_gain
from pasm_aug.training.trainer import train
from tests.shapes import OwnNet, Shapes, own_net

DATA = {"train": Shapes(36), "val": Shapes(30, seed=1), "test": Shapes(12, seed=2)}
OPTIONS = {
    "search": PointSearch("seeded", candidates=8),
    "epochs": 1,
    "batch_size": 12,
    "lr": 0.02,
    "teacher_training": {"epochs": 2, "lr": 0.05},
    "device": "cpu",
    "progress": False,
    "rounds": 2,
}


def run(out, data=DATA, **options):
    return run_rounds(own_net, data, out=out, **(OPTIONS | options))


def points(out, number, name="positions"):
    return PositionCache.open(out / f"round-{number}" / f"{name}.safetensors")


def rows(cache):
    return cache.lookup(indices=np.arange(36), labels=DATA["train"].labels)


def weights(result):
    return torch.cat([p.detach().flatten() for p in load_model(result.folder, model=OwnNet()).parameters()])


@pytest.fixture(scope="module")
def learning(tmp_path_factory):
    """A run in which every student teaches: validation images that none had right at first."""
    out = tmp_path_factory.mktemp("learning")
    results = run(out, rounds=3, keep_points=2, epochs=6)
    assert [r.improved for r in results[:3]] == [True] * 3
    return out, results


def test_students_see_the_points_of_as_many_rounds_as_are_kept(learning):
    out, _ = learning
    assert not (out / "round-1" / "points.safetensors").exists()
    for number in (2, 3):
        kept = points(out, number, "points")
        assert kept.points == 2
        for name in ("xy", "colour"):
            new, old = (getattr(rows(points(out, n)), name) for n in (number, number - 1))
            assert np.array_equal(getattr(rows(kept), name), np.concatenate([new, old], axis=1))
    assert not np.array_equal(rows(points(out, 2)).xy, rows(points(out, 1)).xy)


def test_more_points_train_another_student(learning, tmp_path):
    _, results = learning
    single = run(tmp_path, rounds=2, epochs=6)
    assert torch.equal(weights(results[1]), weights(single[1]))
    assert not torch.equal(weights(results[2]), weights(single[2]))


def test_the_gain_over_a_round_is_the_paired_one(learning):
    _, results = learning
    for result in results[1:]:
        expected = paired_gain(results[result.gain_over].val.predictions, result.val.predictions)
        assert (result.gain, result.gain_error) == (expected.gain, expected.error)
    assert results[1].gain_over == 0


@pytest.mark.parametrize("refresh", [1.0, 0.02])
def test_only_images_whose_probability_moved_are_mined_anew(learning, tmp_path, refresh):
    whole, _ = learning
    results = run(tmp_path, rounds=2, epochs=6, refresh=refresh)
    before, after, anew = rows(points(tmp_path, 1)), rows(points(tmp_path, 2)), rows(points(whole, 2))
    moved = np.abs(anew.p_clean - before.p_clean) >= refresh
    assert np.array_equal(after.xy[~moved], before.xy[~moved])
    assert np.array_equal(after.xy[moved], anew.xy[moved])
    assert moved.any() == (refresh < 1)
    assert results[2].queries == (~moved).sum() + 8 * moved.sum()
    if refresh == 1:
        assert points(tmp_path, 2).metadata["forwards"] == 2 * 36


def test_a_round_with_the_same_teacher_takes_its_points_over_and_asks_nothing(tmp_path):
    results = run(tmp_path, lr=0.0, keep_points=2, refresh=0.1)  # a student that stays as it is does not improve
    assert [r.improved for r in results] == [True, False, False]
    assert [r.queries for r in results] == [0, 36 * 8, 0]
    names = [(tmp_path / f"round-{n}" / "positions.safetensors").read_bytes() for n in (1, 2)]
    assert names[0] == names[1]


def test_another_network_that_mines_is_asked_once(tmp_path):
    results = run(tmp_path, miner=own_net(9), epochs=6)
    assert [r.queries for r in results] == [0, 36 * 8, 0]
    assert np.array_equal(rows(points(tmp_path, 1)).xy, rows(points(tmp_path, 2)).xy)


def test_patience_and_margin_decide_how_many_rounds_are_run(tmp_path):
    for name, options in {"one": {}, "three": {"patience": 3}, "strict": {"margin": 1e9}}.items():
        out = tmp_path / name
        results = run(out, rounds=None, lr=0.0, **options)
        stop = json.loads((out / "stop.json").read_text())
        assert len(results) - 1 == stop["rounds"] == options.get("patience", 1)
        assert stop["best_round"] == 0
        assert stop["reason"].startswith(f"Stopped after round {len(results) - 1}: +0.0 points over the first teacher")


class Diverging:
    """Eq. 4, and NaN from the ``at``-th call with a teacher on; with ``at`` negative, from the first of all."""

    def __init__(self, at):
        self.calls, self.at = 0, at

    def __call__(self, student, teacher, target):
        self.calls += teacher is not None
        value = distillation_loss(student, teacher, target)
        return value * float("nan") if self.at < 0 or self.calls > self.at else value


def test_other_test_images_are_scored_anew(learning, tmp_path):
    first = run(tmp_path, rounds=1)
    test = Shapes(15, seed=7)
    with pytest.warns(UserWarning, match="the test images have changed; they are scored anew"):
        again = run(tmp_path, DATA | {"test": test}, rounds=1)
    for before, after in zip(first, again, strict=True):
        assert (before.test.count, after.test.count) == (12, 15)
        assert after.test.accuracy == evaluate(load_model(after.folder, model=own_net()), test).accuracy
        assert after.val.accuracy == before.val.accuracy


def test_a_student_that_diverges_after_a_good_epoch_does_not_end_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr("pasm_aug.rounds.stages.Stages._loss", lambda self, **_: loss)
    loss = Diverging(3 + 2)  # in the second epoch of the first student
    with pytest.warns(UserWarning, match=r"round 1: the loss became nan in epoch 2.*the round goes on with these"):
        results = run(tmp_path, rounds=1, epochs=3)
    assert len(results) == 2
    assert json.loads((tmp_path / "round-1" / "model.json").read_text())["epoch"] == 1
    assert len((tmp_path / "round-1" / "metrics.csv").read_text().splitlines()) == 2
    assert torch.isfinite(weights(results[1])).all()
    assert run(tmp_path, rounds=1, epochs=3)[1] == results[1]  # and is done


@pytest.mark.parametrize(("at", "name"), [(-1, "teacher"), (2, "round 1")])
def test_a_network_that_diverges_at_once_ends_the_run(tmp_path, monkeypatch, at, name):
    monkeypatch.setattr("pasm_aug.rounds.stages.Stages._loss", lambda self, **_: Diverging(at))
    with pytest.raises(DivergedError, match=f"{name}: the loss became nan in epoch 1"):
        run(tmp_path)


def test_balanced_class_weights_reach_the_loss(tmp_path):
    data = DATA | {"train": torch.utils.data.Subset(DATA["train"], [*range(0, 36, 3), 1, 2, 4, 5])}
    result = run(tmp_path, data, rounds=0, class_weights="balanced", label_smoothing=0.1)[0]
    labels = np.array([0] * 12 + [1, 2, 1, 2])

    def loss(student, teacher, target):
        weights = class_weights(labels, 3)
        return torch.nn.functional.cross_entropy(student, target, weights, reduction="none", label_smoothing=0.1).mean()

    plain = run(tmp_path / "plain", data, rounds=0)[0]
    expected = train(own_net(), data["train"], loss=loss, seed=derive_seed(0, 0), batch_size=12, epochs=2, lr=0.05,
                     device="cpu", progress=False).model  # fmt: skip
    assert torch.equal(weights(result), torch.cat([p.detach().flatten() for p in expected.parameters()]))
    assert not torch.equal(weights(result), weights(plain))


def inverted(images):
    return 1 - images.float() / 127.5


class Bare(OwnNet):
    """Without a preprocessing of its own."""

    preprocess = None


@pytest.mark.parametrize("make", [own_net, Bare], ids=["own", "none"])
@pytest.mark.parametrize("teacher", [None, own_net(5)], ids=["trained", "given"])
def test_the_preprocessing_of_a_run_is_that_of_its_scores_and_of_its_points(tmp_path, make, teacher):
    options = OPTIONS | {"rounds": 1, "epochs": 8, "preprocess": inverted, "class_weights": "balanced"}
    results = run_rounds(make, DATA, out=tmp_path, teacher=teacher, **options)
    with open(tmp_path / "round-1" / "metrics.csv") as handle:
        assert float(list(csv.DictReader(handle))[-1]["val_accuracy"]) == results[1].val.accuracy
    first = load_model(tmp_path / "round-0", model=OwnNet())
    expected = evaluate(first, DATA["val"], preprocess=inverted, device="cpu")
    assert results[0].val == expected
    images = torch.from_numpy(DATA["train"].images)[:, None]
    found = OPTIONS["search"].run(first, images, torch.from_numpy(DATA["train"].labels), preprocess=inverted)
    assert np.array_equal(rows(points(tmp_path, 1)).xy, found.xy)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"keep_points": 0}, "keep_points must be at least 1, got 0"), ({"refresh": 1.5}, "refresh must be"),
     ({"patience": 0}, "patience must be at least 1"), ({"margin": -1}, "margin must be"),
     ({"class_weights": "equal"}, "class_weights must be None or 'balanced', got 'equal'"),
     ({"label_smoothing": 2.0}, r"label_smoothing must be a share in \[0, 1\], got 2.0")],
)  # fmt: skip
def test_mistakes_are_named_before_anything_is_trained(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        run(tmp_path, **options)
    assert not list(tmp_path.iterdir())


def test_a_result_that_cannot_be_the_first_teacher_is_refused_at_once(learning, tmp_path):
    out, results = learning
    with pytest.raises(ValueError, match=r"teacher must be round 0 .* got round 2"):
        run(tmp_path, teacher=results[2])
    (tmp_path / "old").mkdir()
    for name in ("result.json", "model.json", "model.safetensors"):  # a folder of before there were predictions
        (tmp_path / "old" / name).write_bytes((out / "round-0" / name).read_bytes())
    with pytest.raises(ValueError, match=r"predictions\.csv.*pass the folder itself"):
        run(tmp_path / "new", teacher=RoundResult.load(tmp_path / "old"))
    assert run(tmp_path / "new", teacher=tmp_path / "old", rounds=0)[0].val == results[0].val


def test_the_seconds_of_mining_are_kept_when_the_student_is_interrupted(tmp_path, monkeypatch):
    run(tmp_path, rounds=0)

    def interrupted(*args, **options):
        raise KeyboardInterrupt

    def slow(*args, **options):
        time.sleep(0.5)
        return mine_positions(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(stages, "train", interrupted)
        patch.setattr(stages, "mine_positions", slow)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, rounds=1)
    kept = json.loads((tmp_path / "round-1" / MINING).read_text())["seconds"]
    result = run(tmp_path, rounds=1)[1]
    assert result.seconds["mine"] > kept > 0.5
    assert not (tmp_path / "round-1" / MINING).exists()
