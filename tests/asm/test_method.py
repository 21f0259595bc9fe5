"""ASM in the trainer: what it learns, and that the trainer's promises hold with it."""

import copy
from functools import partial

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset
from torchvision.transforms import v2

from pasm_aug.asm.class_thresholds import thresholds
from pasm_aug.asm.losses import tri_loss
from pasm_aug.asm.method import ASM, _moved
from pasm_aug.asm.options import AsmOptions
from pasm_aug.asm.subsets import CLEAN, NOISE, partition
from pasm_aug.core.errors import UserError
from pasm_aug.core.options import identity
from pasm_aug.core.pair import Pair
from pasm_aug.search.online import OnlineAdversarialErase
from pasm_aug.training.evaluation import logits_of
from pasm_aug.training.trainer import train
from pasm_aug.transforms.erase import PointAdversarialErase
from pasm_aug.transforms.paired_view import PairedView
from tests.shapes import Shapes, own_net

QUICK = {"epochs": 4, "lr": 0.05, "batch_size": 16, "device": "cpu", "progress": False}


class Noisy(Dataset):
    """Shapes of which a quarter bear a wrong label."""

    classes = Shapes.classes

    def __init__(self, length=80, seed=0):
        rng = np.random.default_rng(seed)
        self.shapes = Shapes(length, seed)
        self.true = self.shapes.labels
        self.flipped = rng.random(length) < 0.25
        self.labels = np.where(self.flipped, (self.true + rng.integers(1, 3, length)) % 3, self.true)

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return self.shapes[index][0], int(self.labels[index])


def pair(seed=0):
    return Pair(own_net(seed), own_net(seed + 1))


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def view(**options):
    return PairedView(PointAdversarialErase(None, **({"p": 1.0, "size": 5} | options)), v2.RandomHorizontalFlip())


class Killed(Exception):
    pass


class Dying(ASM):
    """Dies in its n-th step."""

    left = 0

    def loss(self, batch):
        self.left -= 1
        if not self.left:
            raise Killed
        return super().loss(batch)


def dying(step, **options):
    method = Dying(**options)
    method.left = step
    return method


def test_it_finds_wrong_labels_and_unlike_plain_training_does_not_learn_them():
    data, test, options = Noisy(300, seed=1), Shapes(150, seed=9), QUICK | {"epochs": 40}
    plain, mined = pair(), pair()
    train(plain, data, **options)
    method = train(mined, data, method=ASM(), **options).method
    found = method.partition
    assert data.flipped[found.noise].mean() > 0.8
    assert found.noise[data.flipped].mean() > 0.45
    assert 1 - data.flipped[found.clean].mean() > 0.9
    right = [
        float((logits_of(model, test, device="cpu").argmax(1).numpy() == test.labels).mean())
        for model in (plain, mined)
    ]
    assert right[1] > right[0] + 0.05


def test_a_warm_up_is_the_mean_of_two_cross_entropies():
    """With every label clean, a pair is two networks that are trained beside each other."""
    both, alone = pair(), [own_net(0), own_net(1)]
    method = train(both, Shapes(), method=ASM(warm_up=0.75, low=0.0, high=0.0), **QUICK).method
    assert method.record.epochs.tolist() == [3]
    assert method.partition.clean.all()
    for network in alone:
        half = {"loss": lambda student, _, target: torch.nn.functional.cross_entropy(student, target) / 2}
        train(network, Shapes(), **QUICK, **half)
    assert weights(both).allclose(torch.cat([weights(network) for network in alone]), atol=1e-6)


@pytest.mark.parametrize("probabilities", ["training", "evaluation"])
@pytest.mark.parametrize("combine", ["mean", "agree"])
def test_the_partition_of_an_epoch_is_that_of_the_networks_before_it(tmp_path, probabilities, combine):
    """Without augmentation and at rate 0 the training pass sees what an evaluation does."""
    model, data = pair(), Noisy()
    options = {"probabilities": probabilities, "combine": combine, "low": 0.99, "high": 1.0}
    method = train(model, data, method=ASM(**options), **QUICK | {"lr": 0.0}).method
    probs = np.stack([logits_of(net, data, device="cpu").softmax(1).numpy() for net in (model.a, model.b)])
    probs = probs.mean(0) if combine == "mean" else probs
    bounds = thresholds(probs, data.labels, low=0.99, high=1.0)
    expected = partition(probs, data.labels, bounds, combine=combine)
    assert np.bincount(expected.subset, minlength=3).min() > 0
    np.testing.assert_array_equal(method.partition.subset, expected.subset)
    np.testing.assert_allclose(method.partition.p_label, expected.p_label, atol=1e-6)
    assert method.record.epochs.tolist() == [1, 2, 3]
    np.testing.assert_array_equal(method.record.noise_counts, 3 * expected.noise)


