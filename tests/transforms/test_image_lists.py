"""Lists of images beside as many labels: each image is a sample of its own; a nest of images stays one sample."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import default_collate
from torchvision.transforms import v2

from pasm_aug.transforms.erase import PointAdversarialErase
from pasm_aug.transforms.indexed_dataset import SampleIndex
from tests.transforms.test_erase import make_image, write

COUNT = 6


@pytest.fixture
def images():
    return [make_image(i) for i in range(COUNT)]


@pytest.fixture
def erase(tmp_path, images):
    xy = [[[3 * i + 4, 4 + 2 * i]] for i in range(COUNT)]
    return PointAdversarialErase(write(tmp_path / "c", images, xy=xy), p=1.0, size=3)


def alone(erase, images):
    return [erase(image) for image in images]


def same(found, wanted):
    return all(torch.equal(v2.functional.pil_to_tensor(a) if not isinstance(a, Tensor) else a, b)
               for a, b in zip(found, wanted, strict=True))  # fmt: skip


LABELS = {
    "list": [0, 1, 2, 0, 1, 2],
    "tensor": torch.tensor([0, 1, 2, 0, 1, 2]),
    "array": np.array([0, 1, 2, 0, 1, 2]),
    "list of tensors": list(torch.tensor([0, 1, 2, 0, 1, 2])),
    "names": list("abcabc"),
}


@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize("pil", [True, False])
def test_each_image_gets_its_own_square(erase, images, kind, pil):
    given = [v2.functional.to_pil_image(image) for image in images] if pil else images
    wanted = alone(erase, images)
    sample = {"image": given, "label": LABELS[kind], "file": list("uvwxyz")}
    found = erase(sample)
    assert same(found["image"], wanted)
    assert found["label"] is sample["label"]
    assert found["file"] == sample["file"]
    assert same(erase((given, LABELS[kind]))[0], wanted)
    assert type(erase([given, LABELS[kind]])) is list
    assert erase.stats()["misses"] == 0
    assert same(given, images)


def test_labels_and_indices_go_with_their_image(tmp_path, images):
    """The same pixels under two labels have two points."""
    twins = [images[0], images[0]]
    path = write(tmp_path / "twins", twins, labels=[0, 1], xy=[[[5, 5]], [[14, 15]]])
    erase = PointAdversarialErase(path, p=1.0, size=1)

    def places(sample):
        return [(out != images[0]).any(0).nonzero().tolist() for out in erase(sample)["image"]]

    assert places({"image": twins, "label": [1, 0]}) == [[[15, 14]], [[5, 5]]]
    digest = erase.cache.metadata["dataset"]["digest"]
    each = [SampleIndex([i, digest]) for i in (1, 0)]
    assert places({"image": twins, "label": [7, 7], "index": each}) == [[[15, 14]], [[5, 5]]]
    assert places({"image": twins, "label": [7, 7], "index": default_collate(each)}) == [[[15, 14]], [[5, 5]]]


def test_a_list_without_as_many_labels_is_one_sample(erase, images):
    for sample in ({"views": images[:2], "label": 3}, (images[:2], 3), [images[:2]], {"views": images[:2]}):
        found = erase(sample)
        views = found["views"] if isinstance(found, dict) else found[0]
        first = (views[0] != images[0]).any(0)
        assert torch.equal((views[1] != images[1]).any(0) | first, first), "one square for both"


def test_a_list_of_one_is_a_lone_image(erase, images):
    torch.manual_seed(0)
    wanted = erase(images[2])
    torch.manual_seed(0)
    assert same(erase({"image": [images[2]], "label": [1]})["image"], [wanted])
