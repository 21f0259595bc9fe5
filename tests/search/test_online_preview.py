"""The contact sheet of the adversary of the training step: what it shows, and what it leaves alone."""

import numpy as np
import pytest
import torch

from pasm_aug.core.contact_sheet import GAP, LINE, SIDE
from pasm_aug.core.errors import UserError
from pasm_aug.search import online_preview
from pasm_aug.search.online import OnlineAdversarialErase
from tests.small_teachers import conv_net, random_images, scaled

IMAGES, LABELS = random_images(4, 12), torch.arange(4)
ROW = SIDE + 2 * GAP + LINE


def cell(sheet, row, column):
    left = GAP + column * (SIDE + 2 * GAP)
    return np.asarray(sheet)[row * ROW + LINE : (row + 1) * ROW, left : left + SIDE + 2 * GAP]


@pytest.fixture
def titles(monkeypatch):
    """The words above the images, row by row."""
    found, real = [], online_preview.contact_sheet
    monkeypatch.setattr(
        online_preview, "contact_sheet", lambda rows: found.extend([c.title for c in row] for row in rows) or real(rows)
    )
    return found


def test_rows_of_an_image_and_the_squares_that_hurt_it(titles):
    net = conv_net(scale=2.0)
    erase = OnlineAdversarialErase(net, size=5, value=0, preprocess=scaled)
    sheet = erase.preview(IMAGES, LABELS, classes=("a", "b", "c"), draws=2)
    assert sheet.size == (3 * (SIDE + 2 * GAP) + 2 * GAP, 4 * ROW)
    net.eval()
    with torch.no_grad():
        clean = net(scaled(IMAGES)).softmax(1)[torch.arange(4), LABELS]
    for row, (name, (whole, *draws)) in enumerate(zip("abc3", titles, strict=True)):
        assert whole == f"{name}  p {clean[row]:.2f}"
        assert all(float(draw.removeprefix("p ")) <= clean[row] + 0.005 for draw in draws)
        black = [(cell(sheet, row, column) == 0).all(-1).mean() for column in range(3)]
        assert black[0] < 0.02 < min(black[1:])


def test_nothing_is_left_behind():
    net = conv_net().train()
    erase = OnlineAdversarialErase(net, size=5, preprocess=scaled)
    erase(IMAGES, LABELS, index=torch.arange(4))
    calls, table, state = erase.calls, erase.table.state_dict(), torch.get_rng_state()
    weights = {name: value.clone() for name, value in net.state_dict().items()}
    erase.preview(IMAGES, LABELS)
    assert (erase.calls, net.training) == (calls, True)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, weights[name]) for name, value in net.state_dict().items())
    assert all(torch.equal(value, table[name]) for name, value in erase.table.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in net.parameters())


def test_images_that_are_left_alone_are_called_so(titles):
    OnlineAdversarialErase(conv_net(), size=5, p=0.0, preprocess=scaled).preview(IMAGES, LABELS, draws=1)
    assert [row[1] for row in titles] == ["not erased"] * 4


def test_floating_images_are_the_networks_input_and_are_shown_in_their_own_range():
    erase = OnlineAdversarialErase(conv_net(), size=5, value=-1)
    shown = erase.preview(scaled(IMAGES), LABELS, draws=1)
    levels = cell(shown, 0, 0).reshape(-1, 3)
    assert levels.max() == 255
    assert levels.min() == 0


def test_the_seed_decides():
    erase = OnlineAdversarialErase(conv_net(), size_range=(2, 9), preprocess=scaled)
    one, same, other = (np.asarray(erase.preview(IMAGES, LABELS, seed=seed)) for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_mistakes():
    with pytest.raises(TypeError, match=r"model must be a torch\.nn\.Module, got NoneType"):
        OnlineAdversarialErase(None).preview(IMAGES, LABELS)
    with pytest.raises(UserError, match="draws must be at least 1, got 0"):
        OnlineAdversarialErase(conv_net(), preprocess=scaled).preview(IMAGES, LABELS, draws=0)
