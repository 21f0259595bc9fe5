"""Images held in memory: one piece for all of them, which no transform reaches and no worker runs out of files for."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from pasm_aug.data.in_memory import InMemory
from tests.shapes import Shapes

WORKERS = """
import resource, sys
from torch.utils.data import DataLoader
from pasm_aug.data.in_memory import InMemory
from tests.shapes import Shapes

if __name__ == "__main__":
    held = InMemory(Shapes(3000), progress=False)
    resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))
    loader = DataLoader(held, 500, num_workers=1, multiprocessing_context=sys.argv[1])
    print(sum(int(images.long().sum()) for images, _ in loader) - int(held.images.long().sum()))
"""


def grey_and_colour(sizes, colour):
    rng = np.random.default_rng(0)
    shapes = [(3, *size) if index in colour else size for index, size in enumerate(sizes)]
    return [(rng.integers(0, 256, shape, dtype=np.uint8), index) for index, shape in enumerate(shapes)]


def test_it_keeps_images_labels_and_names():
    base = Shapes(9)
    held = InMemory(base, progress=False)
    assert held.images.shape == (9, 1, 20, 20)
    assert (held.images.dtype, held.source) == (torch.uint8, base)
    assert (held.classes, held.class_to_idx) == (list(base.classes), {"square": 0, "cross": 1, "ring": 2})
    assert [label for _, label in held] == held.labels.tolist() == base.labels.tolist()
    assert np.array_equal(torch.stack([image[0] for image, _ in held]).numpy(), base.images)
    assert torch.equal(held[-1][0], held[np.int64(8)][0])
    with pytest.raises(IndexError):
        held[9]
    assert len(InMemory([], progress=False)) == 0


@pytest.mark.parametrize("sizes", [[(4, 5)] * 3, [(4, 5), (4, 5), (6, 5)]])
def test_what_a_transform_writes_does_not_reach_the_next_epoch(sizes):
    data = [(torch.from_numpy(array)[None], label) for array, label in grey_and_colour(sizes, [])]
    held = InMemory(data, progress=False)
    for index, (image, _) in enumerate(data):
        held[index][0].fill_(7)
        assert torch.equal(held[index][0], image)
        kept = image.clone()
        image.fill_(9)  # nor does what others do to the data set's own
        assert torch.equal(held[index][0], kept)


@pytest.mark.parametrize("colour", [[], [0], [2], [0, 1, 2, 3]])
@pytest.mark.parametrize("sizes", [[(4, 5)] * 4, [(4, 5), (4, 5), (4, 5), (5, 4)], [(4, 5), (5, 4), (4, 5), (4, 4)]])
def test_images_of_any_sizes_and_channels(sizes, colour):
    data = grey_and_colour(sizes, colour)
    held = InMemory(data, progress=False)
    assert isinstance(held.images, torch.Tensor if len(set(sizes)) == 1 else list)
    for (image, label), (array, wanted) in zip(held, data, strict=True):
        assert image.dtype == torch.uint8
        assert image.shape == (3 if colour else 1, *array.shape[-2:])
        assert np.array_equal(image.numpy(), np.broadcast_to(array, image.shape))
        assert label == wanted


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_workers_need_no_file_an_image(method, tmp_path):
    script = tmp_path / "load.py"
    script.write_text(WORKERS)
    done = subprocess.run([sys.executable, script, method], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "0\n"


def test_forked_workers():
    held = InMemory(Shapes(9), progress=False)
    images, _ = zip(*DataLoader(held, 4, num_workers=1, multiprocessing_context="fork"), strict=True)
    assert torch.equal(torch.cat(images), held.images)
