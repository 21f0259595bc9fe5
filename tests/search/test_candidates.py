"""First-order ranking, the ledger and the spreading of places, each against a plain loop."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pasm_aug.core.geometry import patch_box
from pasm_aug.core.painting import erase_patch
from pasm_aug.search.candidates import (
    acts_per_pixel,
    constant_images,
    corner_colours,
    linear_scores,
    lowest,
    pick_candidates,
)
from pasm_aug.search.ledger import Ledger, spread
from tests.small_teachers import random_images, scaled

rounded = st.lists(st.integers(-5, 5).map(float), min_size=1, max_size=40).map(np.array)


def test_corners_are_all_different_and_ascending() -> None:
    assert corner_colours(1).tolist() == [[0], [255]]
    corners = corner_colours(3).tolist()
    assert len(corners) == 8
    assert corners == sorted(corners)


@pytest.mark.parametrize("side", [1, 2, 3, 5])
@pytest.mark.parametrize("channels", [1, 3])
def test_linear_scores_are_exact_for_a_linear_network(channels: int, side: int) -> None:
    image = random_images(1, (4, 6), channels)[0]
    image[:, 1, 2] = 255
    weights = torch.randn(3, 4, 6, generator=torch.Generator().manual_seed(0)).double()

    def to_input(images: Tensor) -> Tensor:  # grey to RGB, and not linear in the levels
        return ((images.double() / 255) ** 2.2).expand(-1, 3, -1, -1)

    corners = corner_colours(channels)
    inputs = to_input(constant_images(corners, 4, 6))
    scores = linear_scores(image.numpy(), to_input(image[None])[0], weights, inputs, side).reshape(4, 6, -1)
    before = (weights * to_input(image[None])).sum()
    for y, x, k in np.ndindex(scores.shape):
        painted = image.clone()
        painted = erase_patch(painted, patch_box(x, y, side, 6, 4), corners[k].tolist())
        if side == 1 and torch.equal(painted, image):
            assert scores[y, x, k] == np.inf
        else:
            assert scores[y, x, k] == pytest.approx(float((weights * to_input(painted[None])).sum() - before))


PER_PIXEL = {
    "scaled": scaled,
    "grey": lambda x: x.float().mean(1, keepdim=True).expand(-1, 3, -1, -1),
    "curve": lambda x: (x.float() / 255).sqrt(),
}
NOT_PER_PIXEL = {
    "blur": lambda x: torch.nn.functional.avg_pool2d(x.float(), 3, 1, 1),
    "resize": lambda x: torch.nn.functional.interpolate(x.float(), scale_factor=2),
    "flip": lambda x: x.float().flip(-1),
    "per image": lambda x: x.float() - x.float().mean((1, 2, 3), keepdim=True),
    "scaled by the largest": lambda x: x.float() / x.float().amax((1, 2, 3), keepdim=True).clamp(min=1),
    "random": lambda x: x.float() + torch.rand(x.shape),
    "flat": lambda x: x.float().flatten(1),
    "integers": lambda x: x.long(),
    "place": lambda x: scaled(x) * torch.arange(9).eq(4),
}


@pytest.mark.parametrize("name", PER_PIXEL)
def test_preprocesses_that_act_per_pixel(name: str) -> None:
    assert acts_per_pixel(PER_PIXEL[name], 3, 7, 9)


@pytest.mark.parametrize("name", [name for name in NOT_PER_PIXEL if name != "place"])
def test_preprocesses_that_do_not(name: str) -> None:
    assert not acts_per_pixel(NOT_PER_PIXEL[name], 3, 7, 9)


def test_a_mask_over_places_is_still_per_pixel() -> None:
    assert acts_per_pixel(NOT_PER_PIXEL["place"], 3, 7, 9)


@given(rounded, st.integers(1, 50))
def test_lowest_is_a_stable_sort(scores: np.ndarray, count: int) -> None:
    expected = sorted(range(len(scores)), key=lambda i: (scores[i], i))[:count]
    assert lowest(scores, count).tolist() == expected


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 7), st.integers(0, 5)), min_size=1, max_size=30, unique=True),
    st.integers(1, 35),
    st.integers(1, 9),
)
def test_spread_keeps_apart_as_far_as_it_can(places: list[tuple[int, int]], count: int, distance: int) -> None:
    xy = np.array(places)
    chosen = spread(xy, count, distance)
    assert chosen[0] == 0
    assert len(set(chosen.tolist())) == len(chosen) == min(count, len(xy))

    def gap(i: int, others: list[int]) -> int:
        return min(int(np.abs(xy[i] - xy[j]).max()) for j in others)

    for n in range(1, len(chosen)):  # each is the first of the list that lies as far off as was still possible
        before = chosen[:n].tolist()
        reachable = min(distance, max(gap(i, before) for i in range(len(xy)) if i not in before))
        reachable = min(reachable, *(gap(int(chosen[m]), chosen[:m].tolist()) for m in range(1, n + 1)), distance)
        assert chosen[n] == next(i for i in range(len(xy)) if i not in before and gap(i, before) >= reachable)


@pytest.mark.parametrize("points", [1, 3, 8])
def test_picked_candidates_hold_enough_places(points: int) -> None:
    # one pixel has the eight lowest scores: without care all candidates would lie there
    scores = np.random.default_rng(0).random(5 * 6 * 8)
    scores[88:96] -= 2
    picked = pick_candidates(scores, 6, 8, 8, points, 1)
    assert len(set(picked.tolist())) == 8
    assert len(set((picked // 8).tolist())) >= points
    assert scores.argmin() in picked


@settings(deadline=None)
@given(st.data(), st.sampled_from([1, 3]))
def test_ledger_against_a_dict(data: st.DataObject, channels: int) -> None:
    height, width = 3, 4
    ledger, plain, queried = Ledger(height, width, channels), {}, 0
    level = st.sampled_from([0, 1, 255])
    candidate = st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 2), *[level] * channels)
    for _ in range(data.draw(st.integers(1, 4))):
        rows = np.array(data.draw(st.lists(candidate, min_size=1, max_size=12)), dtype=np.int64)
        codes = ledger.encode(rows[:, 0], rows[:, 1:3], rows[:, 3:].astype(np.uint8))
        image, xy, colour = ledger.decode(codes)
        np.testing.assert_array_equal(np.column_stack([image, xy, colour]), rows)
        new = ledger.missing(codes)
        fresh = np.column_stack(ledger.decode(new)).tolist()
        assert {tuple(row) for row in fresh} == {tuple(row) for row in rows.tolist()} - plain.keys()
        scores = np.array([data.draw(st.integers(0, 3)) for _ in new], dtype=float)
        queried += len(new)
        plain |= {tuple(row): score for row, score in zip(fresh, scores, strict=True)}
        ledger.add(new, scores, -scores)
        assert ledger.scores(codes).tolist() == [plain[tuple(row)] for row in rows.tolist()]
    assert queried == len(plain)
    for image in range(3):
        ordered = sorted((score, key[2], key[1], key[3:]) for key, score in plain.items() if key[0] == image)
        expected = [row for n, row in enumerate(ordered) if row[1:3] not in [other[1:3] for other in ordered[:n]]]
        found = ledger.ranking(image)
        listed = zip(found.scores, found.xy[:, 1], found.xy[:, 0], map(tuple, found.colour.tolist()), strict=True)
        assert list(listed) == expected
        np.testing.assert_array_equal(found.probabilities, -found.scores)
