"""Options of a training: early stop, balanced sampling; and what they cannot be."""

import numpy as np
import pytest
import torch
from torch.utils.data import Subset

from pasm_aug.training.evaluation import evaluate
from pasm_aug.training.losses import distillation_loss
from pasm_aug.training.trainer import train
from tests.shapes import Shapes, own_net

QUICK = {"epochs": 3, "lr": 0.05, "batch_size": 16, "device": "cpu", "progress": False}


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_patience_stops_in_time_and_returns_the_best_epoch():
    val = Shapes(30, seed=3)
    options = QUICK | {"epochs": 30, "schedule": "constant", "val": val}
    whole = train(own_net(), Shapes(30), **options)
    accuracies = [row["val_accuracy"] for row in whole.history]
    for patience in (1, 2, 4):
        result = train(own_net(), Shapes(30), patience=patience, **options)
        best = end = 0
        while end < 30 and end - best <= patience:  # what a person would do with the table
            best = best if accuracies[end] <= accuracies[best] else end
            end += 1
        end = min(end, best + patience + 1)
        assert [row["val_accuracy"] for row in result.history] == accuracies[:end]
        assert result.epoch == best + 1
        assert result.history[best]["val_accuracy"] == max(row["val_accuracy"] for row in result.history)
        upto = train(own_net(), Shapes(30), **(options | {"epochs": best + 1}))
        assert torch.equal(weights(result.model), weights(upto.model))
        assert evaluate(result.model, val, device="cpu").accuracy == accuracies[best]


def test_balanced_sampling_shows_a_rare_class_as_often_as_the_others():
    data, seen = Shapes(90), []
    rare = Subset(data, [i for i in range(90) if i % 3 or i < 9])  # 3 squares, 30 crosses, 30 rings

    def loss(student, teacher, target):
        seen.extend(target.tolist())
        return distillation_loss(student, teacher, target)

    runs = [train(own_net(), rare, sampling="balanced", loss=loss, **(QUICK | {"epochs": 20})) for _ in range(2)]
    counts = np.bincount(seen[: len(seen) // 2])
    expected = counts.sum() / 3
    assert counts.sum() > 20 * 60
    assert ((counts - expected) ** 2 / expected).sum() < 13.8  # chi-square of 2 degrees of freedom, at one in 1000
    assert torch.equal(weights(runs[0].model), weights(runs[1].model))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"accumulate": 0}, "accumulate must be at least 1, got 0"),
        ({"sampling": "weighted"}, "sampling must be one of shuffle, balanced, got 'weighted'"),
        ({"ema": 1.0}, r"ema must be a decay in \(0, 1\) or None, got 1.0"),
        ({"ema": 0}, "ema must be"),
        ({"patience": 2}, "patience must be at least 1 and needs a validation split"),
        ({"patience": 0, "val": Shapes(6)}, "patience must be at least 1"),
        ({"schedule": "linear"}, "schedule must be one of"),
        ({"warmup": 9}, "warmup must lie in 0…3"),
        ({"sampling": "balanced", "data": [(np.zeros((20, 20), np.uint8), -1)] * 4}, r"labels must lie in 0…2"),
    ],
)
def test_mistakes_in_the_newer_options_are_named(options, message):
    data = options.pop("data", Shapes())
    with pytest.raises(ValueError, match=message):
        train(own_net(), data, **QUICK, **options)
