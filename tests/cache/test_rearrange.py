import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from pasm_aug.cache.format import CacheError
from pasm_aug.cache.merge import write_cache
from pasm_aug.cache.rearrange import cam_peak_positions, shuffled_positions
from pasm_aug.cache.record import row_dtype
from pasm_aug.rounds.arms import AUGMENTS, MINED, arm_positions, make_erase
from pasm_aug.search.cam import class_activation_maps
from pasm_aug.search.cam_cache import class_activation_cache
from pasm_aug.search.mine import mine_positions
from pasm_aug.transforms.erase import PositionCache
from tests.shapes import Shapes, own_net

DATA = Shapes(30)


@pytest.fixture(scope="module")
def mined(tmp_path_factory):
    return mine_positions(own_net(), DATA, tmp_path_factory.mktemp("mined") / "c", progress=False, device="cpu")


def every(cache):
    return cache.lookup(indices=np.arange(len(cache)))


def test_shuffled_places_are_anothers_and_all_else_stays(mined, tmp_path):
    moved = shuffled_positions(mined, tmp_path / "s", seed=3)
    old, new = mined.to_numpy(), moved.to_numpy()
    for name in ("key", "label", "colour", "index", "p_clean", "p_point", "look"):
        np.testing.assert_array_equal(old[name], new[name])
    assert sorted(map(tuple, old["xy"][:, 0])) == sorted(map(tuple, new["xy"][:, 0]))
    assert (old["xy"] != new["xy"]).any(axis=(1, 2)).mean() > 0.8  # equal points of two images may meet
    assert every(moved).hit.all()
    again = shuffled_positions(mined, tmp_path / "t", seed=3)
    np.testing.assert_array_equal(again.to_numpy()["xy"], new["xy"])
    other = shuffled_positions(mined, tmp_path / "u", seed=4)
    assert not np.array_equal(other.to_numpy()["xy"], new["xy"])


@settings(max_examples=30, deadline=None)
@given(labels=st.lists(st.integers(0, 3), min_size=1, max_size=20), seed=st.integers(0, 99))
def test_within_the_class_nobody_keeps_its_own(tmp_path_factory, labels, seed):
    folder = tmp_path_factory.mktemp("class")
    rows = np.zeros(len(labels), row_dtype(1, 1))
    rows["key"], rows["label"], rows["mined"] = np.arange(len(labels)) * 7, labels, True
    rows["xy"][:, 0, 0] = np.arange(len(labels))  # x names the image
    write_cache(folder / "c", rows, rows["key"], rows["label"], {"fingerprint": {}, "dataset": {}})
    mined = PositionCache.open(folder / "c")
    for within in (False, True):
        moved = shuffled_positions(mined, folder / f"s{within}", seed=seed, within_class=within)
        given = moved.to_numpy()["xy"][:, 0, 0]
        assert sorted(given) == list(range(len(labels)))
        for own, taken in enumerate(given):
            alone = len(labels) == 1 or (within and labels.count(labels[own]) == 1)
            assert (taken == own) == alone
            assert not within or labels[taken] == labels[own]


def test_images_that_were_not_mined_stay_so(tmp_path):
    rows = np.zeros(4, row_dtype(1, 1))
    rows["key"], rows["label"], rows["xy"] = range(4), range(4), [[[i, i]] for i in range(4)]
    rows["mined"] = [True, True, False, True]
    write_cache(tmp_path / "c", rows, rows["key"], rows["label"], {"fingerprint": {}, "dataset": {"digest": 7}})
    moved = shuffled_positions(PositionCache.open(tmp_path / "c"), tmp_path / "s")
    assert every(moved).hit.tolist() == [True, True, False, True]
    assert moved.metadata["dataset"] == {"digest": 7}


def test_cam_peaks_are_the_maxima_of_the_interpolated_maps(mined, tmp_path):
    net = own_net()
    cams = class_activation_cache(net, DATA, tmp_path / "cams", progress=False)
    assert cams.metadata["grid"] == [5, 5]
    assert cams.points == 25
    images, labels = torch.from_numpy(DATA.images)[:, None], torch.from_numpy(DATA.labels)
    maps = class_activation_maps(net, images, labels)
    found = every(cams)
    np.testing.assert_allclose(found.p_point.reshape(-1, 5, 5), maps.numpy(), atol=1e-5)
    assert (found.colour == round(DATA.images.mean())).all()
    moved = cam_peak_positions(mined, cams, tmp_path / "peaks")
    wide = F.interpolate(maps[:, None], size=(35, 35), mode="bilinear")[:, 0]  # odd: a cell's middle is a pixel
    at = every(moved).xy[:, 0].astype(int)
    for cam, (x, y) in zip(wide, at, strict=True):
        assert cam[7 * (y // 4) + 3, 7 * (x // 4) + 3] == pytest.approx(cam.max())
        assert {x % 4, y % 4} == {2}  # in the middle of its cell
    np.testing.assert_array_equal(every(moved).colour, every(mined).colour)


def test_what_is_there_is_not_made_again_and_what_differs_is(mined, tmp_path):
    net, file = own_net(), tmp_path / "cams"
    class_activation_cache(net, DATA, file, progress=False)
    stamp = file.stat().st_mtime_ns
    class_activation_cache(net, DATA, file, progress=False)
    assert file.stat().st_mtime_ns == stamp
    class_activation_cache(own_net(1), DATA, file, progress=False)
    assert file.stat().st_mtime_ns != stamp
    shuffled_positions(mined, tmp_path / "s", seed=0)
    stamp = (tmp_path / "s").stat().st_mtime_ns
    shuffled_positions(mined, tmp_path / "s", seed=0)
    assert (tmp_path / "s").stat().st_mtime_ns == stamp
    (tmp_path / "s").write_bytes(b"corrupt")
    with pytest.raises(CacheError):
        shuffled_positions(mined, tmp_path / "s", seed=0)


def test_maps_of_other_images_are_refused(mined, tmp_path):
    cams = class_activation_cache(own_net(), Shapes(30, seed=5), tmp_path / "cams", progress=False)
    with pytest.raises(ValueError, match="lacks 30 of the images"):
        cam_peak_positions(mined, cams, tmp_path / "peaks")


def test_every_arm_from_the_same_mined_points(mined, tmp_path):
    image, label = DATA[4]
    row = mined.find_index(4)
    colour = mined.point(row)[2]
    for arm in AUGMENTS:
        places = arm_positions(
            arm, mined if arm in MINED else None, own_net(), DATA, tmp_path, progress=False, device="cpu"
        )
        erase = make_erase(arm, places, size=5)
        if erase is None or arm == "online":  # which takes batches, in the training step
            continue
        torch.manual_seed(0)
        out, _ = erase(image, label)
        changed = np.asarray(out) != np.asarray(image)
        erased, seen = erase.erased_area()
        assert seen == 400
        assert changed.sum() <= erased <= 400
        if arm in MINED:
            assert set(np.asarray(out)[changed]) <= {colour[0]}
            assert erased in {a * b for a in (3, 4, 5) for b in (3, 4, 5)}
            assert erase.stats()["hits"] == 1
