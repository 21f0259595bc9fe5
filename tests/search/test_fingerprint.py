import pytest
import torch
from torch import nn

from pasm_aug.search.fingerprint import describe_state, make_fingerprint
from pasm_aug.search.point_search import PointSearch
from tests.shapes import own_net


def fingerprint_of(teacher, preprocess=None, search=None):
    search = search or PointSearch()
    with search.objective_of(teacher, preprocess) as objective:
        return make_fingerprint(objective, search, (1, 20, 20))


def test_describe_state_sees_weights_architecture_and_ignores_wrappers():
    first = describe_state(own_net(0))
    assert first == describe_state(own_net(0))
    changed = own_net(0)
    changed.head.bias.data[0] += 1
    assert describe_state(changed)["weights"] != first["weights"]
    eps = [describe_state(nn.Sequential(nn.BatchNorm2d(3, eps=e)))["architecture"] for e in (1e-5, 1e-3)]
    assert eps[0] != eps[1]
    assert describe_state(nn.DataParallel(own_net(0)))["weights"] == first["weights"]


def test_a_fingerprint_sees_what_weights_alone_do_not():
    def fingerprint(teacher, preprocess=None, search=None):
        found = fingerprint_of(teacher, preprocess, search or PointSearch())
        return found["teacher"]["probe_logits"], found["search"]

    first = fingerprint(own_net())
    assert fingerprint(own_net()) == first
    assert fingerprint(own_net(), lambda x: x.float() / 255)[0] != first[0]
    assert fingerprint(own_net(), search=PointSearch(batch_size=3, device="cpu")) == first
    assert fingerprint(own_net(), search=PointSearch(seed=1))[1] != first[1]


def test_it_leaves_the_mode_and_needs_a_preprocessing():
    teacher = own_net().train()
    fingerprint_of(teacher)
    assert teacher.training
    assert all(p.grad is None for p in teacher.parameters())
    with pytest.raises(ValueError, match="preprocess"):
        fingerprint_of(nn.Conv2d(1, 2, 20))
    teacher.head.bias.data[:] = torch.nan
    with pytest.raises(ValueError, match="finite"):
        fingerprint_of(teacher)
