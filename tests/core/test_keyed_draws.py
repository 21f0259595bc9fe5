import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from pasm_aug.core.keyed_draws import content_keys, keyed_uniform, mixed


def splitmix(value):
    """The finaliser of SplitMix64 in unlimited integers."""
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) % 2**64
    return value ^ (value >> 31)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=9))
def test_mixed_is_splitmix(values):
    assert [v % 2**64 for v in mixed(torch.tensor(values)).tolist()] == [splitmix(v % 2**64) for v in values]


def test_draws_are_uniform_and_each_keys_own():
    keys = torch.arange(2000)
    drawn = keyed_uniform(keys, 8, seed=3)
    assert drawn.dtype == torch.float32
    assert 0 <= float(drawn.min()) < 0.001
    assert 0.999 < float(drawn.max()) < 1
    counts = np.histogram(drawn.numpy(), bins=20, range=(0, 1))[0]
    assert np.abs(counts - 800).max() < 5 * 800**0.5
    assert np.abs(np.corrcoef(drawn.numpy().T) - np.eye(8)).max() < 0.1
    assert not torch.equal(drawn, keyed_uniform(keys, 8, seed=4))
    order = torch.randperm(2000, generator=torch.Generator().manual_seed(0))
    assert torch.equal(keyed_uniform(keys[order], 8, seed=3), drawn[order])
    assert torch.equal(keyed_uniform(keys[5:6], 3, seed=3), drawn[5:6, :3])


def test_content_keys_name_images_by_their_values_wherever_they_stand():
    images = torch.randint(256, (50, 3, 5, 4), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    images[7] = images[3]
    images[9] = images[8].flip(-1)
    keys = content_keys(images)
    assert len(set(keys.tolist())) == 49
    assert keys[7] == keys[3]
    assert torch.equal(content_keys(images[20:30]), keys[20:30])
    halves = content_keys(images.half() / 255)
    assert len(set(halves.tolist())) == 49
    assert len(set(content_keys(images.float() / 255 - 0.5).tolist()) & set(keys.tolist())) == 0
