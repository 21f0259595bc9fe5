import os
import signal
import subprocess
import sys
import time

import numpy as np
import PIL.Image
import pytest
import torch

from pasm_aug.cache.format import CacheError
from pasm_aug.cache.journal import journal_paths, read_journal
from pasm_aug.cache.position_cache import PositionCache
from pasm_aug.cache.stack import stacked_positions
from pasm_aug.core.image_content import content_key
from pasm_aug.search.mine import images_at_once, mine_positions
from pasm_aug.search.point_search import PointSearch
from tests.shapes import Shapes, own_net

SEARCH = PointSearch("seeded", candidates=8)


def mine(path, *, teacher=None, data=None, search=SEARCH, **options):
    return mine_positions(teacher or own_net(), data or Shapes(40), path, search=search, progress=False, **options)


def test_every_image_gets_the_point_that_the_search_finds(tmp_path):
    data, teacher = Shapes(40), own_net()
    cache = mine(tmp_path / "c", data=data, teacher=teacher)
    images = torch.from_numpy(data.images)[:, None]
    result = SEARCH.run(teacher, images, torch.from_numpy(data.labels))
    found = cache.lookup(indices=np.arange(40))
    assert found.hit.all()
    assert np.array_equal(found.xy, result.xy)
    assert np.array_equal(found.colour, result.colour)
    assert found.p_point == pytest.approx(result.p_point, abs=1e-6)
    keys = [content_key(image) for image in data.images]
    assert np.array_equal(cache.lookup(keys=keys, labels=data.labels).xy, result.xy)
    assert cache.metadata["queries"] == result.queries.sum()
    assert len(cache) == 40
    assert os.listdir(tmp_path) == ["c"]


def test_a_million_points_would_take_less_than_32_bytes_each(tmp_path):
    sizes = [os.path.getsize(mine(tmp_path / str(n), data=Shapes(n)).path) for n in (60, 120)]
    assert (sizes[1] - sizes[0]) / 60 <= 32


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("batch_size", [1, 7])
def test_batches_and_workers_change_nothing(tmp_path, workers, batch_size):
    search = PointSearch("paper", population_size=10, generations=3)
    first = mine(tmp_path / "a", search=search).to_numpy()
    options = {"search": PointSearch("paper", population_size=10, generations=3, batch_size=batch_size)}
    again = mine(tmp_path / "b", workers=workers, **options).to_numpy()
    for name in ("key", "label", "xy", "colour", "index"):
        assert np.array_equal(first[name], again[name])


def test_an_interrupted_mining_goes_on_and_searches_nothing_twice(tmp_path):
    class Killed(Exception):
        pass

    class Dying(Shapes):
        def __getitem__(self, index):
            if index == 38 and Dying.alive < 1:
                raise Killed
            Dying.alive -= index == 38
            return super().__getitem__(index)

    Dying.alive = 0
    with pytest.raises(Killed):
        mine(tmp_path / "c", data=Dying(40))
    Dying.alive = 99
    journals = journal_paths(tmp_path / "c")
    acknowledged = len(read_journal(journals[0]))
    assert acknowledged == 32
    searched = []

    class Counting(PointSearch):
        def run(self, teacher, images, labels, **options):
            searched.append(len(images))
            return super().run(teacher, images, labels, **options)

    cache = mine(tmp_path / "c", search=Counting("seeded", candidates=8))
    assert sum(searched) == 40 - acknowledged
    assert (tmp_path / "c").read_bytes() == (tmp_path / "d").read_bytes() if mine(tmp_path / "d") else None
    assert len(cache) == 40


def test_more_images_extend_a_cache(tmp_path):
    mine(tmp_path / "c", data=Shapes(12))
    searched = []

    class Counting(PointSearch):
        def run(self, teacher, images, labels, **options):
            searched.append(len(images))
            return super().run(teacher, images, labels, **options)

    class More(Shapes):
        def __init__(self):
            super().__init__(20)
            old = Shapes(12)
            self.images[:12] = old.images

    cache = mine(tmp_path / "c", data=More(), search=Counting("seeded", candidates=8))
    assert searched == [8]
    assert cache.lookup(indices=np.arange(20)).hit.all()
    assert cache.metadata["queries"] == 20 * 8


def test_equal_images_are_searched_once_and_conflicting_labels_apart(tmp_path):
    class Twice(Shapes):
        def __init__(self):
            super().__init__(6)
            self.images[3] = self.images[0]  # same label
            self.images[4] = self.images[0]  # another label

    cache = mine(tmp_path / "c", data=Twice())
    assert len(cache.to_numpy()["key"]) == 5
    assert cache.conflicts == 1
    found = cache.lookup(indices=[0, 3, 4])
    assert np.array_equal(found.xy[0], found.xy[1])
    assert found.p_clean[0] != found.p_clean[2]


