import functools
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import Subset
from torchvision.transforms import v2

from pasm_aug.training.evaluation import evaluate
from pasm_aug.training.guards import DivergedError
from pasm_aug.training.losses import distillation_loss
from pasm_aug.training.method import Outcome
from pasm_aug.training.trainer import train
from pasm_aug.transforms.erase import PointAdversarialErase
from pasm_aug.transforms.paired_view import PairedView
from tests.shapes import OwnNet, Shapes, own_net

QUICK = {"epochs": 3, "lr": 0.05, "batch_size": 16, "device": "cpu", "progress": False}


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_a_network_of_ones_own_learns_a_data_set_without_faces():
    result = train(own_net(), Shapes(120), val=Shapes(60, seed=1), **(QUICK | {"epochs": 12}))
    assert evaluate(result.model, Shapes(90, seed=2)).accuracy > 0.9
    assert [row["epoch"] for row in result.history] == list(range(1, 13))
    assert result.history[-1]["lr"] == pytest.approx(0.0005)


class Plain:
    """A method of a user's own: five calls, no ``repr``."""

    dies = None

    def __init__(self, weight=1.0, act=torch.relu):
        self.weight, self.act = weight, act

    def setup(self, plan):
        self.plan = plan

    def epoch_start(self, epoch):
        self.epoch = epoch

    def loss(self, batch):
        if self.epoch == self.dies:
            raise KeyboardInterrupt
        logits = self.plan.student(self.plan.inputs.plain(batch.images[0]))
        return Outcome(self.weight * torch.nn.functional.cross_entropy(logits, batch.labels), logits)

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


class Named(Plain):
    def __repr__(self):
        return f"Named({self.weight}, {self.act})"  # which has the address of a lambda


@pytest.mark.parametrize("kind", [Plain, Named])
def test_a_checkpoint_goes_on_with_another_object_of_the_same_method(tmp_path, monkeypatch, kind):
    def method(weight=1.0):
        return kind(weight, lambda x: x)

    whole = train(own_net(), Shapes(), method=method(), **QUICK)
    run = {"checkpoint": tmp_path / "c", "checkpoint_seconds": 0, **QUICK}
    monkeypatch.setattr(kind, "dies", 2)
    kept = method()
    with pytest.raises(KeyboardInterrupt):
        train(own_net(), Shapes(), method=kept, **run)
    monkeypatch.undo()
    with pytest.raises(ValueError, match=r"method.* was .*1.0.*, now .*2.0"):
        train(own_net(), Shapes(), method=method(2.0), **run)
    with pytest.raises(ValueError, match=r"method.* was .*, now "):
        train(own_net(), Shapes(), method={Plain: Named, Named: Plain}[kind](1.0, lambda x: x), **run)
    assert torch.equal(weights(train(own_net(1), Shapes(), method=method(), **run).model), weights(whole.model))


def test_training_is_bit_identical_for_a_seed_and_leaves_the_random_state():
    state = torch.get_rng_state()
    erase = PairedView(PointAdversarialErase(None, p=1.0), v2.RandomHorizontalFlip())
    runs = [train(own_net(), Shapes(), augment=erase, seed=s, **QUICK).model for s in (0, 0, 1)]
    assert torch.equal(weights(runs[0]), weights(runs[1]))
    assert not torch.equal(weights(runs[0]), weights(runs[2]))
    assert torch.equal(state, torch.get_rng_state())


def test_an_interrupted_training_goes_on_bit_identically(tmp_path):
    erase = PairedView(PointAdversarialErase(None, p=1.0), None)
    whole = train(own_net(), Shapes(), augment=erase, **QUICK)

    class Killed(Exception):
        pass

    def dying(student, teacher, target):
        dying.calls += 1
        if dying.calls == 6:  # in the middle of the second epoch
            raise Killed
        return distillation_loss(student, teacher, target)

    dying.calls = 0
    path = tmp_path / "checkpoint"
    with pytest.raises(Killed):
        train(own_net(), Shapes(), augment=erase, checkpoint=path, loss=dying, **QUICK)
    later = train(own_net(5), Shapes(), augment=erase, checkpoint=path, **QUICK)
    assert torch.equal(weights(whole.model), weights(later.model))
    assert [row["loss"] for row in whole.history] == [row["loss"] for row in later.history]