class Remembering(ASM):
    """Keeps what is known, and what an evaluation says, at the start of each epoch."""

    def setup(self, plan):
        super().setup(plan)
        self.evaluated, self.known = [], []

    def epoch_start(self, epoch):
        networks = self.plan.model.a, self.plan.model.b
        both = [logits_of(network, self.plan.dataset, device="cpu").softmax(1) for network in networks]
        self.evaluated.append(torch.stack(both, 1))
        row = super().epoch_start(epoch)
        self.known.append(self.probs.clone())
        return row


def test_memory_keeps_a_share_of_the_epochs_before():
    options = QUICK | {"epochs": 2, "schedule": "constant"}
    again = train(pair(), Noisy(), method=Remembering(memory=0.0), **options).method
    kept = train(pair(), Noisy(), method=ASM(memory=0.25), **options).method
    assert torch.allclose(kept.probs.sum(-1), torch.ones(80, 2))
    assert torch.allclose(kept.probs, 0.25 * again.known[1] + 0.75 * again.probs, atol=1e-5)


def test_of_an_evaluation_memory_keeps_evaluations_alone():
    method = Remembering(probabilities="evaluation", memory=0.5, low=0.99, high=1.0)
    train(pair(), Noisy(), augment=view(), method=method, **QUICK)
    expected = method.evaluated[1]
    assert torch.equal(method.known[1], expected)
    for evaluated, known in zip(method.evaluated[2:], method.known[2:], strict=True):
        expected = 0.5 * expected + 0.5 * evaluated
        assert torch.allclose(known, expected, atol=1e-7)
        assert not torch.allclose(known, evaluated, atol=1e-3)


@pytest.mark.parametrize("combine", ["mean", "agree"])
@pytest.mark.parametrize("probabilities", ["training", "evaluation"])
def test_without_a_warm_up_an_evaluation_sorts_before_the_first_epoch(combine, probabilities):
    trained, data = pair(), Noisy()
    train(trained, Shapes(80), **QUICK)
    options = {"warm_up": 0, "low": 0.99, "high": 1.0, "combine": combine, "probabilities": probabilities}
    probs = np.stack([logits_of(net, data, device="cpu").softmax(1).numpy() for net in (trained.a, trained.b)])
    probs = probs.mean(0) if combine == "mean" else probs
    expected = partition(probs, data.labels, thresholds(probs, data.labels, low=0.99, high=1.0), combine=combine)
    assert np.bincount(expected.subset, minlength=3)[[0, 2]].min() > 0
    method = Seen(**options)
    result = train(trained, data, method=method, **QUICK | {"epochs": 1})
    assert method.record.epochs.tolist() == [0]
    np.testing.assert_array_equal(method.partition.subset, expected.subset)
    assert result.history[0]["noise_share"] == pytest.approx(expected.noise.mean())
    for subset, batch, _ in method.steps:
        assert torch.equal(subset, torch.from_numpy(expected.subset)[batch.index])


def test_killed_in_a_first_epoch_that_was_sorted_it_goes_on_bit_identically(tmp_path):
    run = QUICK | {"epochs": 2, "checkpoint_seconds": 0}
    whole = train(pair(), Noisy(), method=ASM(warm_up=0), **run)
    with pytest.raises(Killed):
        train(pair(), Noisy(), method=dying(3, warm_up=0), checkpoint=tmp_path / "c", **run)
    later = train(pair(5), Noisy(), method=ASM(warm_up=0), checkpoint=tmp_path / "c", **run)
    assert torch.equal(weights(whole.model), weights(later.model))
    for name, array in whole.method.record.arrays().items():
        np.testing.assert_array_equal(array, later.method.record.arrays()[name])


@pytest.mark.parametrize(
    ("epochs", "options", "message"),
    [
        (1, {}, r"got epochs=1 and warm_up=0.1, which is 1 of them: train longer, or lower warm_up"),
        (4, {"warm_up": 0.9}, "got epochs=4 and warm_up=0.9, which is 4 of them"),
        (4, {"warm_up": 0.9, "ramp_from": "warm-up"}, "got epochs=4 and warm_up=0.9"),
    ],
)
def test_a_training_that_ends_before_it_sorts_is_refused(epochs, options, message):
    with pytest.raises(UserError, match=message):
        train(pair(), Noisy(), method=ASM(**options), **QUICK | {"epochs": epochs})


@pytest.mark.parametrize("flipped", [True, [True] * 80, np.ones(80, int), np.ones(79, bool), None])
def test_what_is_called_flipped_is_the_truth_only_where_it_can_be(flipped):
    data = Noisy()
    data.flipped = flipped
    record = train(pair(), data, method=ASM(), **QUICK | {"epochs": 2}).method.record
    assert record.wrong.shape == (0, 3, 3)
    assert train(pair(), Noisy(), method=ASM(), **QUICK | {"epochs": 2}).method.record.wrong.shape == (1, 3, 3)