def test_images_of_different_sizes(tmp_path):
    class Sizes(Shapes):
        def __getitem__(self, index):
            image, label = super().__getitem__(index)
            return (image if index % 2 else image.crop((0, 0, 19, 17))), label

    cache = mine(tmp_path / "c", data=Sizes(10))
    found = cache.lookup(indices=np.arange(10))
    assert found.hit.all()
    assert (found.xy[::2] < [19, 17]).all()


def test_images_of_many_sizes_are_acknowledged_as_they_come(tmp_path, monkeypatch):
    class Each(Shapes):
        read = 0

        def __getitem__(self, index):
            image, label = super().__getitem__(index)
            Each.read = max(Each.read, index)
            return image.crop((0, 0, 20, 15 + index % 5)), label

    held = []

    class Watching(PointSearch):
        def run(self, teacher, images, labels, **options):
            held.append(len(images))
            return super().run(teacher, images, labels, **options)

    teacher = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(4), torch.nn.Flatten(), torch.nn.Linear(16, 3))
    monkeypatch.setattr("pasm_aug.search.mine.IMAGES_AT_ONCE", 6)
    mine(tmp_path / "c", teacher=teacher, data=Each(60), search=Watching("seeded", candidates=8),
         preprocess=lambda x: x.float() / 255)  # fmt: skip
    assert sum(held) == 60
    assert max(held) > 1  # equal sizes still go together
    assert len(held) >= 60 / 6


@pytest.mark.parametrize(
    ("search", "most"), [(PointSearch("seeded"), 32), (PointSearch("paper"), 3), (PointSearch("exhaustive"), 7)]
)
def test_a_dear_search_is_acknowledged_more_often(search, most):
    assert images_at_once(search, (3, 48, 48)) == most


def test_skipped_images_are_not_searched_again(tmp_path):
    search = PointSearch("seeded", candidates=8, misclassified="skip")
    mine(tmp_path / "c", search=search, data=Shapes(30))
    before = (tmp_path / "c").read_bytes()
    mine(tmp_path / "c", search=search, data=Shapes(30))
    assert (tmp_path / "c").read_bytes() == before


def test_mining_leaves_the_random_state(tmp_path):
    state = torch.get_rng_state()
    mine(tmp_path / "c", workers=1)
    assert torch.equal(state, torch.get_rng_state())


def test_an_image_of_another_size_may_join_at_the_front(tmp_path):
    class Front(Shapes):
        def __getitem__(self, index):
            if index:
                return Shapes(20)[index - 1]
            return PIL.Image.new("L", (17, 19), 90), 0

    teacher = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(4), torch.nn.Flatten(), torch.nn.Linear(16, 3))
    options = {"teacher": teacher, "preprocess": lambda x: x.float() / 255}
    mine(tmp_path / "c", data=Shapes(20), **options)
    assert len(mine(tmp_path / "c", data=Front(21), **options)) == 21


def test_colour_images_that_join_a_grey_cache_are_named(tmp_path):
    class Colour(Shapes):
        def __getitem__(self, index):
            image, label = super().__getitem__(index)
            return (image if index < 20 else PIL.Image.merge("RGB", (image, image, image.rotate(90)))), label

    teacher = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(4), torch.nn.Flatten(), torch.nn.LazyLinear(3))
    options = {"teacher": teacher, "preprocess": lambda x: x.float().mean(1, keepdim=True) / 255}
    teacher(torch.zeros(1, 1, 20, 20))
    mine(tmp_path / "c", data=Shapes(20), **options)
    with pytest.raises(ValueError, match="convert the images to RGB"):
        mine(tmp_path / "c", data=Colour(30), **options)


def test_skipped_images_are_remembered_and_have_no_point(tmp_path):
    search = PointSearch("seeded", candidates=8, misclassified="skip")
    data, teacher = Shapes(30), own_net()
    right = teacher(teacher.preprocess(torch.from_numpy(data.images)[:, None])).argmax(1).numpy() == data.labels
    cache = mine(tmp_path / "c", search=search, data=data)
    assert 0 < right.sum() < 30
    assert np.array_equal(cache.lookup(indices=np.arange(30)).hit, right)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"teacher": own_net(1)}, "weights"),
        ({"search": PointSearch("seeded", candidates=9)}, "candidates"),
        ({"search": PointSearch("exhaustive")}, "exhaustive"),
        ({"preprocess": lambda x: x.float() / 100 - 1}, "probe_logits"),
    ],
)
def test_a_cache_of_another_teacher_or_search_is_refused(tmp_path, change, message):
    mine(tmp_path / "c")
    before = (tmp_path / "c").read_bytes()
    with pytest.raises(CacheError, match=message):
        mine(tmp_path / "c", **change)
    assert (tmp_path / "c").read_bytes() == before
    mine(tmp_path / "c", resume=False, **change)
    assert PositionCache.open(tmp_path / "c")


