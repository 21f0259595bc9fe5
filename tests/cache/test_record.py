"""The one table of what is kept, and what its probabilities mean whoever wrote them."""

import numpy as np
import pytest
import torch

from pasm_aug.cache import format as file_format
from pasm_aug.cache.rearrange import shuffled_positions
from pasm_aug.cache.record import row_dtype
from pasm_aug.cache.stack import stacked_positions
from pasm_aug.search.cam_cache import class_activation_cache
from pasm_aug.search.mine import mine_positions
from pasm_aug.search.point_search import PointSearch
from tests.shapes import Shapes, own_net

DATA = Shapes(24)


def test_the_rows_of_a_journal_are_as_they_were():
    assert row_dtype(2, 3) == np.dtype(
        [("key", "<i8"), ("label", "<i4"), ("mined", "?"), ("look", "<i8"), ("xy", "<u2", (2, 2)),
         ("colour", "u1", (2, 3)), ("p_clean", "<f4"), ("p_point", "<f4", (2,)),
         ("queries", "<u4"), ("forwards", "<f4")]
    )  # fmt: skip


def test_the_columns_of_the_file_are_as_they_were():
    assert file_format._COLUMNS == {
        "key": ("I64", "R"), "label": ("I16", "R"), "look": ("I64", "L"), "xy": ("U16", "RK2"),
        "colour": ("U8", "RKC"), "p_clean": ("F32", "R"), "p_point": ("F32", "RK"), "index": ("I32", "N"),
        "skipped_key": ("I64", "S"), "skipped_label": ("I16", "S"),
    }  # fmt: skip


def mine(path, seed, misclassified="mine", **options):
    search = PointSearch("seeded", candidates=8, misclassified=misclassified)
    return mine_positions(own_net(seed), DATA, path, search=search, device="cpu", progress=False, **options)


def probabilities(seed, images=DATA.images):
    with torch.no_grad():
        model = own_net(seed)
        return model(model.preprocess(torch.from_numpy(images)[:, None])).softmax(1).numpy()


def found(cache):
    return cache.lookup(indices=np.arange(24), labels=DATA.labels)


def check(cache, seed, classes):
    """That the probabilities are of these classes, by a plain forward of that network, clean and with point 0."""
    points, every = found(cache), np.arange(24)
    erased = DATA.images.copy()
    x, y = points.xy[:, 0].T
    erased[every, y, x] = points.colour[:, 0, 0]
    assert points.p_clean == pytest.approx(probabilities(seed)[every, classes], abs=1e-5)
    assert points.p_point[:, 0] == pytest.approx(probabilities(seed, erased)[every, classes], abs=1e-5)


def test_p_clean_is_the_attacked_class_by_the_teacher_of_the_first_point(tmp_path):
    predicted = probabilities(0).argmax(1)
    assert (predicted != DATA.labels).any()
    first, second = mine(tmp_path / "a", 0), mine(tmp_path / "b", 1)
    check(first, 0, DATA.labels)
    check(mine(tmp_path / "c", 0, "predicted"), 0, predicted)
    check(mine(tmp_path / "d", 1, refresh=(first, 1.0)), 1, DATA.labels)  # kept points: by the teacher that kept them
    check(mine(tmp_path / "e", 1, refresh=(first, 1e-12)), 1, DATA.labels)
    check(stacked_positions([second, first], tmp_path / "f"), 1, DATA.labels)
    shuffled = found(shuffled_positions(first, tmp_path / "g"))
    assert np.array_equal(shuffled.p_clean, found(first).p_clean)
    cams = class_activation_cache(own_net(0), DATA, tmp_path / "h", progress=False)
    assert np.isnan(found(cams).p_clean).all()
    assert "probability" not in cams.summary()
    assert "probability" in first.summary()