class Recorder(nn.Module):
    """A frozen teacher that keeps what it was shown."""

    def __init__(self):
        super().__init__()
        self.net, self.seen, self.modes = own_net(7), [], []

    def forward(self, x):
        self.seen.append(x.clone())
        self.modes.append(self.training)
        return self.net(x)


def test_the_teacher_sees_the_clean_twin_in_eval_mode_and_stays_as_it_was():
    teacher, shown = Recorder().train(), []

    def loss(student, clean, target):
        shown.append((student, clean, target))
        return distillation_loss(student, clean, target, beta=0.5)

    student = OwnNet()
    student.register_forward_pre_hook(lambda _, inputs: shown.append(inputs[0].clone()))
    before = weights(teacher)
    geometry = v2.RandomHorizontalFlip()
    train(student, Shapes(32), augment=PairedView(PointAdversarialErase(None, p=1.0, value=255), geometry),
          teacher=teacher, loss=loss, **(QUICK | {"epochs": 1}))  # fmt: skip
    erased = [x for x in shown if isinstance(x, torch.Tensor)]
    assert torch.equal(weights(teacher), before)
    assert teacher.training
    assert not any(teacher.modes)
    originals = {x.numpy().tobytes() for x in OwnNet().preprocess(torch.from_numpy(Shapes(32).images))}
    for student_batch, teacher_batch in zip(erased, teacher.seen, strict=True):
        for dark, clean in zip(student_batch, teacher_batch, strict=True):
            flipped = clean.flip(-1)
            assert clean.numpy().tobytes() in originals or flipped.numpy().tobytes() in originals
            differing = (dark != clean).nonzero()
            assert len(differing)
            assert (dark[tuple(differing.T)] == 1).all()  # 255 after the preprocessing
            assert (differing.max(0).values - differing.min(0).values).max() < 3  # 31/224 of 20 pixels


def test_without_a_teacher_the_loss_is_cross_entropy_alone():
    seen = []

    def loss(student, clean, target):
        seen.append(clean)
        return distillation_loss(student, clean, target)

    train(own_net(), Shapes(), loss=loss, **(QUICK | {"epochs": 1}))
    assert seen
    assert set(seen) == {None}


def test_own_optimizer_and_scheduler_are_used():
    made = []

    def schedule(optimizer):
        made.append(optimizer)
        return torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)

    result = train(own_net(), Shapes(), optimizer=functools.partial(torch.optim.AdamW, lr=1e-3), scheduler=schedule,
                   **QUICK)  # fmt: skip
    assert isinstance(made[0], torch.optim.AdamW)
    assert [row["lr"] for row in result.history] == [1e-3, 5e-4, 2.5e-4]


@pytest.mark.parametrize(
    ("options", "data", "message"),
    [
        ({"epochs": 0}, Shapes(), "epochs"),
        ({"batch_size": 1}, Shapes(), "batch_size"),
        ({"device": "tpu"}, Shapes(), "device"),
        ({}, Subset(Shapes(), []), "at least 2"),
        ({}, [(np.zeros((20, 20), np.uint8), 3)] * 4, r"labels must lie in 0…2"),
        ({}, [(np.zeros((20, 20), np.uint8), -1)] * 4, r"labels must lie in 0…2"),
    ],
)
def test_mistakes_are_named(options, data, message):
    with pytest.raises(ValueError, match=message):
        train(own_net(), data, **(QUICK | options))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dataset": "faces/train"}, r"dataset must be a data set, got a path: pass ImageFolder\('faces/train'\)"),
        ({"val": Path("faces")}, "val must be a data set, got a path"),
        ({"epochs": 1.5}, "epochs must be a whole number, got 1.5"),
        ({"batch_size": "32"}, "batch_size must be a whole number, got '32'"),
        ({"method": "asm"}, r"method must be a training method such as ASM\(\), got 'asm'"),
    ],
)
def test_types_that_cannot_be_are_named(options, message):
    with pytest.raises(TypeError, match=message):
        train(own_net(), **({"dataset": Shapes()} | QUICK | options))


