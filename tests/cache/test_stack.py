import numpy as np
import pytest
import torch

from pasm_aug.cache.position_cache import PositionCache
from pasm_aug.cache.stack import stacked_positions
from pasm_aug.search.mine import mine_positions
from pasm_aug.search.point_search import PointSearch
from pasm_aug.transforms.erase import PointAdversarialErase
from pasm_aug.transforms.indexed_dataset import SampleIndex
from tests.shapes import Shapes, own_net

DATA = Shapes(15)


def mined(path, seed, dataset=DATA, **options):
    search = PointSearch("seeded", candidates=8, **options)
    return mine_positions(own_net(seed), dataset, path, search=search, device="cpu", progress=False)


def points(cache, dataset=DATA):
    return cache.lookup(indices=np.arange(len(dataset)), labels=dataset.labels)


def test_an_images_points_are_those_of_the_first_cache_and_then_of_the_second(tmp_path):
    caches = [mined(tmp_path / "a", 0), mined(tmp_path / "b", 1, points=2), mined(tmp_path / "c", 2)]
    stacked = stacked_positions(caches, tmp_path / "s")
    assert stacked.points == 4
    assert len(stacked) == 15
    for name in ("xy", "colour", "p_point"):
        joined = np.concatenate([getattr(points(cache), name) for cache in caches], axis=1)
        assert np.array_equal(getattr(points(stacked), name), joined)
    assert np.array_equal(points(stacked).p_clean, points(caches[0]).p_clean)
    assert stacked.metadata["dataset"] == caches[0].metadata["dataset"]
    again = PositionCache.open(tmp_path / "s")  # by content, not by index alone
    assert np.array_equal(again.lookup(keys=again.to_numpy()["key"]).xy, again.to_numpy()["xy"])


def test_the_transform_erases_at_each_of_them_in_turn(tmp_path):
    caches = [mined(tmp_path / "a", 0), mined(tmp_path / "b", 1)]
    stacked = stacked_positions(caches, tmp_path / "s")
    erase = PointAdversarialErase(stacked, p=1.0, size=1)
    both = np.concatenate([points(cache).xy for cache in caches], axis=1)
    index = next(i for i in range(15) if (both[i, 0] != both[i, 1]).any())
    image, seen = torch.from_numpy(DATA.images[index])[None], set()
    for _ in range(60):
        erased, *_ = erase(image, int(DATA.labels[index]), SampleIndex([index, stacked.digest]))
        seen |= {(x, y) for _, y, x in (erased != image).nonzero().tolist()}
    wanted = {tuple(xy) for xy in both[index].tolist()}
    assert seen <= wanted
    assert len(seen) == len(wanted)


def test_images_that_a_later_cache_lacks_repeat_their_own_point(tmp_path):
    first = mined(tmp_path / "a", 0)
    skipping = mined(tmp_path / "b", 1, misclassified="skip")
    stacked = points(stacked_positions([first, skipping], tmp_path / "s"))
    hit = points(skipping).hit
    assert 0 < hit.sum() < 15
    assert np.array_equal(stacked.xy[hit, 1], points(skipping).xy[hit, 0])
    assert np.array_equal(stacked.xy[~hit, 1], points(first).xy[~hit, 0])
    assert np.array_equal(stacked.p_point[~hit, 1], points(first).p_point[~hit, 0])


def test_images_that_the_first_cache_lacks_keep_the_points_of_a_later_one(tmp_path):
    skipping, full = mined(tmp_path / "a", 1, misclassified="skip"), mined(tmp_path / "b", 0, points=2)
    stacked = points(stacked_positions([skipping, full], tmp_path / "s"))
    hit = points(skipping).hit
    assert 0 < hit.sum() < 15
    assert stacked.hit.all()
    assert np.array_equal(stacked.xy[hit, 0], points(skipping).xy[hit, 0])
    assert np.array_equal(stacked.xy[~hit, 0], points(full).xy[~hit, 0])
    assert np.array_equal(stacked.xy[:, 1:], points(full).xy)
    for index, teacher in enumerate(np.where(hit, 1, 0).tolist()):  # p_clean is of the teacher of the first point
        assert stacked.p_clean[index] == points((full, skipping)[teacher]).p_clean[index]
    assert np.array_equal(points(stacked_positions([skipping, skipping], tmp_path / "t")).hit, hit)


def test_the_same_image_with_two_labels_keeps_the_points_of_each(tmp_path):
    data = Shapes(6)
    data.images[3] = data.images[1]
    data.labels[3] = 2
    caches = [mined(tmp_path / name, seed, data) for name, seed in (("a", 0), ("b", 1))]
    stacked = stacked_positions(caches, tmp_path / "s")
    expected = np.concatenate([points(cache, data).xy for cache in caches], axis=1)
    assert np.array_equal(points(stacked, data).xy, expected)
    assert stacked.conflicts == 1


def test_it_is_written_once_and_anew_for_other_points(tmp_path):
    a, b, c = (mined(tmp_path / name, seed) for name, seed in (("a", 0), ("b", 1), ("c", 2)))
    path = tmp_path / "s"
    stacked_positions([a, b], path)
    stamp = path.stat().st_mtime_ns
    stacked_positions([a, b], path)
    assert path.stat().st_mtime_ns == stamp
    assert np.array_equal(points(stacked_positions([a, c], path)).xy[:, 1], points(c).xy[:, 0])


def test_caches_of_other_data_are_refused(tmp_path):
    with pytest.raises(ValueError, match="at least one cache"):
        stacked_positions([], tmp_path / "s")
    caches = [mined(tmp_path / "a", 0), mined(tmp_path / "b", 0, Shapes(15, seed=1))]
    with pytest.raises(ValueError, match="one data set"):
        stacked_positions(caches, tmp_path / "s")
    assert not (tmp_path / "s").exists()