def test_the_rows_tell_how_labels_were_sorted():
    rows = train(pair(), Noisy(), method=ASM(warm_up=0.5, low=0.99, high=1.0), **QUICK).history
    assert [row["clean_share"] for row in rows[:2]] == [1, 1]
    assert rows[-1]["clean_share"] < 1
    for row in rows:
        assert row["clean_share"] + row["ambiguous_share"] + row["noise_share"] == pytest.approx(1)
    assert rows[0]["lam"] < rows[1]["lam"] <= rows[-1]["lam"] <= 0.9


@pytest.mark.parametrize("step", [6, 13])  # the first of the second epoch, and one within the third
@pytest.mark.parametrize("augment", [None, view(), PairedView(OnlineAdversarialErase(size=5, budget=2))])
@pytest.mark.parametrize("options", [{}, {"probabilities": "evaluation", "memory": 0.5}])
def test_an_interrupted_training_goes_on_bit_identically(tmp_path, step, augment, options):
    run = QUICK | {"augment": augment, "teacher": own_net(7), "checkpoint_seconds": 0, "ema": 0.9}
    whole = train(pair(), Noisy(), method=ASM(**options), **run)
    with pytest.raises(Killed):
        train(pair(), Noisy(), method=dying(step, **options), checkpoint=tmp_path / "c", **run)
    later = train(pair(5), Noisy(), method=ASM(**options), checkpoint=tmp_path / "c", **run)
    assert torch.equal(weights(whole.model), weights(later.model))
    for row, other in zip(whole.history, later.history, strict=True):
        assert {k: v for k, v in row.items() if k != "seconds"} == {k: v for k, v in other.items() if k != "seconds"}
    for name, array in whole.method.record.arrays().items():
        np.testing.assert_array_equal(array, later.method.record.arrays()[name])


def test_it_goes_on_only_with_the_same_options(tmp_path):
    train(pair(), Shapes(), method=ASM(), checkpoint=tmp_path / "c", **QUICK)
    with pytest.raises(ValueError, match=r"method was ASM\(.*omega=0.6.*\), now ASM\(.*omega=0.7"):
        train(pair(), Shapes(), method=ASM(omega=0.7), checkpoint=tmp_path / "c", **QUICK)


def test_strong_views_of_one_type_are_told_apart(tmp_path):
    grey, flip = (v2.Compose([step]) for step in (v2.Grayscale(), v2.RandomHorizontalFlip()))
    train(pair(), Noisy(), method=ASM(strong=grey), checkpoint=tmp_path / "c", **QUICK)
    with pytest.raises(ValueError, match=r"method was ASM\(.*Grayscale.*, now ASM\(.*RandomHorizontalFlip"):
        train(pair(), Noisy(), method=ASM(strong=flip), checkpoint=tmp_path / "c", **QUICK)
    again = v2.Compose([v2.Grayscale()])
    assert train(pair(), Noisy(), method=ASM(strong=again), checkpoint=tmp_path / "c", **QUICK).epoch == 4
    for strong, said in ((None, None), (len, "len"), (partial(len), "functools.partial(<built-in function len>)")):
        assert identity(AsmOptions(strong=strong))["strong"] == said
    assert " at 0x" not in repr(ASM(strong=partial(lambda image: image)))


def test_worker_count_changes_nothing_and_a_method_can_be_used_again():
    method, runs = ASM(), []
    for workers in (0, 2):
        runs.append(weights(train(pair(), Noisy(), augment=view(), method=method, workers=workers, **QUICK).model))
    assert torch.equal(*runs)


def test_a_batch_may_be_cut():
    whole, cut = (
        train(pair(), Noisy(), method=ASM(reduction="batch"), accumulate=parts, **QUICK | {"batch_size": 20}).model
        for parts in (1, 3)
    )
    assert weights(whole).allclose(weights(cut), atol=1e-5)


class Seen(ASM):
    """Keeps what every step was made of."""

    def setup(self, plan):
        super().setup(plan)
        self.steps = []

    def loss(self, batch):
        outcome = super().loss(batch)
        self.steps.append((copy.deepcopy(self.subset[batch.index]), batch, outcome.loss.item()))
        return outcome


