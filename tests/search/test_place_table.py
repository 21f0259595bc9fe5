import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pasm_aug.search.place_table import PlaceTable
from tests.small_teachers import random_images

FLIPS = ((), (-1,), (-2,), (-2, -1))


@given(st.sampled_from(FLIPS), st.sampled_from(FLIPS), st.sampled_from([(16, 16), (17, 12)]), st.integers(0, 20))
def test_places_go_through_the_flip_that_the_image_comes_in(then, now, size, seed):
    images = random_images(4, size, seed=seed)
    rng = np.random.default_rng(seed)
    y, x = rng.integers(0, size[0], (4, 2)), rng.integers(0, size[1], (4, 2))
    marks = torch.zeros(4, 2, *size, dtype=torch.uint8)
    for i in range(4):
        for k in range(2):
            marks[i, k, y[i, k], x[i, k]] = 1

    def places(flip):
        rows, columns = (
            marks.flip(flip).flatten(2).argmax(2) // size[1],
            marks.flip(flip).flatten(2).argmax(2) % size[1],
        )
        return torch.stack([torch.full_like(rows, 3), 2 * rows + 1, 2 * columns + 1], -1)  # a pixel's middle

    table, index = PlaceTable(2), torch.tensor([5, 0, 9, 2])
    table.reserve(10)
    maps = torch.from_numpy(rng.normal(size=(4, 2, 12, 12))).half().float()
    assert table.recall(index, images, 2).maps.abs().max() == 0
    table.keep(index, images.flip(then), places(then), maps.flip(then))
    found = table.recall(index, images.flip(now), 2)
    assert torch.equal(found.places, places(now))
    assert torch.equal(found.maps, maps.flip(now))


MAPS = torch.zeros(2, 1, 12, 12)


def test_what_was_never_kept_is_unknown_and_the_table_grows():
    table, images = PlaceTable(3), random_images(2, 12)
    table.reserve(2)
    assert table.recall(torch.arange(2), images, 1).places.eq(-1)[..., 1:].all()
    table.keep(torch.tensor([1]), images[1:], torch.full((1, 3, 3), 4), MAPS[1:] + 1)
    table.reserve(50)
    known = table.recall(torch.tensor([1]), images[1:], 8)
    assert known.places.eq(4).all()
    assert known.maps.sum((2, 3)).tolist() == [[144] + 7 * [0]]  # of more fills than before
    assert table.recall(torch.tensor([40]), images[1:], 8).places.eq(-1)[..., 1:].all()
    assert len(table.places) == 50
    table.reserve(10)
    table.recall(torch.tensor([1]), images[1:], 8)
    assert len(table.places) == 50


def test_state_goes_round_and_another_budgets_is_refused():
    table, images = PlaceTable(3), random_images(2, 12)
    table.reserve(2)
    table.recall(torch.arange(2), images, 1)
    table.keep(torch.arange(2), images, torch.arange(18).view(2, 3, 3), MAPS + 3)
    other = PlaceTable(3)
    other.load_state_dict(table.state_dict())
    table.keep(torch.arange(2), images, torch.zeros(2, 3, 3), MAPS)  # the copy is its own
    assert other.recall(torch.arange(2), images, 1).places.flatten().tolist() == list(range(18))
    assert other.recall(torch.arange(2), images, 1).maps.eq(3).all()
    with pytest.raises(ValueError, match="table must hold 2 places a sample, got 3"):
        PlaceTable(2).load_state_dict(table.state_dict())
