"""What is kept of the partitions: exact, verified, refused by name."""

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from pasm_aug.asm.class_thresholds import thresholds
from pasm_aug.asm.record import AsmRecord
from pasm_aug.asm.subsets import partition
from tests.asm.test_class_thresholds import made

FLIPPED = np.arange(40) % 5 == 0


def record(epochs=3):
    kept = AsmRecord.empty(40, 4)
    kept.about = {"data": "abc", "classes": ["a", "b", "ä", "d"]}
    _, labels = made(0)
    parts = []
    for epoch in range(1, epochs + 1):
        probs, _ = made(epoch)
        parts.append(partition(probs, labels, thresholds(probs, labels, low=0.5, high=1)))
        kept.add(epoch, parts[-1], labels, FLIPPED)
    return kept, parts, labels


def test_it_tells_what_each_epoch_did():
    kept, parts, labels = record()
    assert kept.epochs.tolist() == [1, 2, 3]
    np.testing.assert_array_equal(kept.subset, parts[-1].subset)
    np.testing.assert_array_equal(kept.noise_counts, sum(part.noise.astype(int) for part in parts))
    np.testing.assert_array_equal(kept.sizes, [part.sizes(labels) for part in parts])
    for epoch, part in enumerate(parts):
        for k in range(4):
            for s in range(3):
                assert kept.wrong[epoch, k, s] == np.sum((labels == k) & (part.subset == s) & FLIPPED)
    for epoch in (1, 2):
        for a in range(3):
            for b in range(3):
                both = (parts[epoch - 1].subset == a) & (parts[epoch].subset == b)
                assert kept.moved[epoch, a, b] == both.sum()
    assert kept.moved[0, 0].sum() == 40  # all were clean before
    np.testing.assert_array_equal(kept.partition.thresholds, parts[-1].thresholds)


def test_a_file_holds_all_of_it(tmp_path):
    kept, _, _ = record()
    kept.save(tmp_path / "partition.safetensors")
    again = AsmRecord.open(tmp_path / "partition.safetensors")
    assert again.about == kept.about
    for name, array in kept.arrays().items():
        assert array.dtype == again.arrays()[name].dtype
        np.testing.assert_array_equal(array, again.arrays()[name])


def test_a_file_that_is_damaged_or_another_is_refused_by_name(tmp_path):
    path = tmp_path / "partition.safetensors"
    with pytest.raises(ValueError, match=r"partition.safetensors cannot be read as a partition"):
        AsmRecord.open(path)
    record()[0].save(path)
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"partition.safetensors is damaged: its checksum differs"):
        AsmRecord.open(path)
    path.write_bytes(data[:100])
    with pytest.raises(ValueError, match="cannot be read as a partition"):
        AsmRecord.open(path)
    save_file({"weight": np.zeros(3)}, path)
    assert load_file(path)
    with pytest.raises(ValueError, match="is no partition of this version, got format None"):
        AsmRecord.open(path)
