import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import Subset

from pasm_aug.training.evaluation import count_outputs, evaluate, logits_of
from tests.shapes import Shapes, own_net


def test_evaluate_agrees_with_a_plain_loop_for_any_batch_size_and_keeps_the_mode():
    model, data = own_net(3).train(), Shapes(50, seed=4)
    logits = torch.cat([model(model.preprocess(torch.from_numpy(p)[None, None])) for p in data.images]).detach()
    target = torch.from_numpy(data.labels)
    for size in (1, 7, 64):
        scores = evaluate(model, data, batch_size=size)
        assert scores.count == 50
        assert scores.accuracy == pytest.approx((logits.argmax(1) == target).double().mean().item())
        assert scores.loss == pytest.approx(nn.functional.cross_entropy(logits, target).item(), abs=1e-5)
        table = np.zeros((3, 3), int)
        np.add.at(table, (data.labels, logits.argmax(1).numpy()), 1)
        assert scores.confusion == table.tolist()
        assert scores.per_class == pytest.approx((table.diagonal() / table.sum(1)).tolist())
    assert model.training


def test_a_class_without_images_has_no_recall():
    data = Subset(Shapes(30), [i for i in range(30) if i % 3])
    assert evaluate(own_net(), data).per_class[0] is None


@pytest.mark.parametrize(
    ("data", "message"),
    [(Subset(Shapes(), []), "empty"), ([(np.zeros((20, 20), np.uint8), 3)] * 4, r"labels must lie in 0…2")],
)
def test_mistakes_are_named(data, message):
    with pytest.raises(ValueError, match=message):
        evaluate(own_net(), data)


def test_the_answers_are_every_samples_label_and_prediction_in_order():
    model, data = own_net(3), Subset(Shapes(50, seed=4), list(range(49, -1, -2)))
    images = torch.from_numpy(data.dataset.images[data.indices])[:, None]
    expected = model(model.preprocess(images)).argmax(1).numpy()
    for size in (1, 7, None):
        predictions = evaluate(model, data, batch_size=size).predictions
        assert predictions.dtype == np.int64
        assert np.array_equal(predictions, [data.dataset.labels[data.indices], expected])


def test_logits_are_those_of_a_plain_forward_for_any_batch_size_and_workers():
    model, data = own_net(3).train(), Shapes(41, seed=4)
    with torch.no_grad():
        expected = model(model.preprocess(torch.from_numpy(data.images)[:, None]))
    for options in ({}, {"batch_size": 1}, {"batch_size": 40}, {"workers": 1}, {"preprocess": model.preprocess}):
        found = logits_of(model, data, device="cpu", **options)
        assert found.dtype == torch.float32
        assert not found.requires_grad
        assert found.allclose(expected, atol=1e-5)
    assert model.training


@pytest.mark.parametrize("classes", [1, 3, 6])
def test_outputs_are_counted(classes):
    assert count_outputs(own_net(num_classes=classes), Shapes(2)) == classes


def test_one_image_one_class_and_gaps_are_scored():
    data = Shapes(9)
    data.labels = np.array([0, 2, 5])[data.labels]
    scores = evaluate(own_net(num_classes=6), data)
    assert [i for i, recall in enumerate(scores.per_class) if recall is None] == [1, 3, 4]
    single = evaluate(own_net(), Shapes(1))
    assert (single.count, single.per_class[1:]) == (1, [None, None])
    assert single.mean_per_class == single.accuracy
