import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import Subset

from pasm_aug.evaluation import evaluate
from tests.shapes import Shapes, own_net


def test_evaluate_agrees_with_a_plain_loop_for_any_batch_size_and_keeps_the_mode():
    model, data = own_net(3).train(), Shapes(50, seed=4)
    logits = torch.cat([model(model.preprocess(torch.from_numpy(p)[None, None])) for p in data.pictures]).detach()
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