@pytest.mark.parametrize(("erase", "erased"), [("clean", [0]), ("noise", [2]), ("all", [0, 1, 2]), ("suspect", [1, 2])])
@pytest.mark.parametrize("online", [False, True])
def test_images_are_erased_where_the_option_says(erase, erased, online):
    square = {"size": 5, "value": 0}
    augment = PairedView(OnlineAdversarialErase(**square, budget=1)) if online else view(value=0)
    shown = []
    model = pair()
    model.a.register_forward_pre_hook(lambda net, args: shown.append(args[0].detach()) if net.training else None)
    method = Seen(erase=erase, low=0.99, high=1.0)
    row = train(model, Noisy(), augment=augment, method=method, **QUICK).history[-1]
    pixels, images = 0, torch.from_numpy(Noisy().shapes.images)[:, None]
    for (subset, batch, _), inputs in zip(method.steps, shown, strict=True):
        clean = images[batch.index]
        apart = [inputs[: len(subset)] != model.preprocess(either) for either in (clean, clean.flip(-1))]
        changed = torch.stack([differs.flatten(1).any(1) for differs in apart]).all(0)
        may = torch.isin(subset, torch.tensor(erased))
        assert not changed[~may].any()
        assert changed[may].any() or not may.any()
        assert len(inputs) == len(subset) + int((subset == NOISE).sum())
        pixels += 25 * int(may.sum())
    last = sum(25 * int(torch.isin(s, torch.tensor(erased)).sum()) for s, _, _ in method.steps[-5:])
    if online:  # its squares lie within the image
        assert row["erased_share"] == pytest.approx(last / (80 * 400), abs=1e-6)
    else:
        assert 0 < row["erased_share"] <= last / (80 * 400) + 1e-6


def test_the_loss_of_a_step_is_the_tri_loss_of_its_batch():
    model, method = pair(), Seen(low=0.99, high=1.0, gamma=2.0)
    train(model, Noisy(), method=method, **QUICK | {"lr": 0.0})
    assert any(bool((subset == NOISE).any()) for subset, _, _ in method.steps)
    for subset, batch, found in method.steps[-5:]:
        weak, strong = batch.images
        with torch.no_grad():
            logits = model(model.preprocess(weak), apart=True)
            hard = model(model.preprocess(strong[subset == NOISE]), apart=True)
        expected = tri_loss(logits, hard, batch.labels, subset, lam=method.lam, gamma=2.0)
        assert found == pytest.approx(expected.item(), abs=1e-5)


def test_a_suspect_label_gives_up_as_much_mass_as_is_erased():
    clean = torch.full((2, 1, 10, 10), 9, dtype=torch.uint8)
    erased = clean.clone()
    erased[:, :, :5, :4] = 0  # a fifth
    found = _moved(erased, clean, torch.tensor([1, 1]), torch.tensor([CLEAN, NOISE]), 4)
    assert found[0].tolist() == [0, 1, 0, 0]
    assert found[1].tolist() == pytest.approx([0.05, 0.85, 0.05, 0.05])


def test_a_single_network_and_options_out_of_range_are_refused():
    with pytest.raises(ValueError, match=r"model must be a Pair of two networks for ASM, got OwnNet: Pair\(a, b\)"):
        train(own_net(), Shapes(), method=ASM(), **QUICK)
    for options, message in (
        ({"low": 0.9}, "low and high must be"),
        ({"erase": "some"}, "erase must be one of clean, noise, all, suspect, got 'some'"),
        ({"warm_up": 1.0}, r"warm_up must be a share in \[0, 1\), got 1.0"),
        ({"gamma": -1}, "gamma must be 0 or more, got -1"),
        ({"ramp_peak": 2}, r"ramp_peak must lie in \[0, 1\], got 2"),
    ):
        with pytest.raises(ValueError, match=message):
            ASM(**options)
    with pytest.raises(TypeError, match="unexpected keyword argument 'lambda_'"):
        ASM(lambda_=1)


@pytest.mark.parametrize(
    "erase", [PointAdversarialErase(None, p=1.0, size=5), OnlineAdversarialErase(size=5, budget=1)]
)
@pytest.mark.parametrize("then", [None, v2.RandomHorizontalFlip()])  # without geometry the teacher is asked only once
def test_a_suspect_label_gives_up_mass_whatever_erases(monkeypatch, erase, then):
    shares = []

    def moved(erased, clean, labels, subset, classes):
        found = _moved(erased, clean, labels, subset, classes)
        share = (1 - found[range(len(labels)), labels]) * classes / (classes - 1)
        assert not share[subset == CLEAN].any()
        shares.extend(share[subset != CLEAN].tolist())
        return found

    monkeypatch.setattr("pasm_aug.asm.method._moved", moved)
    method = ASM(erase="suspect", low=0.99, high=1.0)
    train(pair(), Noisy(), teacher=own_net(7), augment=PairedView(erase, then), method=method, **QUICK)
    assert 0 < np.mean(shares) <= 25 / 400 + 1e-6
