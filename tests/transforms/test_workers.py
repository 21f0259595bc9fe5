"""The transform in real loaders: every way to start workers, replaced caches, counts, memory, OpenMP."""

import os
import pickle
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from pasm_aug.cache.format import CacheError
from pasm_aug.cache.merge import write_cache
from pasm_aug.cache.record import row_dtype
from pasm_aug.core.image_content import content_key, dataset_digest
from pasm_aug.transforms.indexed_dataset import IndexedDataset
from pasm_aug.transforms.paired_view import PairedView
from tests.images import BOX, Images, erase, make_image, reference, write

HEAVY = ("numba", "torchmetrics", "accelerate", "matplotlib", "facenet_pytorch")
METHODS = ["fork", *(pytest.param(method, marks=pytest.mark.slow) for method in ("spawn", "forkserver"))]


class Watched(Images):
    """The label says how many heavy modules the worker has loaded."""

    def __getitem__(self, index):
        return super().__getitem__(index)[0], sum(name in sys.modules for name in HEAVY)


def colour(path, values, count):
    """Replace the cache by one of other colours."""
    return write(path, [make_image(i) for i in range(count)], colour=values)


def images_of(loader):
    return torch.cat([batch[0] for batch in loader])


@pytest.mark.parametrize("method", METHODS)
def test_caches_replaced_between_epochs(tmp_path, method):
    path = colour(tmp_path / "c", (1, 2, 3), 10)
    transform = erase(path)
    loader = DataLoader(
        Watched(12, transform), 3, num_workers=2, persistent_workers=True, multiprocessing_context=method
    )
    for epoch, count in enumerate((10, 12, 11)):
        values = (epoch, 9, 200)
        colour(path, values, count)
        images = images_of(loader)
        assert all(torch.equal(images[i], reference(make_image(i), BOX, values)) for i in range(count))
    assert transform.stats() == {"calls": 36, "erased": 36, "hits": 33, "misses": 3, "skipped": 0}
    if method != "fork":  # a forked worker has what its parent has
        assert sum(int(n) for _, heavy in loader for n in heavy) == 0
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CacheError, match="truncated"):
        images_of(loader)
    loader._iterator._shutdown_workers()


@pytest.mark.parametrize("method", METHODS)
def test_every_route_in_workers(tmp_path, method):
    """Index, travelling point and clean twin, each with its own small loader."""
    base = Images(6)
    path = write(tmp_path / "c", [make_image(i) for i in range(6)], digest=dataset_digest(base))
    transform = erase(path, on_miss="raise")
    flip = v2.RandomHorizontalFlip(1.0)
    wanted = torch.stack([reference(make_image(i), BOX, (250, 130, 10)) for i in range(6)])
    routes = [
        (IndexedDataset(base, transform), wanted),
        (IndexedDataset(base, v2.Compose([flip, transform]), cache=path), wanted.flip(-1)),
        (IndexedDataset(base, PairedView(transform, flip)), wanted.flip(-1)),
    ]
    for data, images in routes[: 3 if method == "fork" else 2]:
        loader = DataLoader(data, 3, num_workers=1, multiprocessing_context=method)
        assert torch.equal(images_of(loader), images)
    assert transform.stats()["hits"] == (18 if method == "fork" else 12)


def test_workers_draw_differently_and_again_alike():
    def boxes(seed):
        torch.manual_seed(seed)
        images = images_of(DataLoader(Images(16, erase(None, value=0, size=1)), 2, num_workers=2))
        return [tuple(place) for one in images for place in (one == 0).all(0).nonzero().tolist()]

    first = boxes(1)
    assert len(first) == 16
    assert len(set(first)) > 12
    assert boxes(1) == first != boxes(2)


@pytest.mark.filterwarnings("ignore:.*hit rate")
def test_what_is_sent_to_a_worker_is_small(tmp_path):
    path = write(tmp_path / "c", [make_image(i) for i in range(500)])
    transform = erase(path)
    for i in range(600):
        transform(make_image(i))
    assert len(pickle.dumps(transform)) < 1024
    assert len(pickle.dumps(transform.cache)) < 200


def private_kilobytes():
    text = Path("/proc/self/smaps_rollup").read_text()
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Private_Dirty"))


class Memory(Dataset):
    """What the first look-up costs a worker, in kB: with the parent's cache, and with one that it opens itself."""

    def __init__(self, transform, warm):
        self.transform, self.warm = transform, warm

    def __len__(self):
        return 1

    def __getitem__(self, index):
        self.warm(make_image())
        costs = []
        for transform in (self.transform, pickle.loads(pickle.dumps(self.transform))):
            before = private_kilobytes()
            transform(make_image())
            costs.append(private_kilobytes() - before)
            assert transform.stats()["hits"] >= 1
        before = private_kilobytes()
        copied = self.transform.cache.to_numpy()  # what it would cost if each worker had its own
        return torch.tensor([*costs, private_kilobytes() - before, len(copied)])


@pytest.mark.skipif(not os.path.exists("/proc/self/smaps_rollup"), reason="needs Linux")
def test_workers_share_one_copy(tmp_path):
    rows = np.zeros(100_000, row_dtype(8, 3))
    rows["key"], rows["mined"] = np.random.default_rng(0).permutation(100_000), True
    rows["key"][0] = content_key(make_image())
    write_cache(tmp_path / "c", rows, rows["key"], rows["label"], {"fingerprint": {}, "dataset": {"digest": 0}})
    warm = erase(write(tmp_path / "warm", [make_image()]))
    loader = DataLoader(Memory(erase(tmp_path / "c"), warm), num_workers=1, multiprocessing_context="fork")
    inherited, opened, copied, _ = next(iter(loader))[0].tolist()
    assert copied > 8000
    assert inherited < 1000
    assert opened < 4000


RUN = """
    import sys, torch, numpy as np
    from torch.utils.data import DataLoader
    from tests.images import Images, erase, make_image, write

    {busy}
    path = write(sys.argv[1], [make_image(i) for i in range(200)])
    transform = erase(path, value="mean")
    for epoch in range(2):
        for images, _ in DataLoader(Images(400, transform), 50, num_workers=1, multiprocessing_context="fork"):
            assert images.shape == (50, 3, 24, 24)
    print(transform.stats())
"""
BUSY = {
    "torch": """
    torch.set_num_threads(2)
    torch.rand(600, 600) @ torch.rand(600, 600)
    torch.nn.functional.conv2d(torch.rand(8, 16, 64, 64), torch.rand(16, 16, 3, 3))
    torch.rand(1 << 20).exp().sum()
    """,
    "numba": """
    import numba
    numba.set_num_threads(2)

    @numba.njit(parallel=True)
    def work(values):
        total = 0.0
        for i in numba.prange(len(values)):
            total += values[i] ** 0.5
        return total

    assert work(np.ones(1 << 20)) > 0
    """,
}


@pytest.mark.parametrize("library", ["torch", pytest.param("numba", marks=pytest.mark.slow)])
def test_no_hang_after_openmp_in_the_parent(tmp_path, library):
    code = textwrap.dedent(RUN).format(busy=textwrap.dedent(BUSY[library]))
    root = str(Path(__file__).parents[2])
    env = {**os.environ, "OMP_NUM_THREADS": "2", "NUMBA_NUM_THREADS": "2", "PYTHONPATH": root}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "c")], capture_output=True, text=True, timeout=60, env=env
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str({"calls": 800, "erased": 800, "hits": 400, "misses": 400, "skipped": 0})
    assert done.stderr.count("hit rate") == 1  # the workers of both epochs warn once
