"""A contact sheet of whatever images there are."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pasm_aug.core.errors import UserError
from pasm_aug.report.suspect_sheet import CELL, COLUMNS, LINES, SIDE, sheet_size, small, suspect_sheet

SHAPES = [(48, 48), (300, 200, 3), (20, 900), (1, 1), (2000, 3, 3)]


def opened(data):
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


@pytest.mark.filterwarnings("error")
@settings(max_examples=8)
@given(st.lists(st.sampled_from(SHAPES), min_size=1, max_size=20))
def test_images_of_any_size_grey_or_colour(shapes):
    images = [Image.fromarray(np.full(shape, 40, dtype=np.uint8)) for shape in shapes]
    sheet = opened(suspect_sheet(images, [("$x^$", "→ 表情 <&>")] * len(images)))
    assert sheet.shape == (*sheet_size(len(images))[::-1], 3)
    for place in range(-(-len(shapes) // COLUMNS) * COLUMNS):
        top, left = place // COLUMNS * (CELL + LINES), place % COLUMNS * CELL
        cell, words = (
            sheet[top : top + CELL, left : left + CELL],
            sheet[top + CELL : top + CELL + LINES, left:][:, :CELL],
        )
        filled = cell[(CELL + SIDE) // 2 - 3, CELL // 2] if place < len(shapes) else None
        assert (cell.min() < 60) == (place < len(shapes))
        assert (words.min() < 128) == (place < len(shapes))
        if filled is not None and min(shapes[place][:2]) * SIDE > 8 * max(shapes[place][:2]):
            assert np.abs(filled.astype(int) - 40).max() <= 2  # the image stands on its words


def test_an_image_keeps_its_proportions_and_colours():
    image = Image.new("RGB", (40, 20), (200, 30, 90))
    sheet = opened(suspect_sheet([image], [("", "")]))
    painted = np.argwhere((sheet.astype(int) - [200, 30, 90] == 0).all(2))
    height, width = painted.max(0) - painted.min(0) + 1
    assert abs(width - SIDE) <= 2
    assert abs(height - SIDE / 2) <= 2


def test_large_images_are_made_small():
    assert small(np.zeros((3, 500, 1000), dtype=np.uint8)).shape == (SIDE // 2, SIDE, 3)
    assert small(np.zeros((1, 9, 5), dtype=np.uint8)).shape == (9, 5)


@pytest.mark.parametrize("count", [0, 1201])
def test_too_many_or_none(count):
    with pytest.raises(UserError, match="must hold 1 to 1,200 images, got"):
        suspect_sheet([], [("", "")] * count)
