"""Files of the last version, kept in ``last_version/``: they open, say the same, and mining goes on from them.

They were mined on the data sets, with the networks and searches below; ``points.npz`` holds what that version looked up
in each by content key and label, and what it mined of ``stopped`` and of ``grey`` extended when it went on itself.
"""

import shutil
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from pasm_aug import PointSearch, PositionCache, mine_positions
from pasm_aug.cache.merge import write_cache
from pasm_aug.cache.rearrange import shuffled_positions
from pasm_aug.cache.stack import stacked_positions
from pasm_aug.core.image_content import content_key
from pasm_aug.search.cam_cache import class_activation_cache
from tests.shapes import Shapes, own_net

FILES = Path(__file__).parent / "last_version"
CACHES = ("colour", "grey", "stacked", "shuffled", "cams")


class Coloured(Shapes):
    """Of three different channels; image 5 is image 2 under another label, image 8 under the same."""

    def __init__(self):
        super().__init__(24)
        self.images[[5, 8]] = self.images[2]
        self.labels[5] = 0

    def __getitem__(self, index):
        image, label = super().__getitem__(index)
        return PIL.Image.merge("RGB", (image, image.rotate(90), image.rotate(180))), label


class Grey(Shapes):
    """Image 5 is image 1 under another label; further images may follow the first twelve."""

    def __init__(self, length=12):
        super().__init__(length)
        self.images[:12] = Shapes(12).images
        self.images[5] = self.images[1]


def to_grey(images):
    return images.float().mean(1, keepdim=True) / 127.5 - 1


def mine(dataset, path, points=1, seed=0, run=PointSearch.run, **options):
    """The call of each file: grey ones from every image, colour ones two points from those classified right."""
    counted = type("Counted", (PointSearch,), {"run": run})
    colour = isinstance(dataset, Coloured)
    then = {"budget": 80, "candidates": 8, "misclassified": "skip" if colour else "mine"}
    search = counted("seeded", points=points, **then)
    options |= {"preprocess": to_grey} if colour else {}
    return mine_positions(own_net(seed), dataset, path, search=search, device="cpu", progress=False, **options)


@pytest.fixture(scope="module")
def known():
    """What the last version said of a cache, by name and column."""
    with np.load(FILES / "points.npz") as columns:
        return dict(columns)


def check_points(cache, name, known):
    found = cache.to_numpy()
    for column in ("key", "label", "xy", "colour", "index"):
        np.testing.assert_array_equal(found[column], known[f"{name}.{column}"])
    for column in ("p_clean", "p_point"):
        assert found[column] == pytest.approx(known[f"{name}.{column}"], abs=1e-5)


@pytest.mark.parametrize("name", CACHES)
def test_its_caches_say_what_they_said(name, known):
    cache = PositionCache.open(FILES / name)
    check_points(cache, name, known)
    index, keys, labels = (known[f"{name}.{column}"] for column in ("index", "key", "label"))
    by_content, by_index = cache.lookup(keys=keys, labels=labels), cache.lookup(indices=np.arange(len(index)))
    for found, rows in ((by_content, np.arange(len(keys))), (by_index, index)):
        np.testing.assert_array_equal(found.hit, rows >= 0)
        for column in ("xy", "colour", "p_clean", "p_point"):
            np.testing.assert_array_equal(getattr(found, column)[found.hit], known[f"{name}.{column}"][rows[rows >= 0]])
    assert [cache.find(*pair) for pair in zip(keys.tolist(), labels.tolist(), strict=True)] == list(range(len(keys)))
    assert (cache.unmined, cache.conflicts) == (15 if name == "colour" else 0, int(name != "colour"))


def as_mined_then(other, path):
    """With the probe logits that the second cache of ``stacked`` has: on another CPU their last bits differ."""
    columns = other.to_numpy()
    rows = columns["index"]
    fingerprint = PositionCache.open(FILES / "stacked").metadata["fingerprint"]["stacked"][1]
    about = {"fingerprint": fingerprint, "dataset": other.metadata["dataset"]}
    write_cache(path, other.to_rows(), columns["key"][rows], columns["label"][rows], about)
    return PositionCache.open(path)


def never(*_, **__):
    raise AssertionError("searched again")


def test_nothing_is_searched_where_its_cache_holds_all(tmp_path):
    for name, data, points in (("colour", Coloured(), 2), ("grey", Grey(), 1)):
        shutil.copy(FILES / name, tmp_path)
        mine(data, tmp_path / name, points, run=never)
        assert (tmp_path / name).read_bytes() == (FILES / name).read_bytes()


@pytest.mark.parametrize(
    ("file", "data", "points", "searched", "name"),
    [
        ("stopped.journal-0", Coloured(), 2, 7, "stopped"),
        ("grey", Grey(20), 1, 8, "longer"),
    ],
)
def test_mining_goes_on_from_its_files(tmp_path, known, file, data, points, searched, name):
    shutil.copy(FILES / file, tmp_path)
    images = []

    def run(self, teacher, pixels, labels, **options):
        images.extend(options["keys"].tolist())
        return PointSearch.run(self, teacher, pixels, labels, **options)

    path = tmp_path / file.removesuffix(".journal-0")
    check_points(mine(data, path, points, run=run), name, known)
    assert sorted(images) == sorted(content_key(data[i][0]) for i in range(len(data) - len(images), len(data)))
    assert len(images) == searched


def test_caches_made_of_its_caches_are_not_made_again(tmp_path, known):
    for name in ("grey", "stacked", "shuffled", "cams"):
        shutil.copy(FILES / name, tmp_path)
    grey = PositionCache.open(tmp_path / "grey")
    other = as_mined_then(mine(Grey(), tmp_path / "other", points=2, seed=1), tmp_path / "other")
    before = {name: (tmp_path / name).stat().st_mtime_ns for name in ("stacked", "shuffled", "cams")}
    stacked_positions([grey, other], tmp_path / "stacked")
    shuffled_positions(grey, tmp_path / "shuffled", seed=3)
    class_activation_cache(own_net(), Grey(), tmp_path / "cams", progress=False)
    assert before == {name: (tmp_path / name).stat().st_mtime_ns for name in before}
    anew = shuffled_positions(grey, tmp_path / "anew", seed=3)
    assert Path(anew.path).read_bytes() == (FILES / "shuffled").read_bytes()
    anew = stacked_positions([grey, other], tmp_path / "anew")
    check_points(anew, "stacked", known)
    assert anew.metadata == PositionCache.open(FILES / "stacked").metadata
