"""What results say of themselves in a notebook: one short line, the numbers that matter, no array."""

import numpy as np
import pytest
import torch
from torch import nn

from pasm_aug.rounds.results import RoundResult
from pasm_aug.search.point_search import PointSearch
from pasm_aug.search.result import PointResult
from pasm_aug.training.metrics import Metrics
from pasm_aug.training.occluders import Square
from pasm_aug.training.occlusion_metrics import BandScores, OcclusionMetrics, square_scores
from pasm_aug.training.result import TrainResult
from tests.made_runs import scores
from tests.shapes import own_net

LABELS = np.arange(1000) % 7
TRAIN, VAL = scores(LABELS, LABELS, 7), scores(LABELS, np.where(np.arange(1000) < 750, LABELS, (LABELS + 1) % 7), 7)


def twice_the_margin(logits, labels):
    return 2 * logits.gather(1, labels[:, None])[:, 0]


@pytest.mark.parametrize(
    ("search", "said"),
    [
        (PointSearch(), "PointSearch('seeded')"),
        (PointSearch("paper", points=2, seed=3), "PointSearch('paper', points=2, seed=3)"),
        (PointSearch(objective=twice_the_margin), f"PointSearch('seeded', objective='{__name__}.twice_the_margin')"),
        (PointSearch(budget=80, incremental=False), "PointSearch('seeded', budget=80, incremental=False)"),
    ],
)
def test_a_search_names_what_is_not_as_usual(search, said):
    assert repr(search) == said


def test_scores():
    assert repr(VAL) == "Metrics(75.00% of 1,000 images right, mean over the classes 75.00%, loss 1.000)"
    assert repr(Metrics(0.5, 0.7, [], [], 4)) == "Metrics(50.00% of 4 images right, loss 0.700)"


def test_a_round():
    result = RoundResult("point", 1, "runs/x/round-1", 0, True, TRAIN, VAL)
    assert repr(result) == "RoundResult(point, round 1: train 100.0%, val 75.0%, improved, 'runs/x/round-1')"
    result = RoundResult("teacher", 0, "runs/x/round-0", None, True, TRAIN, VAL, TRAIN)
    assert repr(result) == "RoundResult(teacher, round 0: train 100.0%, val 75.0%, test 100.0%, 'runs/x/round-0')"


def test_a_training():
    history = [{"epoch": 1, "val_accuracy": 0.5, "loss": 2.0}, {"epoch": 2, "val_accuracy": 0.25, "loss": 1.0}]
    assert repr(TrainResult(own_net())) == "TrainResult(OwnNet, 0 epochs)"
    said = "TrainResult(Sequential, 2 epochs, the weights of epoch 1, val accuracy 50.0%)"
    assert repr(TrainResult(nn.Sequential(), history, 1)) == said


def test_occlusion():
    labels = np.arange(4) % 2
    square = Square(7, 7 / 48, "black", np.arange(2), np.arange(2))
    right = np.array([[1, 1, 1, 1], [1, 0, 1, 1], [0, 0, 0, 0], [1, 1, 1, 1]], bool)
    whole = square_scores(square, right, labels, 2, complete=True)
    worst = square_scores(square, right[:, :1], labels, 2, complete=False)
    assert repr(whole) == "SquareScores(7 px black at 4 places: mean 68.8%, worst 50.0%)"
    assert repr(worst) == "SquareScores(7 px black at 4 places: worst 75.0%)"
    found = OcclusionMetrics(
        clean=0.75,
        clean_right=right[:, 0],
        labels=labels,
        squares=(whole, worst),
        bands={"eyes": BandScores(3, 9, 0.5, right[:, 0])},
        size=(48, 48),
        classes=2,
        forwards=99,
    )
    said = "OcclusionMetrics(4 images: clean 75.0%, 2 squares, mean 68.8%, worst 50.0% to 75.0%, without eyes 50.0%)"
    assert repr(found) == said


def test_points_of_a_batch():
    images, labels = torch.zeros(3, 1, 20, 20, dtype=torch.uint8), [0, 1, 2]
    found = PointSearch(candidates=4).run(own_net(), images, labels)
    said = f"mean p(label) {found.p_clean.mean():.3f} → {found.p_point.mean():.3f}, {found.queries.sum()} queries"
    assert repr(found) == f"PointResult(3 images, 3 mined, 1 each, {said})"
    assert repr(PointResult.empty(2, 3, 1)) == "PointResult(2 images, 0 mined, 3 each)"