def test_random_transforms_are_noticed(tmp_path):
    class Noisy(Shapes):
        def __getitem__(self, index):
            _, label = super().__getitem__(index)
            return PIL.Image.fromarray(np.random.default_rng().integers(0, 255, (20, 20), dtype=np.uint8)), label

    with pytest.raises(ValueError, match="without its random transforms"):
        mine(tmp_path / "c", data=Noisy(10))


def test_even_a_flip_is_noticed(tmp_path):
    class Flipping(Shapes):
        def __getitem__(self, index):
            image, label = super().__getitem__(index)
            return (np.asarray(image)[..., ::-1] if rng.random() < 0.5 else image), label

    for seed in range(20):  # three items read twice let one in eight pass
        rng = np.random.default_rng(seed)
        with pytest.raises(ValueError, match="without its random transforms"):
            mine(tmp_path / "c", data=Flipping(40))


@pytest.mark.parametrize("label", ["cat", torch.eye(3)[0], None])
def test_a_label_that_is_no_class_is_named(tmp_path, label):
    class Labelled(Shapes):
        def __getitem__(self, index):
            return super().__getitem__(index)[0], label

    with pytest.raises(TypeError, match="label of item 0 must be a class, a whole number from 0 on, got"):
        mine(tmp_path / "c", data=Labelled(10))


def test_a_cache_that_no_search_made_is_refused(tmp_path):
    cache = mine(tmp_path / "a")
    stacked_positions([cache, cache], tmp_path / "c")
    with pytest.raises(CacheError, match="was made otherwise"):
        mine(tmp_path / "c")


@pytest.mark.parametrize(
    ("teacher", "message"),
    [(own_net(num_classes=2), "2 outputs"), (torch.nn.Sequential(own_net()), "preprocess")],
)
def test_a_teacher_that_does_not_fit_is_named(tmp_path, teacher, message):
    with pytest.raises(ValueError, match=message):
        mine(tmp_path / "c", teacher=teacher)


def test_nan_logits_are_named(tmp_path):
    teacher = own_net()
    teacher.head.bias.data[0] = float("nan")
    with pytest.raises(ValueError, match="finite"):
        mine(tmp_path / "c", teacher=teacher)


MINER = """
import sys
import torch
torch.set_num_threads(1)
from pasm_aug.search.point_search import PointSearch
from pasm_aug.search.mine import images_at_once, mine_positions
from pasm_aug.search import mine as mining
from tests.shapes import Shapes, own_net
mining.IMAGES_AT_ONCE = 4
search = PointSearch("paper", population_size=10, generations=20)
mine_positions(own_net(), Shapes(120), sys.argv[1], search=search, progress=False)
"""


def start(path, *before):
    return subprocess.Popen([sys.executable, *before, "-c", MINER, str(path)])


def acknowledged(path):
    return sum(len(read_journal(file)) for file in journal_paths(path))


def test_killed_at_any_moment_nothing_acknowledged_is_lost(tmp_path, monkeypatch):
    """A real miner, killed with SIGKILL again and again; what its journal held is in the next one's, to the end."""
    search = PointSearch("paper", population_size=10, generations=20)
    path, kept, rng = tmp_path / "c", set(), np.random.default_rng(0)
    for _ in range(4):
        process = start(path)
        while process.poll() is None and acknowledged(path) <= len(kept):
            time.sleep(0.02)
        assert process.poll() is None, "the miner ended by itself"
        time.sleep(rng.uniform(0.0, 0.2))
        process.send_signal(signal.SIGKILL)
        process.wait()
        rows = [row.tobytes() for file in journal_paths(path) for row in read_journal(file)]
        assert kept < set(rows)
        assert len(rows) == len(set(rows))
        kept = set(rows)
    assert 0 < len(kept) < 120
    mine(tmp_path / "c", data=Shapes(120), search=search)
    mine(tmp_path / "whole", data=Shapes(120), search=search)
    finished, whole = (PositionCache.open(tmp_path / name).to_numpy() for name in ("c", "whole"))
    for name in ("key", "label", "xy", "colour", "index"):
        assert np.array_equal(finished[name], whole[name])


def test_two_processes_find_what_one_finds(tmp_path):
    script = tmp_path / "miner.py"
    script.write_text(MINER)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = os.environ | {"PYTHONPATH": os.getcwd(), "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, str(script), str(tmp_path / "two")], check=True, env=environment, timeout=90)
    one = mine(tmp_path / "one", data=Shapes(120), search=PointSearch("paper", population_size=10, generations=20))
    two = PositionCache.open(tmp_path / "two")
    for name in ("key", "label", "xy", "colour", "index"):
        assert np.array_equal(one.to_numpy()[name], two.to_numpy()[name])
    assert one.metadata == two.metadata
