"""One step, and what a training makes of it, against a plain loop in torch."""

import functools
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn
from torchvision.transforms import v2

from pasm_aug.training.distillation import Distillation
from pasm_aug.training.loading import EpochSampler
from pasm_aug.training.losses import distillation_loss
from pasm_aug.training.method import Plan
from pasm_aug.training.steps import TrainingStep
from pasm_aug.training.student_input import StudentInput
from pasm_aug.training.trainer import train
from pasm_aug.transforms.erase import PointAdversarialErase
from pasm_aug.transforms.paired_view import PairedView
from tests.shapes import OwnNet, Shapes, own_net

QUICK = {"epochs": 2, "lr": 0.05, "batch_size": 16, "device": "cpu", "progress": False}


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def plain_loop(data, loss, *, epochs=2, lr=0.05, batch_size=16, weight_decay=1e-4, seed=0, decay=None):
    """Weights after a training as one would write it down by hand; with ``decay`` their moving average."""
    model, average = own_net(), None
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9, weight_decay=weight_decay)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [1, 2])  # 0.6 and 0.85 of two epochs
    sampler = EpochSampler(len(data), batch_size, seed=seed, least=2)
    images, labels = torch.from_numpy(data.images)[:, None], torch.from_numpy(data.labels)
    for epoch in range(epochs):
        sampler.epoch = epoch
        for batch in sampler:
            index = [i for _, i in batch]
            optimizer.zero_grad()
            loss(model(images[index].float() / 127.5 - 1), labels[index], images[index]).backward()
            optimizer.step()
            now = weights(model)
            if decay:
                average = now if average is None else decay * average + (1 - decay) * now
        scheduler.step()
    return weights(model) if average is None else average


def test_a_training_is_what_one_would_write_by_hand():
    expected = plain_loop(Shapes(60), lambda logits, labels, _: nn.functional.cross_entropy(logits, labels))
    assert weights(train(own_net(), Shapes(60), **QUICK).model).allclose(expected, atol=1e-6)


@pytest.mark.parametrize("decay", [0.5, 0.9, 0.999])
def test_the_moving_average_is_that_of_an_independent_loop(decay):
    cross_entropy = lambda logits, labels, _: nn.functional.cross_entropy(logits, labels)  # noqa: E731
    expected = plain_loop(Shapes(60), cross_entropy, decay=decay)
    found = weights(train(own_net(), Shapes(60), ema=decay, **QUICK).model)
    assert found.allclose(expected, atol=1e-6)
    assert not found.allclose(plain_loop(Shapes(60), cross_entropy), atol=1e-4)


