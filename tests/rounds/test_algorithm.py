import csv
import dataclasses
import json

import numpy as np
import pytest
import torch

from pasm_aug.cache.position_cache import PositionCache
from pasm_aug.models import load_model
from pasm_aug.rounds.algorithm import iter_rounds, run_rounds
from pasm_aug.rounds.options import RoundOptions
from pasm_aug.rounds.results import RoundResult, best_round
from pasm_aug.rounds.stages import Stages
from pasm_aug.search.fingerprint import describe_state
from pasm_aug.search.point_search import PointSearch
from pasm_aug.training.evaluation import evaluate
from tests.shapes import OwnNet, Shapes, own_net

DATA = {"train": Shapes(60), "val": Shapes(30, seed=1), "test": Shapes(30, seed=2)}
OPTIONS = {
    "search": PointSearch("seeded", candidates=8),
    "epochs": 1,
    "batch_size": 16,
    "teacher_training": {"epochs": 4, "lr": 0.05},
    "device": "cpu",
    "progress": False,
}


def run(out, data=DATA, **options):
    return run_rounds(own_net, data, out=out, **(OPTIONS | {"rounds": 2} | options))


def weights(folder):
    return torch.cat([p.flatten() for p in load_model(folder, model=OwnNet()).parameters()]).detach()


def test_two_rounds_on_a_data_set_without_faces(tmp_path):
    results = run(tmp_path)
    assert [r.round for r in results] == [0, 1, 2]
    assert [r.arm for r in results] == ["teacher", "point", "point"]
    for r in results:
        assert r.test is not None
        assert r.test.count == 30
        folder = tmp_path / f"round-{r.round}"
        wanted = {"model.safetensors", "model.json", "metrics.csv", "result.json", "predictions.csv"}
        wanted |= {"README.md", "SHA256SUMS", "occlusion.json", "occlusion_images.csv"}
        wanted |= {"positions.safetensors"} if r.round else set()
        assert {file.name for file in folder.iterdir()} == wanted
        assert RoundResult.load(folder) == r
    with open(tmp_path / "rounds.csv") as handle:
        rows = list(csv.DictReader(handle))
    assert [float(row["test_accuracy"]) for row in rows] == [pytest.approx(r.test.accuracy, abs=1e-6) for r in results]
    assert results[1].queries == 60 * 8


def test_the_better_one_teaches(tmp_path):
    results = run(tmp_path, rounds=3)
    best = results[0]
    for r in results[1:]:
        assert r.teacher_round == best.round
        assert r.improved == (r.val.accuracy > best.val.accuracy)
        mined = PositionCache.open(tmp_path / f"round-{r.round}" / "positions.safetensors").metadata["fingerprint"]
        teachers = [
            PositionCache.open(tmp_path / f"round-{s.round}" / "positions.safetensors").metadata["fingerprint"]
            for s in results[1:]
            if s.teacher_round == r.teacher_round
        ]
        assert all(mined["teacher"] == other["teacher"] for other in teachers)
        if r.improved:
            best = r
    assert best_round(results) is best


def test_it_stops_by_itself_when_validation_no_longer_improves(tmp_path):
    results = run(tmp_path, rounds=None)
    beyond = [r.gain > r.gain_error for r in results[1:]]
    assert len(results) == 9 or not beyond[-1]
    assert all(beyond[:-1])
    stop = json.loads((tmp_path / "stop.json").read_text())
    assert stop["rounds"] == len(results) - 1
    assert stop["best_round"] == best_round(results).round
    assert stop["reason"].startswith("Stopped after")


@pytest.mark.parametrize(
    ("model", "data", "message"),
    [
        (OwnNet(), DATA, r"model must be a function that makes an untrained network, .* got OwnNet"),
        ("small", DATA, "model must be a function .* got str"),
        (lambda: None, DATA, r"model\(\) must return a torch\.nn\.Module, got NoneType"),
        (own_net, DATA | {"val": "faces/val"}, "val must be a data set, got a path"),
        (own_net, {"train": DATA["train"]}, "datasets must be a mapping that holds train, val, test, got train"),
        (own_net, "faces", "datasets must be a mapping that holds train, val, test, got str"),
    ],
)
def test_networks_and_splits_that_are_none(tmp_path, model, data, message):
    with pytest.raises((TypeError, ValueError), match=message):
        run_rounds(model, data, out=tmp_path / "out", **OPTIONS)


def test_the_test_split_is_read_only_after_the_run_has_stopped(tmp_path):
    class Sealed(Shapes):
        open = False

        def __getitem__(self, index):
            assert Sealed.open
            return super().__getitem__(index)

    steps = iter_rounds(own_net, DATA | {"test": Sealed(30)}, out=tmp_path, rounds=1, **OPTIONS)
    assert [next(steps).test, next(steps).test] == [None, None]
    Sealed.open = True
    assert list(steps) == []


