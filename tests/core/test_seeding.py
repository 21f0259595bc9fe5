"""torch's generators, seeded for a while; those of a GPU are left alone by what runs on the CPU."""

import torch

from pasm_aug.core.seeding import seeded
from pasm_aug.models import build_model
from pasm_aug.training.trainer import train
from tests.shapes import Shapes, own_net


def test_the_state_is_as_before_and_the_draws_follow_the_seed():
    before = torch.get_rng_state()
    draws = []
    for seed in (3, 3, 4):
        with seeded(seed):
            draws.append(torch.rand(4))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    with torch.random.fork_rng():
        torch.manual_seed(3)
        assert torch.equal(torch.rand(4), draws[0])


def test_nothing_on_the_cpu_reseeds_a_gpu(monkeypatch):
    seeds, network, data = [], own_net(), Shapes(12)
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeds.append)
    monkeypatch.setattr(torch.cuda, "manual_seed", seeds.append)
    build_model("small", 3, seed=5)
    train(network, data, epochs=1, batch_size=4, device="cpu", progress=False)
    assert seeds == []
