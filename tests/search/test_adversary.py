import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pasm_aug.search.adversary import FADING, Squares, choose
from tests.small_teachers import random_images


def squares(sides, size=(20, 24), channels=1):
    images = random_images(len(sides), size, channels)
    return Squares(
        images,
        torch.zeros(len(sides), dtype=torch.int64),
        images[:, None, :, :1, :1],
        torch.tensor(sides)[:, None].expand(-1, 2),
    )


def smooth(count, sides, size=(20, 24)):
    """Effects that vary slowly over the places of the box; -inf where it does not fit."""
    effects = torch.full((count, 1, *size), -torch.inf)
    for image, side in enumerate(sides):
        y, x = (torch.linspace(0, 1, length - side + 1) for length in size)
        effects[image, 0, : len(y), : len(x)] = torch.sin(3 * y)[:, None] + torch.cos(2 * x) + image
    return effects


def test_a_coarse_map_is_the_map_seen_from_afar():
    sides = [3, 7]
    part, effects = squares(sides), smooth(2, sides)
    fits = effects.isfinite()
    coarse = part.coarse(torch.where(fits, effects, 0.0))
    assert coarse.shape == (2, 1, 12, 12)
    apart = (part.fine(coarse) - effects)[fits]
    assert apart.abs().max() < 0.15
    # whatever the side, the same cell is the same place of the square between the borders
    assert (coarse[0] + 1 - coarse[1]).abs().max() < 0.1


@pytest.mark.parametrize("flip", [(-1,), (-2,)])
def test_a_flipped_map_is_the_map_of_flipped_places(flip):
    part = squares([5])
    effects = smooth(1, [5])[..., :16, :20]
    padded = [torch.nn.functional.pad(values, (0, 4, 0, 4)) for values in (effects, effects.flip(flip))]
    torch.testing.assert_close(part.coarse(padded[0]).flip(flip), part.coarse(padded[1]))


def test_effects_of_several_epochs_add_up_in_their_own_unit():
    part, effects = squares([3, 7]), smooth(2, [3, 7])
    first, before = part.averaged(1e-12 * effects, torch.zeros(2, 1, 12, 12))
    again, _ = part.averaged(1e6 * effects, before)
    fits = effects.isfinite()
    assert torch.equal(first.isfinite(), fits)
    for image in range(2):
        known = effects[image][fits[image]]
        unit = known / known.square().mean().sqrt()
        torch.testing.assert_close(first[image][fits[image]], unit)
        assert (again[image][fits[image]] - (1 + FADING) * unit).abs().max() < 0.15


def test_nothing_known_and_no_effect_is_no_effect():
    part = squares([3])
    effects, maps = part.averaged(torch.zeros(1, 1, 20, 24), torch.zeros(1, 1, 12, 12))
    assert effects.abs().max() == 0
    assert maps.abs().max() == 0


@given(st.integers(1, 5), st.integers(0, 99))
def test_hints_keep_away_from_what_is_tried_already(count, seed):
    part = squares([6])
    effects = torch.from_numpy(np.random.default_rng(seed).normal(size=(1, 1, 20, 24))).float()
    effects[..., 15:, :], effects[..., 19:] = -torch.inf, -torch.inf
    away = torch.tensor([[[0, 2 * 4 + 6, 2 * 7 + 6]]])  # at row 4, column 7
    found = part.hints(effects, count, away)
    top, left = part.corners(found)
    assert bool((torch.maximum((top - 4).abs(), (left - 7).abs()) >= 2).all())
    assert bool(((top < 15) & (left < 19)).all())


def test_boxes_that_stick_out_are_moved_inside():
    part = squares([5])
    top, left = part.corners(torch.tensor([[[0, 0, 0], [0, 99, 99], [0, 13, 20]]]))
    assert (top.tolist(), left.tolist()) == ([[0, 15, 4]], [[0, 19, 7]])


def test_choose():
    losses = torch.tensor([[0.1, 3.0, 1.0], [0.0, 0.0, 0.0]])
    assert choose(losses, "worst", torch.zeros(2)).tolist() == [1, 0]
    assert choose(losses, 0.5, torch.zeros(2)).tolist() == [1, 0]
    assert choose(losses, 0.99, torch.zeros(2)).tolist() == [0, 0]
    drawn = choose(losses[:1].expand(4000, -1), "drawn", torch.linspace(0, 1, 4001)[:-1])
    assert (torch.bincount(drawn) / 4000).tolist() == pytest.approx([0.1 / 4.1, 3 / 4.1, 1 / 4.1], abs=0.001)
