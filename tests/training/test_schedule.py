import warnings

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, MultiStepLR, SequentialLR

from pasm_aug.training.schedule import SCHEDULES, lr_factor, make_scheduler

SHAPES = st.tuples(st.integers(1, 12), st.integers(1, 20))  # steps an epoch, epochs


def sgd():
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)


def rates(optimizer, scheduler, steps):
    found = []
    with warnings.catch_warnings():  # torch's own SequentialLR passes an epoch where it warns of it
        warnings.simplefilter("ignore")
        for _ in range(steps):
            found.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
    return found


def ours(per_epoch, epochs, **options):
    optimizer = sgd()
    return rates(optimizer, make_scheduler(optimizer, per_epoch, epochs, **options), per_epoch * epochs)


@pytest.mark.parametrize(("epochs", "ends"), [(20, [12, 17]), (10, [6, 8]), (3, [2]), (1, [])])
def test_milestones_agree_with_torch_step_by_step(epochs, ends):
    optimizer = sgd()
    milestones = [end * 5 for end in ends]
    if epochs == 3:  # 0.6 and 0.85 of three epochs are the ends of the second and of the third
        milestones += [15]
    expected = rates(optimizer, MultiStepLR(optimizer, milestones, gamma=0.1), 5 * epochs)
    assert ours(5, epochs, schedule="milestones") == pytest.approx(expected)


@pytest.mark.parametrize(("per_epoch", "epochs"), [(7, 4), (1, 9), (3, 1)])
def test_cosine_agrees_with_torch_step_by_step(per_epoch, epochs):
    optimizer = sgd()
    expected = rates(optimizer, CosineAnnealingLR(optimizer, per_epoch * epochs), per_epoch * epochs)
    assert ours(per_epoch, epochs, schedule="cosine") == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("warmup", "epochs"), [(1, 4), (2, 5), (0.5, 3)])
def test_warm_up_and_cosine_agree_with_torch_step_by_step(warmup, epochs):
    per_epoch = 6
    rising = round(warmup * per_epoch)
    optimizer = sgd()
    parts = [
        LinearLR(optimizer, 1 / rising, total_iters=rising - 1),
        CosineAnnealingLR(optimizer, per_epoch * epochs - rising),
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        together = SequentialLR(optimizer, parts, milestones=[rising])
    expected = rates(optimizer, together, per_epoch * epochs)
    assert ours(per_epoch, epochs, schedule="cosine", warmup=warmup) == pytest.approx(expected, abs=1e-9)


@given(SHAPES, st.sampled_from(SCHEDULES), st.floats(0, 1), st.lists(st.floats(0, 1.2), max_size=4))
def test_the_factor_lies_between_0_and_1_and_rises_during_the_warm_up_alone(shape, schedule, share, milestones):
    per_epoch, epochs = shape
    options = {"schedule": schedule, "warmup": share * epochs, "milestones": milestones}
    factors = [lr_factor(step, per_epoch, epochs, **options) for step in range(per_epoch * epochs)]
    assert all(0 <= factor <= 1 for factor in factors)
    rising = share * epochs * per_epoch
    if schedule != "milestones" or not milestones:
        early = [factor for step, factor in enumerate(factors) if step < rising]
        assert early == sorted(early)
    late = [factor for step, factor in enumerate(factors) if step >= rising]
    assert late == sorted(late, reverse=True)


@given(SHAPES, st.integers(0, 300))
def test_constant_without_warm_up_is_1(shape, step):
    assert lr_factor(step, *shape, schedule="constant") == 1


def test_a_milestone_falls_on_an_epochs_end_and_the_first_epoch_keeps_its_rate():
    found = ours(4, 10, milestones=(0.01, 0.5))
    assert found == pytest.approx([1] * 4 + [0.1] * 16 + [0.01] * 20)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"schedule": "steps"}, "schedule must be one of milestones, cosine, constant, got 'steps'"),
     ({"warmup": -1}, "warmup must lie in 0…3"), ({"warmup": 4}, "warmup must lie in 0…3"),
     ({"warmup": float("nan")}, "warmup must lie")],
)  # fmt: skip
def test_mistakes_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        make_scheduler(sgd(), 5, 3, **options)
