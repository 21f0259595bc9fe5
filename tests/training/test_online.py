"""Training with the adversary inside the step: the trainer's promises hold with it too."""

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from pasm_aug.search.online import OnlineAdversarialErase
from pasm_aug.training.losses import distillation_loss
from pasm_aug.training.trainer import train
from pasm_aug.transforms.paired_view import PairedView
from tests.shapes import Shapes, own_net

QUICK = {"epochs": 3, "lr": 0.05, "batch_size": 16, "device": "cpu", "progress": False}


def view(**options):
    return PairedView(OnlineAdversarialErase(**({"size": 7, "budget": 2} | options)), v2.RandomHorizontalFlip())


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


class Killed(Exception):
    pass


def dying(step):
    calls = 0

    def loss(student, teacher, target):
        nonlocal calls
        calls += 1
        if calls == step:
            raise Killed
        return distillation_loss(student, teacher, target)

    return loss


@pytest.mark.parametrize("step", [5, 7])  # the first of the second epoch, and one within it
@pytest.mark.parametrize("options", [{}, {"ema": 0.9, "accumulate": 2, "sampling": "balanced"}])
@pytest.mark.parametrize("square", [{}, {"size_range": (5, 8), "budget": 0, "p": 0.8}])
def test_an_interrupted_training_goes_on_bit_identically(tmp_path, step, options, square):
    options = QUICK | {"teacher": own_net(7), "checkpoint_seconds": 0} | options
    whole = train(own_net(), Shapes(), augment=view(**square), **options)
    path, parts = tmp_path / "checkpoint", options.get("accumulate", 1)
    with pytest.raises(Killed):
        train(own_net(), Shapes(), augment=view(**square), checkpoint=path, loss=dying(step * parts), **options)
    later = train(own_net(5), Shapes(), augment=view(**square), checkpoint=path, **options)
    assert torch.equal(weights(whole.model), weights(later.model))
    for name in ("loss", "erased_share"):
        assert [row[name] for row in whole.history] == [row[name] for row in later.history]
    for name, images in whole.gallery.state_dict().items():
        assert torch.equal(images, later.gallery.state_dict()[name])


def test_it_goes_on_only_with_the_same_adversary(tmp_path):
    train(own_net(), Shapes(), augment=view(), checkpoint=tmp_path / "c", **QUICK | {"epochs": 1})
    with pytest.raises(ValueError, match=r"adversary.budget was 2, now 3"):
        train(own_net(), Shapes(), augment=view(budget=3), checkpoint=tmp_path / "c", **QUICK | {"epochs": 1})


def test_worker_count_changes_nothing_and_two_trainings_share_nothing():
    both = view()
    runs = [train(own_net(), Shapes(), augment=both, workers=workers, **QUICK) for workers in (0, 2)]
    assert torch.equal(weights(runs[0].model), weights(runs[1].model))
    assert len(both.erase.table.places) == 0
    other = train(own_net(), Shapes(), augment=both, seed=1, **QUICK)
    assert not torch.equal(weights(runs[0].model), weights(other.model))


def test_the_student_sees_squares_and_the_teacher_whole_images():
    seen = {"student": [], "teacher": []}
    student, teacher = own_net(), own_net(7)
    student.register_forward_pre_hook(
        lambda net, inputs: seen["student"].append(inputs[0].detach().clone()) if net.training else None
    )
    teacher.register_forward_pre_hook(lambda net, inputs: seen["teacher"].append(inputs[0].clone()))
    result = train(student, Shapes(), augment=view(value=0), teacher=teacher, **QUICK)
    assert len(seen["student"]) == len(seen["teacher"]) == 3 * 4
    for erased, whole in zip(seen["student"], seen["teacher"], strict=True):
        changed = (erased != whole)[:, 0]
        assert bool((erased[:, 0][changed] == -1).all())  # black
        assert bool((changed.flatten(1).sum(1) <= 49).all())
        assert changed.any(2).sum(1).max() == 7
    assert [row["erased_share"] for row in result.history] == [pytest.approx(49 / 400, abs=1e-6)] * 3


def test_the_gallery_keeps_images_of_the_first_and_the_last_epoch():
    result = train(own_net(), Shapes(), augment=view(value=0), **QUICK)
    gallery, data = result.gallery, Shapes()
    assert gallery.samples.tolist() == [0, 8, 16, 25, 33, 42, 50, 59]
    for shown in (gallery.first, gallery.last):
        for image, index in zip(shown[:, 0].numpy(), gallery.samples, strict=True):
            whole = min((data.images[index], data.images[index][:, ::-1]), key=lambda w: np.count_nonzero(w != image))
            assert 0 < np.count_nonzero(whole != image) <= 49
    assert not torch.equal(gallery.first, gallery.last)


def test_a_network_that_is_another_is_refused():
    with pytest.raises(ValueError, match="model of OnlineAdversarialErase must be None or the network that is trained"):
        train(own_net(), Shapes(), augment=OnlineAdversarialErase(own_net(3)), **QUICK)
    model = own_net()
    train(model, Shapes(), augment=OnlineAdversarialErase(model), **QUICK | {"epochs": 1})


def test_a_view_alone_cannot_erase_in_the_step():
    image, label = Shapes()[0]
    with pytest.raises(ValueError, match="erase must be a transform, got one that erases in the training step"):
        view()(image, label)