@pytest.mark.parametrize("stop_after", [0, 1])
def test_an_interrupted_run_goes_on_and_ends_bit_identical(tmp_path, stop_after):
    run(tmp_path / "whole")
    steps = iter_rounds(own_net, DATA, out=tmp_path / "cut", **(OPTIONS | {"rounds": 2}))
    for _ in range(stop_after + 1):
        next(steps)
    steps.close()
    done = (tmp_path / "cut" / f"round-{stop_after}" / "result.json").stat().st_mtime_ns
    results = run(tmp_path / "cut")
    assert torch.equal(weights(tmp_path / "whole" / "round-2"), weights(tmp_path / "cut" / "round-2"))
    assert (
        results[stop_after].seconds == json.loads((tmp_path / "cut" / "round-0" / "result.json").read_text())["seconds"]
        or stop_after
    )
    assert (tmp_path / "cut" / f"round-{stop_after}" / "model.safetensors").stat().st_mtime_ns <= done


@pytest.mark.parametrize("augment", ["none", "random", "random-matched"])
def test_baselines_fork_from_the_same_teacher_and_mine_nothing(tmp_path, augment):
    first = run(tmp_path / "pasm", rounds=1)
    base = run(tmp_path / "base", rounds=1, teacher=first[0], augment=augment)
    assert base[0] == first[0]
    assert base[1].teacher_round == 0
    assert not (tmp_path / "base" / "round-1" / "positions.safetensors").exists()
    assert not torch.equal(weights(tmp_path / "base" / "round-1"), weights(tmp_path / "pasm" / "round-1"))


def test_students_refine_or_start_from_scratch(tmp_path):
    still = {"rounds": 1, "lr": 0.0}
    run(tmp_path / "refine", **still)
    run(tmp_path / "scratch", student="scratch", **still)
    teacher = weights(tmp_path / "refine" / "round-0")
    assert torch.equal(weights(tmp_path / "refine" / "round-1"), teacher)
    assert not torch.equal(weights(tmp_path / "scratch" / "round-1"), teacher)


def test_another_network_may_mine(tmp_path):
    miner = own_net(9, width=4)
    run(tmp_path, rounds=1, miner=miner)
    cache = PositionCache.open(tmp_path / "round-1" / "positions.safetensors")
    images = torch.from_numpy(DATA["train"].images)[:, None]
    expected = OPTIONS["search"].run(miner, images, torch.from_numpy(DATA["train"].labels))
    assert np.array_equal(cache.lookup(indices=np.arange(60)).xy, expected.xy)


def test_a_teacher_that_is_given_is_not_trained(tmp_path):
    teacher = own_net(4)
    run(tmp_path, rounds=0, teacher=teacher)
    assert torch.equal(weights(tmp_path / "round-0"), torch.cat([p.detach().flatten() for p in teacher.parameters()]))


@pytest.mark.parametrize(
    ("options", "message"),
    [({"augment": "cutout"}, "cutout"), ({"student": "copy"}, "copy"), ({"rounds": -1}, "-1"), ({"p": 2.0}, "p must")],
)
def test_mistakes_are_named_before_anything_is_trained(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        run(tmp_path, **options)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"p": 0.5}, r"erasing\.p was 1.0, now 0.5"),
        ({"epochs": 2}, "training.epochs was 1, now 2"),
        ({"beta": 0.5}, "loss.beta was 0.1, now 0.5"),
        ({"seed": 1}, "seed was"),
    ],
)
def test_rounds_of_other_options_are_not_gone_on_with(tmp_path, options, message):
    run(tmp_path, rounds=0)
    with pytest.raises(ValueError, match=message):
        run(tmp_path, **options)


def test_rounds_of_other_data_are_not_gone_on_with(tmp_path):
    run(tmp_path, rounds=0)
    with pytest.raises(ValueError, match=r"data\.train was"):
        run(tmp_path, data=DATA | {"train": Shapes(60, seed=7)})


def test_functions_among_the_options_do_not_keep_a_run_from_going_on(tmp_path):
    for _ in range(2):  # another function object each time, as in another process
        run(tmp_path, rounds=1, preprocess=lambda x: x.float() / 255)


def test_test_images_that_stand_in_training_are_scored_apart(tmp_path):
    class Shared(Shapes):
        """30 test images, 10 of them from the training split."""

        def __init__(self):
            super().__init__(30, seed=2)
            self.images[5:15] = DATA["train"].images[20:30]
            self.labels[5:15] = DATA["train"].labels[20:30]

    results = run(tmp_path, DATA | {"test": Shared()}, rounds=1)
    for r in results:
        assert r.test is not None
        assert r.apart is not None
        assert (r.test.count, r.apart.count) == (30, 20)
        network = load_model(r.folder, model=OwnNet())
        rest = [i for i in range(30) if not 5 <= i < 15]
        expected = evaluate(network, torch.utils.data.Subset(Shared(), rest), device="cpu")
        assert r.apart.confusion == expected.confusion
        assert r.apart.loss == pytest.approx(expected.loss)
        assert RoundResult.load(tmp_path / f"round-{r.round}") == r
    assert all(r.apart is None for r in run(tmp_path / "none", rounds=0))
    rows = list(csv.DictReader((tmp_path / "rounds.csv").read_text().splitlines()))
    assert [float(row["test_apart_accuracy"]) for row in rows] == [pytest.approx(r.apart.accuracy) for r in results]


