import pytest
import torch

from pasm_aug.training.guards import DivergedError, OutOfMemoryError, memory_advice
from pasm_aug.training.losses import distillation_loss
from pasm_aug.training.trainer import train
from tests.shapes import OwnNet, Shapes, own_net

QUICK = {"epochs": 3, "lr": 0.05, "batch_size": 15, "device": "cpu", "progress": False}  # four steps an epoch


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def corrupt(value, at):
    """The loss, which is ``value`` from its ``at``-th call on, from 0."""
    calls = []

    def loss(student, teacher, target):
        calls.append(1)
        return distillation_loss(student, teacher, target) * (value if len(calls) > at else 1.0)

    return loss


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("step", [4, 6, 7])  # the first, one in the middle and the last of the second epoch
@pytest.mark.parametrize("options", [{}, {"ema": 0.5}, {"val": Shapes(9, seed=1), "patience": 2}, {"accumulate": 2}])
def test_a_loss_that_is_no_number_leaves_the_weights_of_the_last_good_epoch(value, step, options):
    first = train(own_net(), Shapes(), **(QUICK | {"epochs": 1, "schedule": "constant"} | options))
    model, parts = own_net(), options.get("accumulate", 1)
    with pytest.raises(DivergedError, match=rf"the loss became {value} in epoch 2.*weights are those of epoch 1") as e:
        train(model, Shapes(), loss=corrupt(value, step * parts), **(QUICK | {"schedule": "constant"} | options))
    result = e.value.result
    assert result.model is model
    assert torch.equal(weights(model), weights(first.model))
    assert result.epoch == len(result.history) == 1
    assert result.history[0]["loss"] == first.history[0]["loss"]
    assert not model.training


def test_in_the_first_epoch_the_weights_stay_as_they_came():
    model = own_net()
    with pytest.raises(DivergedError, match="weights are those of epoch 0") as error:
        train(model, Shapes(), loss=corrupt(float("nan"), 2), **QUICK)
    assert torch.equal(weights(model), weights(own_net()))
    assert error.value.result.history == []


@pytest.mark.parametrize("options", [{}, {"ema": 0.5}])
def test_weights_corrupted_by_an_epochs_last_step_are_noticed_though_its_loss_was_good(options):
    class Bursting(torch.optim.SGD):
        calls = 0

        def step(self, closure=None):
            self.calls += 1
            super().step()
            if self.calls == 8:  # the last of the second epoch
                with torch.no_grad():
                    self.param_groups[0]["params"][0].fill_(float("inf"))

    options = QUICK | {"optimizer": lambda p: Bursting(p, lr=0.05), "schedule": "constant"} | options
    first, model = train(own_net(), Shapes(), **(options | {"epochs": 1})), own_net()
    with pytest.raises(DivergedError, match=r"in epoch 2.*weights are those of epoch 1") as error:
        train(model, Shapes(), **(options | {"epochs": 2}))
    assert torch.equal(weights(model), weights(first.model))
    assert error.value.result.epoch == 1


def test_a_validation_loss_that_is_no_number_is_noticed():
    class Fragile(OwnNet):
        def forward(self, x):
            x = super().forward(x)
            return x if self.training else x * float("nan")

    with pytest.raises(DivergedError, match="the validation loss became nan in epoch 1"):
        train(Fragile(), Shapes(), val=Shapes(9), **QUICK)


@pytest.mark.parametrize("ema", [None, 0.5])
def test_a_training_resumed_within_an_epoch_goes_back_to_the_last_good_one_too(tmp_path, ema):
    class Killed(Exception):
        pass

    def dies(student, teacher, target):
        dies.left -= 1
        if dies.left < 0:
            raise Killed
        return distillation_loss(student, teacher, target)

    dies.left, options = 6, QUICK | {"schedule": "constant", "ema": ema}
    first = train(own_net(), Shapes(), **(options | {"epochs": 1}))
    with pytest.raises(Killed):
        train(own_net(), Shapes(), loss=dies, checkpoint=tmp_path / "c", checkpoint_seconds=0, **options)
    model = own_net(4)
    with pytest.raises(DivergedError, match="weights are those of epoch 1"):
        train(model, Shapes(), loss=corrupt(float("nan"), 1), checkpoint=tmp_path / "c", **options)
    assert torch.equal(weights(model), weights(first.model))


class Hungry(OwnNet):
    def forward(self, x):
        torch.empty(10**15)  # four petabytes
        return super().forward(x)


def test_too_little_memory_comes_with_advice():
    with pytest.raises(OutOfMemoryError, match=r"30 images in 2 part.*accumulate=4 .*precision='bf16'.*--image-size"):
        train(Hungry(), Shapes(), **(QUICK | {"batch_size": 30, "accumulate": 2}))


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
                                   RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")])  # fmt: skip
def test_the_allocators_errors_are_known(error):
    with pytest.raises(OutOfMemoryError) as found, memory_advice(8, 1):
        raise error
    assert found.value.__cause__ is error


@pytest.mark.parametrize("error", [RuntimeError("shapes cannot be multiplied"), ValueError("labels"), KeyError("x")])
def test_other_errors_pass_as_they_are(error):
    with pytest.raises(type(error)) as found, memory_advice(8, 1):
        raise error
    assert found.value is error
