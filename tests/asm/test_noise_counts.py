"""How often labels were called noise: only of the images and labels that it was said of."""

import numpy as np
import pytest
from safetensors.numpy import save_file

from pasm_aug.asm.noise_counts import read_noise_counts
from pasm_aug.asm.record import AsmRecord, labels_digest
from pasm_aug.core.errors import UserError
from pasm_aug.core.image_content import dataset_digest
from pasm_aug.data.noisy_labels import NoisyLabels
from tests.shapes import Shapes

DATA = NoisyLabels(Shapes(), 0.3, seed=0)
NAME = "partition.safetensors"


def record_of(dataset, count=0):
    record = AsmRecord.empty(len(dataset), 3)
    record.noise_counts += count
    record.about = {"data": dataset_digest(dataset), "labels": labels_digest(dataset.labels)}
    return record


def test_of_a_run_the_last_round_counts_and_other_folders_do_not(tmp_path):
    for number, name in enumerate(("round-2", "round-10", "round-10-old", "round-x"), 1):
        (tmp_path / name).mkdir()
        record_of(DATA, number).save(tmp_path / name / NAME)
    assert set(read_noise_counts(tmp_path, DATA)) == {2}
    assert set(read_noise_counts(tmp_path / "round-2", DATA)) == {1}
    assert set(read_noise_counts(tmp_path / "round-x" / NAME, DATA)) == {4}
    for name in ("round-2", "round-10"):
        (tmp_path / name / NAME).unlink()
    with pytest.raises(UserError, match=r"--partitions must be a partition.safetensors or a folder with one, got"):
        read_noise_counts(tmp_path, DATA)


def one_label_else():
    """Where no digest of a few probed items sees it."""
    data = NoisyLabels(Shapes(), 0.3, seed=0)
    data.labels = data.labels.copy()
    data.labels[1] = (data.labels[1] + 1) % 3
    assert dataset_digest(data) == dataset_digest(DATA)
    return data


@pytest.mark.parametrize(
    "other", [NoisyLabels(Shapes(), 0.3, seed=1), NoisyLabels(Shapes(seed=1), 0.0), Shapes(), one_label_else()]
)
def test_other_labels_or_images_as_many_are_refused(tmp_path, other):
    record_of(other).save(tmp_path / NAME)
    with pytest.raises(UserError, match=r"is of other images or labels than these 60: audit what .*--noise"):
        read_noise_counts(tmp_path, DATA)


def test_what_does_not_say_what_it_is_of_must_have_as_many(tmp_path):
    save_file({"noise_counts": np.arange(60, dtype=np.int32)}, tmp_path / NAME)
    assert read_noise_counts(tmp_path, DATA).tolist() == list(range(60))
    record = record_of(DATA, 5)
    del record.about["labels"]  # of a version before
    record.save(tmp_path / NAME)
    assert set(read_noise_counts(tmp_path, DATA)) == {5}
    with pytest.raises(UserError, match=r"must hold a count for each of the 30 images, got shape \(60,\)"):
        read_noise_counts(tmp_path, NoisyLabels(Shapes(30), 0.3))