def test_the_moving_average_is_what_validation_sees():
    val = Shapes(30, seed=1)
    result = train(own_net(), Shapes(60), val=val, ema=0.9, **QUICK)
    with torch.no_grad():
        logits = result.model(result.model.preprocess(torch.from_numpy(val.images)[:, None]))
    expected = nn.functional.cross_entropy(logits, torch.from_numpy(val.labels))
    assert result.history[-1]["val_loss"] == pytest.approx(float(expected), abs=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("balance", [None, torch.tensor([0.5, 1.0, 3.0])])
def test_smoothing_class_weights_and_a_teacher_give_torchs_own_losses(smoothing, balance):
    teacher = own_net(7)
    entropy = nn.CrossEntropyLoss(balance, label_smoothing=smoothing, reduction="none")

    def loss(logits, labels, images):
        with torch.no_grad():
            clean = teacher(images.float() / 127.5 - 1)
        return 2 * entropy(logits, labels).mean() + 0.5 * nn.functional.mse_loss(logits, clean)

    ours = functools.partial(distillation_loss, alpha=2, beta=0.5, label_smoothing=smoothing, class_weights=balance)
    for reuse in (None, False):
        found = train(own_net(), Shapes(60), teacher=teacher, loss=ours, reuse_logits=reuse, **QUICK).model
        assert weights(found).allclose(plain_loop(Shapes(60), loss), atol=1e-5)


@given(st.integers(2, 40), st.integers(2, 20), st.integers(1, 25), st.booleans(), st.booleans())
@example(33, 16, 3, True, False)
@example(3, 16, 2, False, True)
@settings(max_examples=25, deadline=None)
def test_a_batch_in_parts_is_the_same_step(length, batch_size, parts, taught, balanced):
    weights_of_classes = torch.tensor([0.2, 1.0, 3.0]) if balanced else None
    options = QUICK | {"batch_size": batch_size, "teacher": own_net(7) if taught else None}
    options["loss"] = functools.partial(distillation_loss, class_weights=weights_of_classes)
    whole = train(own_net(), Shapes(length), **options)
    cut = train(own_net(), Shapes(length), accumulate=parts, **options)
    assert weights(whole.model).allclose(weights(cut.model), atol=1e-5)
    for name in ("loss", "running_accuracy"):
        assert whole.history[-1][name] == pytest.approx(cut.history[-1][name], abs=1e-5)


class Sized(OwnNet):
    def forward(self, x):
        self.sizes.append(len(x))
        return super().forward(x)


@pytest.mark.parametrize(("length", "parts", "sizes"), [(7, 3, [3, 2, 2]), (5, 4, [3, 2]), (8, 2, [4, 4]), (3, 9, [3])])
def test_every_part_holds_two_images_at_least_for_the_sake_of_batch_statistics(length, parts, sizes):
    model = Sized()
    model.sizes = []
    train(model, Shapes(length), **(QUICK | {"epochs": 1, "accumulate": parts}))
    assert model.sizes == sizes


def test_a_step_returns_the_sums_of_the_loss_of_the_hits_and_of_the_images():
    accelerator, model, data = Accelerator(cpu=True), own_net(), Shapes(10)
    images, labels = torch.from_numpy(data.images)[:, None], torch.from_numpy(data.labels)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    plan = Plan(
        model=model,
        student=model,
        dataset=data,
        transform=None,
        sampler=EpochSampler(10, 10),
        inputs=StudentInput(model.preprocess),
        teacher=None,
        autocast=nullcontext,
        device=accelerator.device,
        epochs=1,
        seed=0,
        workers=0,
    )
    method = Distillation()
    method.setup(plan)
    step = TrainingStep(accelerator, optimizer, plan, method, accumulate=3)
    loss, hits, count, *area = step([images], labels, torch.arange(10), 10).tolist()
    assert area == [0, 0]  # nothing erases in the step
    logits = model(model.preprocess(images))
    assert loss == pytest.approx(10 * nn.functional.cross_entropy(logits, labels).item(), rel=1e-5)
    assert (hits, count) == (int((logits.argmax(1) == labels).sum()), 10)
    gradient = torch.autograd.grad(nn.functional.cross_entropy(logits, labels), list(model.parameters()))
    for weight, expected in zip(model.parameters(), gradient, strict=True):
        assert weight.grad.allclose(expected, atol=1e-6)


class Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.net, self.images = own_net(7), 0

    def forward(self, x):
        self.images += len(x)
        return self.net(x)


@pytest.mark.parametrize("augment", [None, PairedView(PointAdversarialErase(None, p=1.0)), PairedView(None)])
@pytest.mark.parametrize("options", [{}, {"sampling": "balanced"}, {"accumulate": 3}, {"workers": 1}])
def test_known_logits_train_the_same_for_one_pass_of_the_teacher(augment, options):
    queried, known = Counting(), Counting()
    options = QUICK | {"epochs": 3, "augment": augment} | options
    each = train(own_net(), Shapes(41), teacher=queried, reuse_logits=False, **options)
    once = train(own_net(), Shapes(41), teacher=known, **options)
    assert weights(each.model).allclose(weights(once.model), atol=1e-5)
    assert queried.images == 3 * 41
    assert known.images == 41 + 1  # the first image tells the number of classes
    for name in ("loss", "running_accuracy", *(["erased_share"] if augment and augment.erase else [])):
        assert [row[name] for row in each.history] == pytest.approx([row[name] for row in once.history], abs=1e-5)


def test_known_logits_are_refused_where_the_geometry_changes_the_image():
    view = PairedView(None, v2.RandomHorizontalFlip())
    with pytest.raises(ValueError, match="reuse_logits must be False or None"):
        train(own_net(), Shapes(), augment=view, teacher=own_net(7), reuse_logits=True, **QUICK)
    teacher = Counting()
    train(own_net(), Shapes(41), augment=view, teacher=teacher, **QUICK)
    assert teacher.images == 2 * 41


def states(model):
    return {
        "keys": list(model.state_dict()),
        "own": sorted(name for name in vars(model) if vars(model)[name] is not None),
        "strides": [p.stride() for p in model.parameters()],
        "kind": [type(module) for module in model.modules()],
    }


def last(model):
    return model.to(memory_format=torch.channels_last)


@pytest.mark.parametrize("make", [own_net, lambda: last(own_net())], ids=["contiguous", "channels-last"])
@pytest.mark.parametrize(
    "options",
    [{"channels_last": True}, {"precision": "bf16"}, {"ema": 0.9}, {},
     pytest.param({"compile": True}, marks=pytest.mark.slow),
     pytest.param({"compile": True, "channels_last": True, "ema": 0.5}, marks=pytest.mark.slow)],
    ids=str,
)  # fmt: skip
def test_the_callers_network_stays_as_it_was_and_learns_the_same(make, options):
    model, plain = make(), make()
    before = states(model)
    result = train(model, Shapes(36), val=Shapes(12, seed=1), **(QUICK | options))
    assert result.model is model
    assert states(model) == before
    expected = train(plain, Shapes(36), **(QUICK | {"ema": options.get("ema")})).model
    assert weights(model).allclose(weights(expected), atol=0.02 if "precision" in options else 1e-4)
    images = model.preprocess(torch.from_numpy(Shapes(4).images)[:, None])
    other = own_net()
    other.load_state_dict(model.state_dict())
    assert model(images).dtype == torch.float32
    assert np.allclose(model(images).detach(), other.eval()(images).detach(), atol=1e-5)


def test_a_network_that_was_compiled_by_its_owner_stays_so():
    model = own_net()
    model.compile(backend="eager")
    call = model._compiled_call_impl
    train(model, Shapes(36), **QUICK)
    assert model._compiled_call_impl is call


def test_bf16_computes_in_bf16_and_keeps_weights_and_loss_in_float32():
    seen = []

    def loss(student, teacher, target):
        seen.append((student.dtype, teacher.dtype))
        return distillation_loss(student, teacher, target)

    class Watching(OwnNet):
        def forward(self, x):
            x = self.head(self.features(x))
            seen.append(x.dtype)
            return x

    model = train(Watching(), Shapes(20), precision="bf16", teacher=own_net(), loss=loss, **QUICK).model
    assert set(seen) == {torch.bfloat16, (torch.float32, torch.float32)}
    assert {p.dtype for p in model.parameters()} == {torch.float32}


@pytest.mark.parametrize(("precision", "message"), [("fp16", "precision 'fp16' needs a GPU"),
                                                    ("fp8", "precision must be one of no, bf16, fp16")])  # fmt: skip
def test_a_precision_that_cannot_be_is_named(precision, message):
    if precision == "fp16" and torch.cuda.is_available():
        pytest.skip("fp16 works on the GPU")
    with pytest.raises(ValueError, match=message):
        train(own_net(), Shapes(), precision=precision, **QUICK)
