import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pasm_aug.data.in_memory import InMemory
from pasm_aug.training.loading import EpochDataset, EpochSampler, collate, forked_random_state, make_loader
from pasm_aug.transforms.erase import PointAdversarialErase
from pasm_aug.transforms.paired_view import PairedView
from tests.shapes import Shapes


def states():
    return torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002


def test_forked_random_state_is_seeded_inside_and_untouched_outside():
    before = states()
    draws = []
    for _ in range(2):
        with forked_random_state() as seed:
            seed(5)
            draws.append((torch.rand(2).tolist(), random.random(), np.random.rand()))  # noqa: NPY002
    assert draws[0] == draws[1]
    assert states() == before
    with pytest.raises(ZeroDivisionError), forked_random_state() as seed:
        seed(1 // 0)
    assert states() == before


class Noise:
    """Draws from all three generators, as transforms in the wild do."""

    def __call__(self, image):
        draws = int(torch.randint(256, ())), random.randrange(256), np.random.randint(256)  # noqa: NPY002
        for column, value in enumerate(draws):
            image.putpixel((column, 0), value)
        return image


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_is_the_same_for_any_number_of_workers(workers):
    def epoch(number, count):
        sampler = EpochSampler(30, 8, seed=3)
        sampler.epoch = number
        return list(make_loader(Shapes(30), sampler, PairedView(Noise()), workers=count))

    first, again, other = epoch(1, 0), epoch(1, workers), epoch(2, 0)
    assert all(torch.equal(a, b) for x, y in zip(first, again, strict=True) for a, b in zip(x, y, strict=True))
    assert not all(torch.equal(x[-1], y[-1]) for x, y in zip(first, other, strict=True))


def test_persistent_workers_see_the_epoch():
    sampler = EpochSampler(12, 4, seed=0)
    loader = make_loader(Shapes(12), sampler, PairedView(Noise()), workers=1)
    epochs = []
    for number in (0, 1):
        sampler.epoch = number
        epochs.append(torch.cat([batch[0] for batch in loader]))
    assert not torch.equal(*epochs)


@pytest.mark.parametrize("world", [1, 2, 3])
def test_the_processes_share_each_batch_without_padding(world):
    parts = [list(EpochSampler(23, 6, seed=1, rank=rank, world=world)) for rank in range(world)]
    batches = [[item for part in parts for item in part[number]] for number in range(4)]
    alone = list(EpochSampler(23, 6, seed=1))
    assert [sorted(batch) for batch in batches] == [sorted(batch) for batch in alone]
    assert sorted(i for batch in alone for _, i in batch) == list(range(23))


@pytest.mark.parametrize(("length", "batches"), [(33, 4), (35, 4), (36, 5), (40, 5)])
def test_a_last_batch_too_small_for_batch_statistics_is_left_out_in_every_process(length, batches):
    parts = [list(EpochSampler(length, 8, least=2, rank=rank, world=2)) for rank in (0, 1)]
    assert [len(part) for part in parts] == [batches, batches]
    assert min(len(batch) for part in parts for batch in part) >= 2


def test_collate_says_that_sizes_differ():
    with pytest.raises(ValueError, match="resize"):
        collate([(torch.zeros(1, 4, 4), 0), (torch.zeros(1, 4, 5), 1)])


def test_in_memory_keeps_images_labels_and_names():
    base = Shapes(9)
    held = InMemory(base, progress=False)
    assert len(held) == 9
    assert held.classes == list(base.classes)
    for index in range(9):
        assert np.array_equal(held[index][0][0].numpy(), base.images[index])
        assert held[index][1] == base.labels[index]


def test_items_reach_the_transform_as_image_and_label():
    seen = []

    def transform(image, label):
        seen.append(label)
        return image, label

    image, label = EpochDataset(Shapes(5), transform)[(0, 4)]
    assert seen == [label] == [1]
    assert image.dtype == torch.uint8


def test_grey_images_among_colour_ones_get_three_channels():
    rng = np.random.default_rng(0)
    data = [(rng.integers(0, 256, (8, 8), dtype=np.uint8), 0), (rng.integers(0, 256, (3, 8, 8), dtype=np.uint8), 1)]
    images, labels = next(iter(make_loader(data, EpochSampler(2, 2, shuffle=False))))
    assert images.shape == (2, 3, 8, 8)
    assert torch.equal(images[0], torch.from_numpy(data[0][0]).expand(3, -1, -1))
    assert labels.tolist() == [0, 1]
    assert {tuple(image.shape) for image in InMemory(data, progress=False).images} == {(3, 8, 8)}


@given(st.integers(1, 60), st.integers(1, 20), st.integers(0, 5), st.booleans(), st.integers(1, 3))
def test_an_epoch_that_begins_later_is_the_rest_of_the_whole_one(length, batch_size, start, weighted, world):
    chances = torch.rand(length, dtype=torch.float64) + 0.1 if weighted else None
    parts = [EpochSampler(length, batch_size, seed=5, weights=chances, rank=rank, world=world) for rank in range(world)]
    for sampler in parts:
        whole = list(sampler)
        sampler.start = first = start % len(sampler)
        rest = list(sampler)
        assert rest == whole[first:]
        assert len(sampler) == -(-length // batch_size) - first
    alone = EpochSampler(length, batch_size, seed=5, weights=chances)
    assert [alone.size(number) for number in range(len(alone))] == [len(batch) for batch in alone]
    assert sum(map(len, alone)) == length


def test_weighted_draws_are_shared_out_and_differ_from_epoch_to_epoch():
    chances = torch.tensor([1.0, 1.0, 0.0, 2.0]).repeat(6)
    parts = [EpochSampler(24, 6, seed=1, weights=chances, rank=rank, world=2) for rank in (0, 1)]
    batches = [sorted(a + b) for a, b in zip(*map(list, parts), strict=True)]
    alone = EpochSampler(24, 6, seed=1, weights=chances)
    assert batches == [sorted(batch) for batch in alone]
    drawn = [index for batch in batches for _, index in batch]
    assert not any(index % 4 == 2 for index in drawn)
    alone.epoch = 1
    assert [index for batch in alone for _, index in batch] != drawn


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("batch_size", [1, 7])
def test_batches_tell_how_many_pixels_of_each_image_are_erased(workers, batch_size):
    erase = PointAdversarialErase(None, p=0.5, size=6, value=255)
    loader = make_loader(
        Shapes(30), EpochSampler(30, batch_size, seed=2), PairedView(erase), workers=workers, areas=True
    )
    patches = 0
    for erased, clean, label, area, seen in loader:
        assert area.shape == seen.shape == label.shape
        assert (seen == 400).all()
        changed = (erased != clean).flatten(1).sum(1)
        assert (changed <= area).all()
        assert (area[changed > 0] > 0).all()
        assert (area <= 36).all()
        patches += int((area > 0).sum())
    assert 5 < patches < 25