def wins(monkeypatch, accuracies):
    """Let validation say so of round 0, 1, …, whatever the networks are."""
    scored = iter(accuracies)
    score = Stages._scored

    def judged(self, *about):
        result, accuracy = score(self, *about), next(scored)
        result.val = dataclasses.replace(result.val, accuracy=accuracy)
        result.val.predictions[1] = result.val.predictions[0]
        result.val.predictions[1, round(30 * accuracy) :] = 9
        return result

    monkeypatch.setattr(Stages, "_scored", judged)


def test_a_student_that_improves_teaches_the_next_round_and_another_does_not(tmp_path, monkeypatch):
    wins(monkeypatch, [0.2, 0.4, 0.3, 0.6])
    results = run(tmp_path, rounds=3, epochs=2)
    assert [r.improved for r in results] == [True, True, False, True]
    assert [r.teacher_round for r in results] == [None, 0, 1, 1]
    for number, teacher in ((1, 0), (2, 1), (3, 1)):
        mined = PositionCache.open(tmp_path / f"round-{number}" / "positions.safetensors").metadata["fingerprint"]
        network = load_model(tmp_path / f"round-{teacher}", model=OwnNet())
        assert mined["teacher"]["weights"] == describe_state(network)["weights"]


def test_rounds_go_on_while_validation_gains_and_no_longer(tmp_path, monkeypatch):
    wins(monkeypatch, [0.1, 0.4, 0.8, 0.8, 1.0])
    results = run(tmp_path, rounds=None)
    assert [r.round for r in results] == [0, 1, 2, 3]
    assert json.loads((tmp_path / "stop.json").read_text())["best_round"] == 2


@pytest.mark.parametrize("name", ["miner", "teacher"])
def test_rounds_of_another_miner_or_teacher_are_not_gone_on_with(tmp_path, name):
    run(tmp_path, rounds=1, **{name: own_net(9)})
    run(tmp_path, rounds=1, **{name: own_net(9)})
    for other in (own_net(8), None):
        with pytest.raises(ValueError, match=f"{name} was [0-9a-f]+, now "):
            run(tmp_path, rounds=1, **{name: other})


def test_a_teacher_is_the_same_as_a_module_and_as_a_folder(tmp_path):
    run(tmp_path / "first", rounds=0)
    folder = tmp_path / "first" / "round-0"
    run(tmp_path / "out", rounds=0, teacher=folder)
    run(tmp_path / "out", rounds=0, teacher=load_model(folder, model=OwnNet()))


def test_another_optimizer_is_noticed(tmp_path):
    run(tmp_path, rounds=0, optimizer=torch.optim.AdamW)
    with pytest.raises(ValueError, match=r"training\.optimizer was AdamW, now None"):
        run(tmp_path, rounds=0)


def test_a_keyword_that_is_none_is_named(tmp_path):
    with pytest.raises(TypeError, match=r"run_rounds\(\) got an unexpected keyword argument 'sise'"):
        run(tmp_path, sise=3)


def test_options_may_come_as_one_object(tmp_path):
    options = RoundOptions(keep_points=2)
    run(tmp_path, rounds=0, options=options)
    assert json.loads((tmp_path / "options.json").read_text())["keep_points"] == 2


def test_the_arm_online_mines_nothing_and_has_one_training(tmp_path):
    first, student = run(tmp_path / "online", augment="online", rounds=None, queries=2, size=7)
    assert (first.round, student.round, student.queries) == (0, 1, 0)
    files = {file.name for file in (tmp_path / "online" / "round-1").iterdir()}
    assert "erased.safetensors" in files
    assert not any("positions" in name for name in files)
    assert student.erased_share == pytest.approx(49 / 400, abs=1e-6)
    stop = json.loads((tmp_path / "online" / "stop.json").read_text())
    assert stop["reason"] == "The one round of this run is done."
    again = run(tmp_path / "online", augment="online", rounds=None, queries=2, size=7)
    assert again[1].val.confusion == student.val.confusion
    with pytest.raises(ValueError, match=r"erasing\.queries was 2, now 3"):
        run(tmp_path / "online", augment="online", rounds=None, queries=3, size=7)


def test_random_matched_to_online_erases_as_much_of_the_same_fill_without_mining(tmp_path):
    options = {"rounds": 1, "size": 7}
    online = run(tmp_path / "online", augment="online", queries=0, **options)
    matched = run(tmp_path / "matched", augment="random-matched", matched_to="online", teacher=online[0], **options)
    assert matched[1].erased_share == online[1].erased_share
    assert matched[1].queries == 0
    assert not list((tmp_path / "matched" / "round-1").glob("*positions*"))
    options = json.loads((tmp_path / "matched" / "options.json").read_text())
    assert options["erasing"] == {"p": 1.0, "size": 7, "value": "mean"}
    assert options["matched_to"] == "online"
