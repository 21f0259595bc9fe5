import functools

import numpy as np
import pytest
import torch

from pasm_aug.search.mine import mine_positions
from pasm_aug.search.point_search import PointSearch
from pasm_aug.search.refresh import refreshed
from tests.shapes import Shapes, own_net

DATA = Shapes(24)
SEARCH = PointSearch("seeded", candidates=8)
mine = functools.partial(mine_positions, dataset=DATA, device="cpu", progress=False)


def nearby(share, seed=0):
    """A network between ``own_net(seed)`` and another."""
    model, other = own_net(seed), own_net(seed + 100)
    with torch.no_grad():
        for weight, far in zip(model.parameters(), other.parameters(), strict=True):
            weight.lerp_(far, share)
    return model


def chances(model, images, labels=DATA.labels):
    """True-class probability of (N, 20, 20) uint8 images, by a plain forward."""
    with torch.no_grad():
        logits = model(model.preprocess(torch.from_numpy(images)[:, None]))
    return logits.softmax(1).numpy()[np.arange(len(labels)), labels]


def rows(cache):
    return cache.lookup(indices=np.arange(len(cache)), labels=DATA.labels)


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    return mine(own_net(0), path=tmp_path_factory.mktemp("before") / "c", search=SEARCH)


def test_a_threshold_that_none_reaches_keeps_every_point_for_two_forwards_an_image(before, tmp_path):
    model = nearby(0.5)
    after = mine(model, path=tmp_path / "c", search=SEARCH, refresh=(before, 1.0))
    old, new = rows(before), rows(after)
    assert np.array_equal(old.xy, new.xy)
    assert np.array_equal(old.colour, new.colour)
    assert after.metadata["forwards"] == 2 * len(DATA)
    assert after.metadata["queries"] == len(DATA)
    # the probabilities are this teacher's
    assert new.p_clean == pytest.approx(chances(model, DATA.images), abs=1e-5)
    erased = DATA.images.copy()
    x, y = new.xy[:, 0].T
    erased[np.arange(len(DATA)), y, x] = new.colour[:, 0, 0]
    assert new.p_point[:, 0] == pytest.approx(chances(model, erased), abs=1e-5)


@pytest.mark.parametrize("share", [0.1, 0.6])
def test_images_whose_probability_moved_are_searched_and_the_others_keep_their_point(before, tmp_path, share):
    model = nearby(share)
    moved = np.abs(chances(model, DATA.images) - rows(before).p_clean)
    threshold = float(np.median(moved))
    search = moved >= threshold
    after = rows(mine(model, path=tmp_path / "c", search=SEARCH, refresh=(before, threshold)))
    anew = rows(mine(model, path=tmp_path / "d", search=SEARCH))
    assert 0 < search.sum() < len(DATA)
    assert np.array_equal(after.xy[search], anew.xy[search])
    assert after.p_point[search] == pytest.approx(anew.p_point[search], abs=1e-6)
    assert np.array_equal(after.xy[~search], rows(before).xy[~search])


def test_a_threshold_that_all_reach_is_a_search_anew_and_one_forward_more(before, tmp_path):
    model = nearby(0.5)
    after = mine(model, path=tmp_path / "c", search=SEARCH, refresh=(before, 1e-12))
    anew = mine(model, path=tmp_path / "d", search=SEARCH)
    assert np.array_equal(rows(after).xy, rows(anew).xy)
    assert after.metadata["queries"] == anew.metadata["queries"]
    assert after.metadata["forwards"] == anew.metadata["forwards"] + len(DATA)


def test_the_same_teacher_keeps_all(before, tmp_path):
    after = mine(own_net(0), path=tmp_path / "c", search=SEARCH, refresh=(before, 1e-3))
    assert np.array_equal(rows(after).xy, rows(before).xy)
    assert rows(after).p_point == pytest.approx(rows(before).p_point, abs=1e-5)


def run(model, before, threshold, search, pixels=DATA.images, labels=DATA.labels, keys=None):
    images = torch.from_numpy(pixels)[:, None]
    keys = before.to_numpy()["key"][before.to_numpy()["index"]] if keys is None else keys
    with search.objective_of(model) as teacher:
        return refreshed(search, before, threshold, teacher, images, labels, keys)


def test_several_points_are_put_into_the_order_of_the_new_teacher(tmp_path):
    search = PointSearch("seeded", candidates=12, points=3)
    before = mine(own_net(0), path=tmp_path / "c", search=search)
    found = run(nearby(0.8), before, 1.0, search)
    assert found.xy.shape == (24, 3, 2)
    assert (np.diff(found.score_point, axis=1) >= 0).all()
    assert (found.queries == 3).all()
    assert (found.forwards == 4).all()
    old = rows(before)
    for was, now in zip(old.xy, found.xy, strict=True):
        assert sorted(was.tolist()) == sorted(now.tolist())
    assert not np.array_equal(old.xy, found.xy)  # some did change places


def test_a_cache_of_another_number_of_points_is_refused(before):
    with pytest.raises(ValueError, match="refresh must be a cache of 3 points an image, got one of 1"):
        run(own_net(0), before, 1.0, PointSearch("seeded", candidates=12, points=3))


def test_images_that_the_earlier_round_does_not_hold_are_searched(before):
    more = Shapes(6, seed=9)
    found = run(own_net(0), before, 1.0, SEARCH, more.images, more.labels, np.arange(1, 7))
    expected = SEARCH.run(own_net(0), torch.from_numpy(more.images)[:, None], more.labels, keys=np.arange(1, 7))
    assert np.array_equal(found.xy, expected.xy)
    assert np.array_equal(found.queries, expected.queries)


def test_what_was_left_out_as_misclassified_is_searched_once_it_is_right(tmp_path):
    search = PointSearch("seeded", candidates=8, misclassified="skip")
    first, second = own_net(0), nearby(0.9)
    before = mine(first, path=tmp_path / "c", search=search)
    after = mine(second, path=tmp_path / "d", search=search, refresh=(before, 1.0))
    with torch.no_grad():
        images = torch.from_numpy(DATA.images)[:, None]
        right = [(m(m.preprocess(images)).argmax(1).numpy() == DATA.labels) for m in (first, second)]
    assert (right[0] & right[1]).any()
    assert (~right[0] & right[1]).any()
    assert (right[0] & ~right[1]).any()
    assert np.array_equal(rows(after).hit, right[1])
    both, gained = right[0] & right[1], ~right[0] & right[1]
    assert np.array_equal(rows(after).xy[both], rows(before).xy[both])
    anew = rows(mine(second, path=tmp_path / "e", search=search))
    assert np.array_equal(rows(after).xy[gained], anew.xy[gained])


def test_an_interrupted_refresh_goes_on_and_one_of_another_threshold_is_refused(before, tmp_path):
    class Ends(Shapes):
        left = 1000

        def __getitem__(self, index):
            self.left -= 1
            if not self.left:
                raise KeyboardInterrupt
            return super().__getitem__(index)

    model, options = nearby(0.5), {"search": SEARCH, "refresh": (before, 0.02)}
    whole = mine(model, path=tmp_path / "w", **options)
    data = Ends(24)
    data.left = 28
    with pytest.raises(KeyboardInterrupt):
        mine(model, dataset=data, path=tmp_path / "c", **options)
    assert np.array_equal(rows(mine(model, path=tmp_path / "c", **options)).xy, rows(whole).xy)
    with pytest.raises(ValueError, match="threshold"):
        mine(model, path=tmp_path / "c", search=SEARCH, refresh=(before, 0.03))
