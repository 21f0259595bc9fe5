"""A training that is killed anywhere ends as one that never was, bit for bit."""

import csv
import functools
import os
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import StepLR
from torchvision.transforms import v2

from pasm_aug.core import files as table
from pasm_aug.core.image_content import dataset_digest
from pasm_aug.training import checkpoint
from pasm_aug.training.checkpoint import previous
from pasm_aug.training.losses import distillation_loss
from pasm_aug.training.tracking import open_tracker
from pasm_aug.training.trainer import train
from pasm_aug.transforms.erase import PointAdversarialErase
from pasm_aug.transforms.paired_view import PairedView
from tests.shapes import OwnNet, Shapes, own_net

OPTIONS = {"epochs": 3, "lr": 0.05, "batch_size": 8, "device": "cpu", "progress": False, "checkpoint_seconds": 0}
STEPS = 4  # an epoch, the last of four images
ERASE = PairedView(PointAdversarialErase(None, p=1.0), v2.RandomHorizontalFlip())


class Killed(BaseException):
    pass


class Dropping(OwnNet):
    """Draws random numbers in its forward pass, and keeps batch statistics."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(400)

    def forward(self, x):
        return self.head(nn.functional.dropout(self.norm(self.features(x)), 0.3, self.training))


def dropping(seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Dropping()


def dies_at(call, loss=distillation_loss):
    """The loss, whose ``call``-th call, from 0, is killed."""
    left = [call]

    def dying(student, teacher, target):
        if not left[0]:
            raise Killed
        left[0] -= 1
        return loss(student, teacher, target)

    return dying


def learn(net=own_net, seed=0, data=None, **options):
    return train(net(seed), data or Shapes(28), **(OPTIONS | options))


def same(whole, other):
    """Weights and figures agree to the last bit; only the time may differ."""
    a, b = whole.model.state_dict(), other.model.state_dict()
    assert all(torch.equal(a[name], b[name]) for name in a)
    rows = [[{k: v for k, v in row.items() if k != "seconds"} for row in r.history] for r in (whole, other)]
    assert rows[0] == rows[1]
    assert whole.epoch == other.epoch
    return True


WAYS = {
    "plain": {},
    "erased": {"augment": ERASE, "teacher": own_net(7)},
    "known-logits": {"augment": PairedView(PointAdversarialErase(None, p=0.7)), "teacher": own_net(7)},
    "average": {"ema": 0.8, "val": Shapes(12, seed=1), "net": dropping},
    "patience": {"patience": 1, "val": Shapes(6, seed=3), "epochs": 6, "ema": 0.6},
    "balanced": {"sampling": "balanced", "schedule": "cosine", "warmup": 1.5},
    "parts": {"accumulate": 3, "net": dropping, "optimizer": functools.partial(torch.optim.AdamW, lr=1e-3)},
    "scheduler": {"scheduler": functools.partial(StepLR, step_size=1, gamma=0.3), "net": dropping},
    "bf16": {"precision": "bf16"},
}


@pytest.mark.parametrize("way", WAYS)
def test_a_training_killed_at_every_step_ends_as_one_that_never_was(tmp_path, way):
    options = WAYS[way]
    whole, path, kills = learn(**options), tmp_path / "c", 0
    calls = options.get("accumulate", 1)  # one step is done, the next has started
    for seed in range(50):  # other initial weights each time: those of the checkpoint are what counts
        try:
            later = learn(seed=seed, checkpoint=path, loss=dies_at(calls), **options)
            break
        except Killed:
            kills += 1
    steps = STEPS * len(whole.history)
    assert kills >= steps - 1 if calls == 1 else kills > steps / 2
    assert same(whole, later)
    if "augment" in options:
        assert all(0 < row["erased_share"] < 0.1 for row in later.history)


def test_worker_processes_change_nothing_of_that(tmp_path):
    options = WAYS["parts"] | {"augment": ERASE, "ema": 0.7, "sampling": "balanced", "patience": 2, "val": Shapes(6)}
    whole, path = learn(**options), tmp_path / "c"
    for call in (3 * 2, 3 * 3 + 1):
        with pytest.raises(Killed):
            learn(checkpoint=path, workers=2, loss=dies_at(call), **options)
    assert same(whole, learn(seed=5, checkpoint=path, workers=2, **options))


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("module", [checkpoint, table], ids=["checkpoint", "table"])
def test_a_training_killed_at_every_write_ends_as_one_that_never_was(tmp_path, monkeypatch, module, when):
    options = {"val": Shapes(6, seed=1), "epochs": 2}
    whole = learn(**options, metrics=tmp_path / "whole.csv")
    write, files = module.write_atomic, {"checkpoint": tmp_path / "c", "metrics": tmp_path / "m.csv"}
    writes, kills = 8 if module is checkpoint else 2, 0
    for number in range(writes):
        left = [number]

        def dying(path, data, left=left):
            left[0] -= 1
            if left[0] < 0 and when == "before":
                raise Killed
            write(path, data)
            if left[0] < 0:
                raise Killed

        monkeypatch.setattr(module, "write_atomic", dying)
        for file in (files["checkpoint"], previous(files["checkpoint"]), files["metrics"]):
            file.unlink(missing_ok=True)
        with pytest.raises(Killed):
            learn(**options, **files)
        kills += 1
        monkeypatch.setattr(module, "write_atomic", write)
        started = any(map(Path.exists, (files["checkpoint"], previous(files["checkpoint"]))))
        assert started == (number > 0 or when == "after" or module is table)
        assert same(whole, learn(seed=5 * started, **options, **files))
        tables = [csv.DictReader((tmp_path / name).read_text().splitlines()) for name in ("whole.csv", "m.csv")]
        first, second = ([row | {"seconds": ""} for row in table] for table in tables)
        assert first == second
    assert kills == writes


class Counting(Shapes):
    reads = 0

    def __getitem__(self, index):
        self.reads += 1
        return super().__getitem__(index)


@pytest.mark.parametrize("step", [1, 3, 4, 6, 11])
def test_batches_that_are_done_are_not_read_again(tmp_path, step):
    plain = Counting(28)
    dataset_digest(plain)
    with pytest.raises(Killed):
        learn(checkpoint=tmp_path / "c", loss=dies_at(step))
    data = Counting(28)
    learn(checkpoint=tmp_path / "c", data=data)
    done = 28 * (step // STEPS) + 8 * (step % STEPS)
    assert data.reads - plain.reads == 3 * 28 - done


def test_within_an_epoch_nothing_is_written_before_the_time_is_up(tmp_path):
    for seconds, files in ((600, []), (0, ["c"])):
        folder = tmp_path / str(seconds)
        with pytest.raises(Killed):
            learn(checkpoint=folder / "c", checkpoint_seconds=seconds, loss=dies_at(2))
        assert [file.name for file in folder.iterdir() if "previous" not in file.name] == files


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 16
    path.write_bytes(data)


def test_a_damaged_checkpoint_is_named_and_the_one_before_goes_on_to_the_same_end(tmp_path):
    whole, path = learn(), tmp_path / "training.safetensors"
    for step in (2, 5, 9):
        with pytest.raises(Killed):
            learn(checkpoint=path, loss=dies_at(step))
        flip(path)
        with pytest.warns(UserWarning, match=r"training\.safetensors is damaged.*going on from the one beside it"):
            later = learn(seed=4, checkpoint=path)
        assert same(whole, later)
        path.unlink()
        previous(path).unlink()


def test_two_damaged_checkpoints_are_both_named_and_refused(tmp_path):
    path = tmp_path / "training.safetensors"
    with pytest.raises(Killed):
        learn(checkpoint=path, loss=dies_at(6))
    for file in (path, previous(path)):
        flip(file)
    with pytest.raises(ValueError, match="delete it to start anew") as error:
        learn(checkpoint=path)
    assert str(path) in str(error.value)
    assert str(previous(path)) in str(error.value)


def test_a_finished_training_is_not_done_again_and_its_tables_stand(tmp_path):
    files = {"checkpoint": tmp_path / "c", "metrics": tmp_path / "m.csv"}
    whole = learn(**files)
    (tmp_path / "m.csv").unlink()  # killed between the last checkpoint and the table
    assert same(whole, learn(seed=5, loss=dies_at(0), **files))
    assert len((tmp_path / "m.csv").read_text().splitlines()) == 4


def test_the_curves_of_a_training_that_goes_on_hold_every_epoch_once(tmp_path):
    pytest.importorskip("tensorboard")
    from tests.training.test_tracking import curves

    with pytest.raises(Killed):
        learn(checkpoint=tmp_path / "c", tracker=open_tracker("tensorboard", tmp_path), loss=dies_at(6))
    for _ in range(2):  # the second finds nothing left to do
        learn(checkpoint=tmp_path / "c", tracker=open_tracker("tensorboard", tmp_path))
        assert [step for step, *_ in curves(tmp_path / "tensorboard")["loss"]] == [1, 2, 3]


def test_the_workers_that_read_the_validation_split_stay_from_epoch_to_epoch(tmp_path):
    """Starting them takes seconds; each item tells the process that read it."""

    class Told(Shapes):
        def __getitem__(self, index):
            with open(tmp_path / "readers", "a") as handle:
                handle.write(f"{os.getpid()}\n")
            return super().__getitem__(index)

    options = OPTIONS | {"val": Told(16, seed=1), "workers": 1}
    assert len(train(own_net(), Shapes(16), **options).history) == 3
    readers = set((tmp_path / "readers").read_text().split()) - {str(os.getpid())}
    assert len(readers) == 1
