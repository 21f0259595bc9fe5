"""The contact sheet of a transform: what it shows, and what it leaves alone."""

import copy
import pickle
import random
import subprocess
import sys
import warnings

import numpy as np
import PIL.Image
import pytest
import torch
from torch.utils.data import Dataset

from pasm_aug.core.contact_sheet import GAP, LINE, MARK, SIDE
from pasm_aug.core.errors import UserError
from pasm_aug.core.image_content import dataset_digest
from pasm_aug.transforms.baselines import CountedRandomErasing, RandomPlaceErase
from pasm_aug.transforms.indexed_dataset import IndexedDataset
from pasm_aug.transforms.preview import preview_sheet
from tests.images import COLOUR, Images, erase, make_image, write

CELL = SIDE + 2 * GAP


@pytest.fixture
def path(tmp_path):
    """The first six images were mined."""
    return write(tmp_path / "c", [make_image(i) for i in range(6)], labels=range(6))


def cell(sheet, row, column, *, rows):
    """Pixels of one image of a sheet with four columns, its frame and its word."""
    block, tall = 4 * CELL + 2 * GAP, rows if rows <= 6 else -(-rows // 2)
    left, top = row // tall * block + GAP + column * CELL, row % tall * (CELL + LINE)
    return np.asarray(sheet)[top : top + CELL + LINE, left : left + CELL].astype(int)


def share(pixels, colour):
    return (pixels == np.array(colour)).all(-1).mean()


def states():
    numbers = np.random.get_state()[1].tolist()  # noqa: NPY002
    return torch.get_rng_state().tolist(), numbers, random.getstate()


def test_rows_of_an_image_and_its_draws_with_misses_in_red(path):
    transform = erase(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # misses are many
        sheet = transform.preview(Images(12), count=12)
    assert isinstance(sheet, PIL.Image.Image)
    assert sheet.size == (2 * (4 * CELL + 2 * GAP), 6 * (CELL + LINE))
    for row in range(12):
        shown = [cell(sheet, row, column, rows=12) for column in range(4)]
        assert share(shown[0], COLOUR) < 0.01
        for draw in shown[1:]:
            assert (share(draw, COLOUR) > 0.02) == (row < 6)  # 5 × 5 of 24 × 24 pixels
            assert (share(draw, MARK) > 0.02) == (row >= 6)


def test_nothing_is_counted_drawn_or_changed(path):
    transform = erase(path, p=0.5)
    transform(make_image(0))
    before, content, counts = states(), pickle.dumps(transform), transform.stats()

    class Drawing(Images):
        def __getitem__(self, index):
            random.random(), torch.rand(1)  # it should not
            np.random.random()  # noqa: NPY002
            return super().__getitem__(index)

    transform.preview(Drawing(6))
    assert states() == before
    assert transform.stats() == counts
    assert pickle.dumps(transform) == content


def test_the_same_seed_gives_the_same_sheet_and_another_another(path):
    transform = erase(None)
    one, same, other = (np.asarray(transform.preview(Images(4), seed=seed)) for seed in (3, 3, 4))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    one = RandomPlaceErase(path, p=1.0).preview(Images(2), count=1, draws=3)
    draws = [cell(one, 0, column, rows=1).tobytes() for column in range(4)]
    assert len(set(draws)) == 4


def test_without_a_cache_no_miss_is_marked():
    sheet = erase(None).preview(Images(3), count=3)
    assert share(np.asarray(sheet).astype(int), MARK) == 0


def test_where_a_miss_would_raise_it_is_shown(path):
    transform = erase(path, on_miss="raise")
    with pytest.warns(UserWarning, match="hit rate 0%"):
        sheet = transform.preview(Images(9, transform=lambda image: image.flip(-1)), count=2)
    assert share(cell(sheet, 0, 1, rows=2), MARK) > 0.02
    with pytest.raises(LookupError):
        transform(make_image(0).flip(-1))


def test_an_index_finds_what_content_cannot(tmp_path):
    base = Images(4)
    path = write(tmp_path / "c", [make_image(i) for i in range(4)], labels=range(4), digest=dataset_digest(base))
    changed = IndexedDataset(base, lambda image, label, index: (255 - image, label, index))
    sheet = erase(path, on_miss="raise").preview(changed, count=4)
    assert all(share(cell(sheet, row, 1, rows=4), COLOUR) > 0.02 for row in range(4))


class Kinds(Dataset):
    """One image in every form that a data set may hand over."""

    forms = (
        lambda image: image,
        lambda image: {"image": image, "label": 3},
        lambda image: [image, torch.tensor(2)],
        lambda image: (PIL.Image.fromarray(image.permute(1, 2, 0).numpy()), torch.eye(3)[1]),
        lambda image: (image.float() / 255, "word"),
    )

    def __len__(self):
        return len(self.forms)

    def __getitem__(self, index):
        return self.forms[index](make_image())


def test_samples_of_every_form(path):
    sheet = erase(path).preview(Kinds(), count=5)
    assert all(share(cell(sheet, row, 1, rows=5), COLOUR) > 0.02 for row in range(5))


def test_behind_normalize_the_image_is_shown_as_it_was(path):
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)

    class Normalised(Images):
        def __getitem__(self, index):
            image = make_image(index).float() / 255
            return (image - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None], index % 7

    sheet = erase(path, mean=mean, std=std).preview(Normalised(3), count=3)
    assert np.array_equal(cell(sheet, 1, 0, rows=3), cell(erase(path).preview(Images(3), count=3), 1, 0, rows=3))


def test_other_transforms_that_erase():
    sheet = preview_sheet(CountedRandomErasing(p=1.0), Images(2), count=2, draws=1)
    assert sheet.size == (2 * CELL + 2 * GAP, 2 * (CELL + LINE))


@pytest.mark.parametrize(("count", "rows"), [(1, 1), (3, 3), (5, 5), (9, 5)])
def test_images_are_evenly_spread_and_no_more_than_there_are(path, count, rows):
    read = []

    class Reading(Images):
        def __getitem__(self, index):
            read.append(index)
            return super().__getitem__(index)

    erase(None).preview(Reading(5), count=count)
    assert read == sorted({5 * i // count for i in range(count)})
    assert len(read) == rows


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (Images(3), {"count": 0}, "count must be at least 1, got 0"),
        (Images(3), {"draws": -1}, "draws must be at least 1, got -1"),
        (Images(0), {}, "must hold 1 to 200 images, got 0"),
        (Images(900), {"count": 201}, "must hold 1 to 200 images, got 201"),
        ([(1, 2)], {}, "must hold an image, got tuple without one"),
    ],
)
def test_mistakes(data, options, message):
    with pytest.raises(UserError, match=message):
        erase(None).preview(data, **options)


def test_a_worker_does_not_load_it():
    names = "[name for name in sys.modules if name.startswith('pasm_aug') and name.endswith(('preview', 'sheet'))]"
    code = f"import sys, pasm_aug; pasm_aug.PointAdversarialErase(None); print({names})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_a_copy_of_the_transform_shows_the_same(path):
    transform = erase(path)
    sheets = [np.asarray(one.preview(Images(4))) for one in (transform, copy.deepcopy(transform))]
    assert np.array_equal(*sheets)
