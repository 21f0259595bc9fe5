"""Data and disks at the edge: the right result, or an error that says what is wrong."""

import builtins
import errno
import os

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import Subset

from pasm_aug.core.files import write_atomic
from pasm_aug.training.tracking import open_tracker
from pasm_aug.training.trainer import train
from tests.shapes import OwnNet, Shapes, own_net

QUICK = {"epochs": 3, "lr": 0.05, "batch_size": 15, "device": "cpu", "progress": False}


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_a_class_without_a_sample_has_no_recall_and_disturbs_nothing():
    data, val = Subset(Shapes(60), [i for i in range(60) if i % 3 != 1]), Shapes(12, seed=1)
    for sampling in ("shuffle", "balanced"):
        result = train(own_net(), data, val=val, sampling=sampling, **(QUICK | {"epochs": 6}))
        assert result.history[-1]["loss"] < result.history[0]["loss"]
        images = torch.from_numpy(Shapes(60).images)[:, None]
        assert 1 not in result.model(result.model.preprocess(images)).argmax(1)


@pytest.mark.parametrize("sampling", ["shuffle", "balanced"])
def test_one_class_alone_is_learned(sampling):
    data = Subset(Shapes(30), range(0, 30, 3))
    result = train(own_net(), data, val=data, sampling=sampling, **(QUICK | {"epochs": 4}))
    assert result.history[-1]["val_accuracy"] == 1


def test_labels_with_gaps_need_an_output_each():
    data = Shapes(60)
    data.labels = np.array([0, 2, 5])[data.labels]
    result = train(own_net(num_classes=6), data, val=data, sampling="balanced", **(QUICK | {"epochs": 30}))
    assert result.history[-1]["val_accuracy"] > 0.9
    with pytest.raises(ValueError, match=r"labels must lie in 0…2 \(the model has 3 outputs\)"):
        train(own_net(), data, **QUICK)


@pytest.mark.parametrize("sampling", ["shuffle", "balanced"])
def test_one_image_is_too_few_and_two_are_enough(sampling):
    with pytest.raises(ValueError, match="at least 2 images, got 1 and 15"):
        train(own_net(), Shapes(1), sampling=sampling, **QUICK)
    history = train(own_net(), Shapes(2), val=Shapes(1), sampling=sampling, **QUICK).history
    assert [row["running_accuracy"] * 2 % 1 for row in history] == [0, 0, 0]


def test_a_batch_larger_than_the_data_holds_all_of_it():
    sizes = []

    class Sized(OwnNet):
        def forward(self, x):
            sizes.append(len(x))
            return super().forward(x)

    train(Sized(), Shapes(7), **(QUICK | {"batch_size": 1000}))
    assert sizes == [7, 7, 7]


def test_batch_statistics_never_see_a_single_image():
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(400), nn.Linear(400, 3))
    model.preprocess = OwnNet().preprocess
    assert len(train(model, Shapes(16), **QUICK).history) == 3  # 15 and a single one, which is left out


def never(*_):
    raise AssertionError("trained")


@pytest.mark.parametrize("file", ["checkpoint", "metrics", "tracker"])
def test_a_folder_that_cannot_be_made_shows_before_anything_is_trained(tmp_path, file):
    def within(folder):
        return {file: open_tracker("tensorboard", folder) if file == "tracker" else folder / "tensorboard"}

    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        train(own_net(), Shapes(), loss=never, **within(tmp_path / "file" / "x"), **QUICK)
    train(own_net(), Shapes(), **within(tmp_path / "new" / "folder"), **QUICK)
    assert (tmp_path / "new" / "folder" / "tensorboard").exists()


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_whole_and_nothing_beside_it(tmp_path, monkeypatch, call):
    write_atomic(tmp_path / "a", b"old")

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if call == "write":
        real = open

        def opened(file, *rest):
            real(file, *rest).close()
            return real("/dev/full", "wb")

        monkeypatch.setattr(builtins, "open", opened)
    else:
        monkeypatch.setattr(os, call, full)
    with pytest.raises(OSError, match="No space left"):
        write_atomic(tmp_path / "a", b"new" * 10_000)
    monkeypatch.undo()
    assert (tmp_path / "a").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("number", range(5))
def test_a_training_that_a_full_disk_stopped_goes_on_when_there_is_room(tmp_path, monkeypatch, number):
    whole, replace, left = train(own_net(), Shapes(), **QUICK), os.replace, [number]

    def full(source, target):
        left[0] -= 1
        if left[0] < 0 and str(source).endswith(".tmp"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    files = {"checkpoint": tmp_path / "c", "metrics": tmp_path / "m.csv"}
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        train(own_net(), Shapes(), **files, **QUICK)
    monkeypatch.undo()
    assert not list(tmp_path.glob("*.tmp")) + list(tmp_path.glob(".*.tmp"))
    later = train(own_net(), Shapes(), **files, **QUICK)
    assert torch.equal(weights(whole.model), weights(later.model))
    assert [row["loss"] for row in later.history] == [row["loss"] for row in whole.history]
    assert len((tmp_path / "m.csv").read_text().splitlines()) == 4
