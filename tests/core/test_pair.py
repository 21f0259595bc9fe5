"""Two networks as one."""

import pytest
import torch

from pasm_aug.core.pair import Pair
from pasm_aug.models import build_model, load_model, save_model
from pasm_aug.search.point_search import PointSearch
from pasm_aug.training.evaluation import logits_of
from tests.shapes import Shapes, own_net


def test_it_answers_with_the_mean_of_both():
    a, b, images = own_net(0), own_net(1), torch.rand(5, 1, 20, 20)
    pair = Pair(a, b)
    assert torch.equal(pair(images), torch.stack([a(images), b(images)]).mean(0))
    assert torch.equal(pair(images, apart=True), torch.stack([a(images), b(images)]))
    assert [name for name, _ in pair.named_children()] == ["a", "b"]


def test_it_is_one_network_to_all_that_take_one(tmp_path):
    pair = build_model("pair:small", 3, seed=4)
    assert not torch.equal(pair.a.fc.weight, pair.b.fc.weight)
    assert torch.equal(pair.a.fc.weight, build_model("pair:small", 3, seed=4).a.fc.weight)
    save_model(tmp_path, pair, {"architecture": "pair:small", "classes": ["x", "y", "z"]})
    again, data = load_model(tmp_path), Shapes(12)
    assert torch.equal(logits_of(pair, data, device="cpu"), logits_of(again, data, device="cpu"))
    images = torch.from_numpy(data.images)[:, None]
    found = PointSearch(budget=4, device="cpu").run(again, images[:4], torch.tensor([0, 1, 2, 0]))
    assert (found.p_point[:, 0] <= found.p_clean).all()


def test_both_start_from_the_weights_of_one(tmp_path):
    save_model(tmp_path, build_model("small", 3, seed=9), {"architecture": "small", "classes": ["x", "y", "z"]})
    pair = build_model("pair:small", 3, weights=str(tmp_path))
    assert torch.equal(pair.a.conv1.weight, pair.b.conv1.weight)


def test_what_is_no_pair_is_refused():
    net = own_net()
    with pytest.raises(ValueError, match="must be two networks, got the same one twice"):
        Pair(net, net)
    with pytest.raises(TypeError, match=r"b of a Pair must be a torch\.nn\.Module, got NoneType"):
        Pair(net, None)
    with pytest.raises(ValueError, match="a and b of a Pair must have the same preprocess"):
        Pair(build_model("small", 3), own_net())
    with pytest.raises(ValueError, match=r"model must be 'small', .*'pair:'"):
        build_model("pair:tiny", 3)
