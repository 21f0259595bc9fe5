"""Erasing only where a mask over the samples allows it."""

import copy
import pickle

import numpy as np
import pytest
import torch
from torch.utils.data import default_collate
from torchvision.transforms import v2

from pasm_aug.asm.subsets import AMBIGUOUS, CLEAN, NOISE, Partition
from pasm_aug.cache.position_cache import PositionCache
from pasm_aug.search.mine import mine_positions
from pasm_aug.search.point_search import PointSearch
from pasm_aug.transforms.erase import PointAdversarialErase
from pasm_aug.transforms.erase_point import ErasePoint
from pasm_aug.transforms.indexed_dataset import SampleIndex
from tests.shapes import Shapes, own_net
from tests.transforms.test_erase import COLOUR, make_image, write

MASK = np.array([True, False, True, False])


@pytest.fixture
def images():
    return [make_image(seed) for seed in range(4)]


@pytest.fixture
def cache(tmp_path, images):
    return write(tmp_path / "p.safetensors", images, digest=77)


def erased(out, image):
    return not torch.equal(out, image)


def test_by_content_by_index_and_as_a_batch_the_same_images_are_left(cache, images):
    erase = PointAdversarialErase(cache, p=1.0, size=5, where=MASK)
    assert [erased(erase(image), image) for image in images] == MASK.tolist()
    for i, image in enumerate(images):
        assert erased(erase(image, i, SampleIndex([i, 77]))[0], image) == MASK[i]
    batch = torch.stack(images)
    out = erase(batch, torch.arange(4), default_collate([SampleIndex([i, 77]) for i in range(4)]))[0]
    assert [erased(a, b) for a, b in zip(out, batch, strict=True)] == MASK.tolist()
    out = erase(batch)
    assert [erased(a, b) for a, b in zip(out, batch, strict=True)] == MASK.tolist()
    assert erase.stats() == {"calls": 16, "erased": 8, "hits": 8, "misses": 0, "skipped": 0}
    pixels = images[0].shape[-1] ** 2
    assert erase.erased_area() == (8 * 25, 16 * pixels)


def test_a_partition_stands_for_its_clean_samples(cache, images):
    subset = np.array([NOISE, CLEAN, AMBIGUOUS, CLEAN], np.uint8)
    erase = PointAdversarialErase(cache, p=1.0, where=Partition(subset, np.zeros(4, np.float32), np.zeros((4, 2))))
    assert [erased(erase(image), image) for image in images] == [False, True, False, True]


def test_an_image_that_was_not_mined_is_a_miss_as_ever(cache):
    erase = PointAdversarialErase(cache, p=1.0, where=np.zeros(4, bool))
    other = make_image(99)
    assert erased(erase(other), other)
    assert erase.stats()["misses"] == 1


def test_a_point_that_travelled_is_asked_by_its_index(cache, images):
    erase = PointAdversarialErase(cache, p=1.0, size=5, where=MASK)
    for i, image in enumerate(images):
        point = ErasePoint([[5.0, 9.0]], canvas_size=image.shape[-2:])
        flipped, point, _ = v2.RandomHorizontalFlip(1.0)(image, point, i)
        assert erased(erase(flipped, point, i, SampleIndex([i, 77]))[0], flipped) == MASK[i]


def test_images_that_share_a_row_share_the_strictest_answer(tmp_path):
    image = make_image(0)
    path = write(tmp_path / "p.safetensors", [image], labels=[3])
    cache = PositionCache.open(path)
    assert not erased(PointAdversarialErase(cache, p=1.0, where=[False])(image), image)


def test_it_pickles_and_sees_a_file_that_was_mined_anew(tmp_path, cache, images):
    erase = PointAdversarialErase(cache, p=1.0, size=5, where=MASK)
    for again in (pickle.loads(pickle.dumps(erase)), copy.deepcopy(erase)):
        assert [erased(again(image), image) for image in images] == MASK.tolist()
    write(cache, images[::-1], colour=COLOUR, digest=77)  # now the mask counts the other way round
    assert [erased(erase(image), image) for image in images] == MASK[::-1].tolist()


def test_images_of_an_earlier_part_may_be_erased(tmp_path):
    early, late = Shapes(24), Shapes(24, seed=5)
    for part in (early, late):
        cache = mine_positions(own_net(), part, tmp_path / "c", search=PointSearch(budget=4), progress=False)
    erase = PointAdversarialErase(cache, p=1.0, size=5, where=np.zeros(24, bool))
    for part, may in ((early, True), (late, False)):
        for image in map(torch.from_numpy, part.images[:, None]):
            assert erased(erase(image), image) == may


@pytest.mark.parametrize(
    ("where", "error", "message"),
    [
        (np.ones(3, bool), ValueError, "where must have a value for each of the cache's 4 samples, got 3"),
        (np.ones(4), TypeError, r"where must be a mask \(N,\) of bool .*, got float64 of shape \(4,\)"),
    ],
)
def test_what_is_no_mask_is_refused(cache, where, error, message):
    with pytest.raises(error, match=message):
        PointAdversarialErase(cache, where=where)
    with pytest.raises(ValueError, match="where needs a cache"):
        PointAdversarialErase(None, where=MASK)
