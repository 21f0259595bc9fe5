"""Every image judged once, by a network that has not seen it; killed, damaged and foreign results."""

import functools
import json

import numpy as np
import pytest
import torch
from torch.utils.data import Subset

from pasm_aug.asm import out_of_sample
from pasm_aug.asm.folds import data_digest, deal_folds
from pasm_aug.asm.out_of_sample import judge_by_folds, out_of_sample_probabilities
from pasm_aug.asm.suspects import average_precision, suspicion
from pasm_aug.core.errors import UserError
from pasm_aug.data.in_memory import InMemory
from pasm_aug.data.overlap import content_keys
from pasm_aug.training.losses import distillation_loss
from tests.shapes import OwnNet, Shapes

QUICK = {"epochs": 2, "lr": 0.05, "batch_size": 16, "device": "cpu", "progress": False}
probabilities_of = functools.partial(out_of_sample_probabilities, OwnNet, **QUICK)


def noisy(length=240, rate=0.3, seed=0):
    """Shapes some of whose labels are wrong, and which."""
    data, rng = Shapes(length), np.random.default_rng(seed)
    wrong = rng.random(length) < rate
    data.labels = np.where(wrong, (data.labels + rng.integers(1, 3, length)) % 3, data.labels)
    return data, wrong


def test_wrong_labels_are_found():
    data, wrong = noisy()
    found = probabilities_of(data, folds=3, **{"epochs": 10})
    assert (found.dtype, found.shape) == (np.float32, (240, 3))
    assert found.sum(1) == pytest.approx(np.ones(240), abs=1e-6)
    assert average_precision(wrong, suspicion(found, data.labels)) > 0.6 > 2 * wrong.mean()


def test_each_network_trains_on_the_other_folds_and_judges_its_own(monkeypatch):
    data, trained = Shapes(61), []
    train = out_of_sample.train

    def watched(network, part, **options):
        trained.append(part.indices)
        return train(network, part, **options)

    monkeypatch.setattr(out_of_sample, "train", watched)
    judged = judge_by_folds(OwnNet, data, folds=3, seed=4, **QUICK)
    parts = deal_folds(data.labels, content_keys(data[i][0] for i in range(61)), 3, seed=4)
    assert [np.flatnonzero(judged.fold == number).tolist() for number in range(3)] == [part.tolist() for part in parts]
    assert [np.setdiff1d(range(61), others).tolist() for others in trained] == [part.tolist() for part in parts]
    found = probabilities_of(data, folds=3, seed=4)
    assert np.array_equal(found, judged.out_of_sample)
    again = probabilities_of(InMemory(data, progress=False), folds=3, seed=4)
    assert np.array_equal(found, again)  # however the images are held
    assert not np.array_equal(found, probabilities_of(data, folds=3, seed=5))


def test_the_random_state_stays():
    state = torch.get_rng_state()
    probabilities_of(Shapes(30), folds=2)
    assert torch.equal(state, torch.get_rng_state())


def test_a_killed_call_goes_on_and_ends_the_same(tmp_path):
    data, _ = noisy(60)
    whole = probabilities_of(data, folds=3, seed=1)

    class Killed(Exception):
        pass

    calls = 0

    def dying(student, teacher, target):
        nonlocal calls
        calls += 1
        if calls == 9:  # in the middle of an epoch of the second fold
            raise Killed
        return distillation_loss(student, teacher, target)

    dying.__qualname__ = dying.__name__ = "distillation_loss"
    named = functools.partial(dying)
    same = {"loss": _Named(named)}
    with pytest.raises(Killed):
        probabilities_of(data, folds=3, seed=1, out=tmp_path, checkpoint_seconds=0.0, **same)
    assert {file.name for file in tmp_path.iterdir() if file.suffix == ".safetensors"} >= {
        "fold-0.safetensors",
        "fold-1.training.safetensors",
    }
    first = (tmp_path / "fold-0.safetensors").stat().st_mtime_ns
    found = probabilities_of(data, folds=3, seed=1, out=tmp_path, loss=_Named(distillation_loss))
    assert np.array_equal(found, whole)
    assert (tmp_path / "fold-0.safetensors").stat().st_mtime_ns == first
    names = {file.name for file in tmp_path.iterdir()}
    assert names == {"folds.json", *(f"fold-{n}{end}" for n in range(3) for end in (".safetensors", ".csv"))}


class _Named:
    """A loss of one name, whatever it does."""

    def __init__(self, function):
        self.function = function

    def __call__(self, *given):
        return self.function(*given)

    def __repr__(self):
        return "a loss"


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    folder = tmp_path_factory.mktemp("folds")
    probabilities_of(Shapes(30), folds=2, out=folder)
    return folder


