"""Sheets of images of any size and kind, with words of any length."""

import numpy as np
import PIL.Image
import pytest
import torch

from pasm_aug.core.contact_sheet import GAP, LINE, MARK, MOST, SIDE, TALL, Cell, contact_sheet
from pasm_aug.core.errors import UserError

WIDTH, HEIGHT = SIDE + 2 * GAP, SIDE + 2 * GAP + LINE


def painted(sheet, colour):
    """(height, width) of the pixels of one colour."""
    found = np.argwhere((np.asarray(sheet).astype(int) == np.array(colour)).all(-1))
    return tuple((found.max(0) - found.min(0) + 1).tolist())


@pytest.mark.parametrize(("width", "height"), [(20, 10), (400, 100), (1, 1), (7, 300)])
def test_an_image_fills_its_cell_in_its_own_proportions(width, height):
    sheet = contact_sheet([[Cell(PIL.Image.new("RGB", (width, height), (9, 80, 200)))]])
    scale = SIDE / max(width, height)
    assert painted(sheet, (9, 80, 200)) == (max(1, round(height * scale)), max(1, round(width * scale)))
    assert sheet.size == (WIDTH + 2 * GAP, HEIGHT)


def test_small_pixels_stay_sharp():
    array = np.zeros((1, 4, 4), dtype=np.uint8)
    array[0, 1, 2] = 200
    shown = np.asarray(contact_sheet([[Cell(array)]]))
    assert set(np.unique(shown[LINE:])) == {0, 200, 255}


@pytest.mark.parametrize("image", [np.zeros((3, 5, 5), np.uint8), torch.zeros(1, 5, 5), PIL.Image.new("P", (5, 5))])
def test_images_of_every_kind(image):
    assert painted(contact_sheet([[Cell(image)]]), (0, 0, 0)) == (SIDE, SIDE)


def test_a_mark_is_a_red_frame_and_a_red_word():
    image = PIL.Image.new("RGB", (8, 8), "white")
    plain, marked = (contact_sheet([[Cell(image, "miss", marked=mark)]]) for mark in (False, True))
    assert painted(marked, MARK)[0] > SIDE
    assert (np.asarray(plain) != np.array(MARK)).any(-1).all()


@pytest.mark.parametrize("title", ["", "an endless name of a class that nobody can read", "表情", "two\nlines", "$x^$"])
def test_words_of_any_kind_stay_within_their_cell(title):
    image = PIL.Image.new("L", (8, 8), 255)
    sheet = np.asarray(contact_sheet([[Cell(image, title), Cell(image)]]))
    assert (sheet[:, WIDTH + GAP :] == 255).all()
    assert (sheet[:LINE] < 128).any() == bool(title)


def test_many_rows_stand_in_two_columns():
    rows = [[Cell(PIL.Image.new("L", (8, 8), n), str(n))] * 2 for n in range(TALL + 1)]
    assert contact_sheet(rows[:TALL]).size == (2 * WIDTH + 2 * GAP, TALL * HEIGHT)
    sheet = contact_sheet(rows)
    assert sheet.size == (2 * (2 * WIDTH + 2 * GAP), 4 * HEIGHT)
    middle = HEIGHT // 2 + LINE
    first = [int(np.asarray(sheet)[row * HEIGHT + middle, GAP + WIDTH // 2, 0]) for row in range(4)]
    second = [int(np.asarray(sheet)[row * HEIGHT + middle, 3 * GAP + 2 * WIDTH + WIDTH // 2, 0]) for row in range(4)]
    assert (first, second) == ([0, 1, 2, 3], [4, 5, 6, 255])


@pytest.mark.parametrize("count", [0, MOST + 1])
def test_too_many_or_none(count):
    with pytest.raises(UserError, match=f"must hold 1 to {MOST} images, got {count}"):
        contact_sheet([[Cell(PIL.Image.new("L", (1, 1)))]] * count)