@pytest.mark.parametrize("off", [torch.no_grad, torch.inference_mode])
def test_it_trains_where_gradients_are_off(off):
    network, other = own_net(), own_net()
    with off():
        train(network, Shapes(), **QUICK)
    train(other, Shapes(), **QUICK)
    assert torch.equal(weights(network), weights(other))


def test_a_teacher_of_other_classes_is_refused():
    with pytest.raises(ValueError, match="another number of classes"):
        train(own_net(), Shapes(), teacher=own_net(num_classes=4), **QUICK)


def test_a_diverging_loss_stops_the_training():
    with pytest.raises(DivergedError, match="lower the learning rate"):
        train(own_net(), Shapes(), **(QUICK | {"lr": 1e30}))


class Dropping(OwnNet):
    """Draws random numbers in its forward pass, as VGG does."""

    def forward(self, x):
        return self.head(nn.functional.dropout(self.features(x), 0.5, self.training))


def dropping():
    with torch.random.fork_rng(devices=[]):
        model = Dropping()
    model.load_state_dict(own_net(3).state_dict())
    return model


def test_dropout_draws_from_the_seed_too_and_resumes_exactly(tmp_path):
    state = torch.get_rng_state()
    whole, again, other = (train(dropping(), Shapes(), seed=seed, **QUICK).model for seed in (0, 0, 1))
    assert torch.equal(weights(whole), weights(again))
    assert not torch.equal(weights(whole), weights(other))
    assert torch.equal(state, torch.get_rng_state())

    class Stop(Exception):
        pass

    class Ends(Shapes):
        reads = 0

        def __getitem__(self, index):
            Ends.reads += 1
            if Ends.reads == 150:
                raise Stop
            return super().__getitem__(index)

    with pytest.raises(Stop):
        train(dropping(), Ends(), checkpoint=tmp_path / "c", **QUICK)
    later = train(dropping(), Shapes(), checkpoint=tmp_path / "c", **QUICK).model
    assert torch.equal(weights(whole), weights(later))


def test_a_teacher_with_its_own_preprocessing_gets_it():
    class Teacher(Recorder):
        def preprocess(self, images):
            return images.float()

    teacher = Teacher()
    train(own_net(), Shapes(), teacher=teacher, **(QUICK | {"epochs": 1}))
    assert max(float(x.max()) for x in teacher.seen) == 230


def test_mixed_precision_leaves_the_callers_forward():
    model = own_net()
    train(model, Shapes(), precision="bf16", **(QUICK | {"epochs": 1}))
    assert "forward" not in vars(model)
    images = torch.randint(0, 256, (2, 1, 20, 20), dtype=torch.uint8)
    assert torch.equal(model(model.preprocess(images)), own_net_with(model)(model.preprocess(images)))


def own_net_with(model):
    other = OwnNet().eval()
    other.load_state_dict(model.state_dict())
    return other


def test_a_checkpoint_of_another_training_is_refused(tmp_path):
    class Stop(Exception):
        pass

    def dying(student, teacher, target):
        dying.calls += 1
        if dying.calls == 6:
            raise Stop
        return distillation_loss(student, teacher, target)

    dying.calls = 0
    with pytest.raises(Stop):
        train(own_net(), Shapes(), checkpoint=tmp_path / "c", loss=dying, **QUICK)
    for change in ({"lr": 0.01}, {"seed": 5}, {"epochs": 4}):
        with pytest.raises(ValueError, match=f"{next(iter(change))} was"):
            train(own_net(), Shapes(), checkpoint=tmp_path / "c", **(QUICK | change))
    with pytest.raises(ValueError, match="data was"):
        train(own_net(), Shapes(seed=9), checkpoint=tmp_path / "c", **QUICK)