@pytest.fixture
def copy(kept, tmp_path):
    for file in kept.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


def test_what_is_kept_is_read_again(kept, monkeypatch):
    monkeypatch.setattr(out_of_sample, "train", lambda *_, **__: pytest.fail("trained again"))
    found = probabilities_of(Shapes(30), folds=2, out=kept)
    monkeypatch.undo()
    assert np.array_equal(found, probabilities_of(Shapes(30), folds=2))


def relabelled(data):
    data.labels = (data.labels + (np.arange(len(data)) == 7)) % 3
    return data


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 3}, "training.epochs was 2, now 3"),
        ({"seed": 1}, "seed was 0, now 1"),
        ({"folds": 3}, "folds was 2, now 3"),
        ({"augment": torch.nn.Identity()}, r"augment was None, now Identity\(\)"),
        ({"dataset": relabelled(Shapes(30))}, "data was "),
        ({"dataset": Shapes(30, seed=1)}, "data was "),
        ({"model": functools.partial(OwnNet, width=4)}, "network was "),
    ],
)
def test_other_data_or_options_are_refused(kept, change, message):
    given = {"model": OwnNet, "dataset": Shapes(30), "folds": 2, "out": kept} | QUICK | change
    model, dataset = given.pop("model"), given.pop("dataset")
    with pytest.raises(UserError, match=message) as error:
        out_of_sample_probabilities(model, dataset, **given)
    assert str(kept) in str(error.value)
    assert "choose another folder" in str(error.value)


@pytest.mark.parametrize("place", [3, 40, -5, None])
def test_a_damaged_fold_is_named(copy, place):
    file = copy / "fold-1.safetensors"
    data = bytearray(file.read_bytes())
    if place is None:
        data = data[:-9]
    else:
        data[place] ^= 0x40
    file.write_bytes(data)
    with pytest.raises(UserError, match=r"fold-1\.safetensors is damaged \(.*delete it, and its fold is trained again"):
        probabilities_of(Shapes(30), folds=2, out=copy)


def test_a_fold_of_another_place_is_refused(copy):
    (copy / "fold-1.safetensors").write_bytes((copy / "fold-0.safetensors").read_bytes())
    with pytest.raises(UserError, match=r"fold-1\.safetensors is of other"):
        probabilities_of(Shapes(30), folds=2, out=copy)


def test_a_damaged_record_is_named(copy):
    (copy / "folds.json").write_text("{")
    with pytest.raises(UserError, match=r"folds\.json is damaged"):
        probabilities_of(Shapes(30), folds=2, out=copy)


def test_the_record_says_what_it_was(kept):
    recorded = json.loads((kept / "folds.json").read_text())
    data = Shapes(30)
    keys = content_keys(data[i][0] for i in range(30))
    assert recorded["data"] == data_digest(keys, data.labels)
    assert (recorded["folds"], recorded["seed"], recorded["training"]["epochs"]) == (2, 0, 2)


def test_only_one_at_a_time(copy):
    from pasm_aug.core.file_lock import FileLock, LockedError

    with FileLock(copy / "folds"), pytest.raises(LockedError):
        probabilities_of(Shapes(30), folds=2, out=copy)


def test_persons_stay_together():
    people = np.array([f"person {i % 10}" for i in range(60)])
    fold = judge_by_folds(OwnNet, Shapes(60), folds=2, groups=people, **QUICK).fold
    assert not set(people[fold == 0]) & set(people[fold == 1])


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (Shapes(30), {"folds": 1}, "folds must be at least 2, got 1"),
        (Subset(Shapes(30), range(0, 30, 3)), {}, "labels must be of at least 2 classes, got 1"),
        (Subset(Shapes(30), [0, 3, 6, 9, 12, 1]), {"folds": 2}, "class 1 must have different images in at least 2"),
        (Shapes(6), {"folds": 8}, "8 parts need as many"),
        (Shapes(30), {"patience": 3}, "needs a validation split"),
        (Shapes(30), {"epochs": 0}, "epochs must be at least 1, got 0"),
    ],
)
def test_what_cannot_be_is_refused(data, options, message):
    with pytest.raises(UserError, match=message):
        probabilities_of(data, **options)


def test_a_keyword_that_is_none():
    with pytest.raises(TypeError, match="judge_by_folds\\(\\) got an unexpected keyword argument 'epoch'"):
        probabilities_of(Shapes(30), epoch=3)


def test_logits_that_are_no_numbers_are_refused(monkeypatch):
    monkeypatch.setattr(out_of_sample, "logits_of", lambda _, part, **__: torch.full((len(part), 3), torch.nan))
    with pytest.raises(UserError, match="fold 1 must give finite logits"):
        probabilities_of(Shapes(30), folds=2)
