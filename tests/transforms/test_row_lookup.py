"""Why images are not found: the one warning of the transform names the likely cause; wrong indices are refused."""

import inspect
import warnings

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset, Subset
from torchvision.transforms.v2 import functional as F

from pasm_aug.cache.position_cache import PositionCache
from pasm_aug.core.image_content import dataset_digest
from pasm_aug.transforms.indexed_dataset import IndexedDataset, SampleIndex
from pasm_aug.transforms.miss_report import CacheMiss
from tests.images import COLOUR, XY, Images, erase, make_image, smooth, write

COUNT = 240
SIZE = [50, 44]  # by simple ratios the libraries may agree


def resized(seed):
    """As mined: resized by PIL, then a tensor."""
    return F.pil_to_tensor(F.resize(F.to_pil_image(smooth(seed, 96)), SIZE))


def by_tensor(seed):
    return F.resize(smooth(seed, 96), SIZE)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write(tmp_path_factory.mktemp("caches") / "c", [resized(i) for i in range(COUNT)])


def said_of(path, images, **options):
    """All warnings of a transform that is given these images."""
    transform = erase(path, **options)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for image in images:
            transform(image)
    assert all(warning.category is UserWarning for warning in caught)
    return [str(warning.message) for warning in caught]


@pytest.fixture
def in_a_loader(monkeypatch):
    monkeypatch.setattr("pasm_aug.transforms.miss_report.get_worker_info", lambda: "a worker's")


PIXELS = "were mined with other pixels: likely another resize backend (PIL and tensor resizing differ)"
FLIP = "the mirror images of those missed were mined: a random flip stands before this transform"
UNKNOWN = "likely causes: another split of the data, a random transform before this one, another resize backend"
PIPELINES = {
    "tensor resize": (by_tensor, PIXELS),
    "other size": (lambda i: F.resize(smooth(i, 96), [40, 40]), PIXELS),
    "darker": (lambda i: F.adjust_brightness(resized(i), 0.9), PIXELS),
    "mirrored": (lambda i: resized(i).flip(-1), FLIP),
    "mirrored after a tensor resize": (lambda i: by_tensor(i).flip(-1), FLIP),
    "other images": (lambda i: resized(COUNT + i), UNKNOWN),
    "turned": (lambda i: F.rotate(resized(i), 180.0), UNKNOWN),
}


@pytest.mark.usefixtures("in_a_loader")
@pytest.mark.parametrize("name", PIPELINES)
def test_the_one_warning_names_the_cause(path, name):
    pipeline, cause = PIPELINES[name]
    said = said_of(path, [pipeline(i) for i in range(COUNT)])
    assert len(said) == 1
    assert said[0].startswith(f"{path}: hit rate 0% in 101 look-ups; ")
    assert [one for one in (PIXELS, FLIP, UNKNOWN) if one in said[0]] == [cause]


@pytest.mark.usefixtures("in_a_loader")
def test_a_mixture_is_named_and_a_good_pipeline_is_silent(path):
    flipped = [resized(i).flip(-1) if i % 2 else resized(i) for i in range(COUNT)]
    said = said_of(path, flipped)
    assert len(said) == 1
    assert "hit rate 50%" in said[0]
    assert "random flip" in said[0]
    assert said_of(path, [resized(i) for i in range(COUNT)]) == []
    assert said_of(path, [resized(i if i % 20 else COUNT + i) for i in range(COUNT)]) == []  # one in twenty is missed
    assert len(said_of(path, [by_tensor(i) for i in range(COUNT)], on_miss="skip")) == 1
    assert said_of(path, [by_tensor(i) for i in range(99)]) == []  # too few to tell


def test_outside_a_loader_the_first_miss_is_told_at_the_users_line(path):
    transform, missed = erase(path), resized(COUNT)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        transform(resized(0))
        transform(missed)
        line = inspect.currentframe().f_lineno - 1
        transform(missed)
    (told,) = caught
    assert str(told.message).startswith(f"{path}: hit rate 50% in 2 look-ups; likely causes")
    assert (told.filename, told.lineno) == (__file__, line)
    assert "mean=" not in str(told.message)


def test_a_floating_image_is_told_of_normalize(path):
    (said,) = said_of(path, [resized(COUNT) / 255])
    assert said.endswith("behind a Normalize it needs its mean= and std=")
    with pytest.raises(ValueError, match=r"floating in \[0, 1\], got values in -2.*give mean= and std="):
        said_of(path, [F.normalize(resized(COUNT) / 255, [0.5] * 3, [0.25] * 3)])


def test_a_batch_and_a_normalised_image_are_judged_alike(path):
    batches = [torch.stack([by_tensor(i) for i in range(start, start + 40)]) for start in range(0, COUNT, 40)]
    assert "resize backend" in said_of(path, batches)[0]
    mean, std = [0.5, 0.4, 0.3], [0.2, 0.3, 0.4]
    normalised = [F.normalize(by_tensor(i) / 255, mean, std) for i in range(COUNT)]
    assert "resize backend" in said_of(path, normalised, mean=mean, std=std)[0]


def test_the_error_names_the_cause_where_it_can(path):
    with pytest.raises(CacheMiss, match=r"no row for this image in .* likely causes: another split"):
        erase(path, on_miss="raise")(resized(COUNT))
    kept = PositionCache.open(path).to_numpy()["look"]
    assert len(kept) == COUNT // 4  # of a quarter a look is kept, so that one image may not be recognised
    messages = []
    for i in range(40):
        with pytest.raises(CacheMiss) as caught:
            erase(path, on_miss="raise")(by_tensor(i))
        messages.append(str(caught.value))
    assert 2 <= sum("resize backend (PIL" in message and "look like" in message for message in messages) <= 25


class Limited(Dataset):
    """The first items of another data set."""

    def __init__(self, base, count):
        self.base, self.count = base, count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return self.base[index]


def test_parts_of_a_data_set_are_refused(tmp_path):
    base = Images(40)
    digest = dataset_digest(base)
    path = write(tmp_path / "c", [make_image(i) for i in range(40)], digest=digest)
    parts = [Subset(base, range(20)), Subset(base, range(39, -1, -1)), Limited(base, 30), Images(41)]
    for part in parts:
        other = dataset_digest(part)
        match = f"digest {other} is of another data set or a Subset: {path} was mined on digest {digest}"
        image, label, index = IndexedDataset(part)[0]
        with pytest.raises(ValueError, match=match):
            erase(path)(image, label, index)
        with pytest.raises(ValueError, match=match):
            erase(path)({"image": image, "index": index})
        with pytest.raises(ValueError, match=match):
            IndexedDataset(part, cache=path)
    image, label, index = Subset(IndexedDataset(base), [7, 3])[0]  # the right way round: indices of the whole
    assert torch.equal(
        erase(path, on_miss="raise")(image, label, index)[0][:, XY[1], XY[0]], torch.tensor(COLOUR).byte()
    )
    assert dataset_digest(Limited(base, 40)) == digest


def test_conflicting_duplicates(tmp_path):
    """Three samples look alike: labels 4, 2, 4 at 1, 2 and 3; another image is first."""
    images = [make_image(9), make_image(), make_image(), make_image()]
    places = np.array([[[1, 1]], [[5, 9]], [[15, 15]], [[5, 9]]])
    digest = 77
    path = write(tmp_path / "c", images, [0, 4, 2, 4], xy=places, digest=digest)
    cache = PositionCache.open(path)
    assert cache.conflicts == 1
    assert len(cache) == 4
    transform = erase(cache, size=1, value=0, on_miss="raise")

    def place(*sample):
        box = transform.make_params([sample[0]])["box"] if len(sample) == 1 else None
        out = transform(*sample)
        out = out[0] if len(sample) > 1 else out
        y, x = (out == 0).all(0).nonzero()[0].tolist()
        assert box is None or box[:2] == (x, y)
        return x, y

    assert place(make_image(), 4) == (5, 9)
    assert place(make_image(), 2) == (15, 15)
    assert place(make_image(), 2, SampleIndex([1, digest])) == (5, 9)  # an index says more than a label
    assert place(make_image(), 4, SampleIndex([2, digest])) == (15, 15)
    assert place(make_image()) == place(make_image(), 99) == (5, 9)  # else the lowest index serves
    batch = erase(cache, size=1, value=0)(torch.stack([make_image()] * 2), torch.tensor([2, 4]))[0]
    assert batch[0, :, 15, 15].tolist() == batch[1, :, 9, 5].tolist() == [0, 0, 0]
    other = PositionCache.open(write(tmp_path / "d", images, [0, 2, 4, 2], xy=places[[0, 2, 1, 2]], digest=digest))
    transform = erase(other, size=1, value=0, on_miss="raise")
    assert place(make_image()) == (15, 15)  # not the lowest label
    assert PositionCache.open(write(tmp_path / "e", images, [0, 4, 4, 4])).conflicts == 0
