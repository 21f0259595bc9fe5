"""Images at the edge of what can be erased, and beyond: a documented result, or a typed error with the value."""

import PIL.Image
import pytest
import torch

from pasm_aug.cache.format import CacheError
from pasm_aug.transforms.erase import PointAdversarialErase
from tests.images import BOX, COLOUR, SIDE, erase, make_image, reference, write

LEVELS = torch.tensor(COLOUR, dtype=torch.uint8)


@pytest.fixture
def path(tmp_path):
    return write(tmp_path / "c", [make_image()])


def test_documented_extremes(path, tmp_path):
    dot = make_image(1, 3, 1, 1)
    assert torch.equal(erase(write(tmp_path / "dot", [dot], xy=(0, 0)))(dot)[:, 0, 0], LEVELS)
    for size in (2 * SIDE, 1000):
        assert (erase(path, size=size)(make_image()) == LEVELS[:, None, None]).all()
    zeros, holes = make_image(2), make_image(2).float() / 255
    zeros[:, 3, 4], holes[:, 3, 4] = 0, torch.nan  # NaN counts as 0
    out = erase(write(tmp_path / "nan", [zeros]), on_miss="raise")(holes)
    assert out[:, 3, 4].isnan().all()
    assert torch.equal(out.nan_to_num(0), reference(holes.nan_to_num(0), BOX, LEVELS.float() / 255))
    assert erase(path)(torch.full((3, 9, 9), torch.nan)).isnan().sum() == 3 * (81 - 25)  # a miss like any other


@pytest.mark.parametrize(
    ("image", "error", "match"),
    [
        (make_image(0, 2), ValueError, r"3 channel\(s\), the image has 1"),
        (make_image(0, 5), ValueError, r"1 to 4 channels, got shape \(5, 24, 24\)"),
        (make_image(0, 5)[None], ValueError, r"1 to 4 channels, got shape \(1, 5, 24, 24\)"),
        (torch.zeros(3, 0, 5), ValueError, r"empty, got \(3, 0, 5\)"),
        (torch.zeros(2, 3, 5, 0), ValueError, r"empty, got \(2, 3, 5, 0\)"),
        (PIL.Image.new("RGB", (0, 5)), ValueError, r"empty, got \(0, 5\)"),
        (make_image().to(torch.int32), TypeError, r"uint8, int16 or floating, got torch\.int32"),
        (make_image() > 9, TypeError, r"got torch\.bool"),
        (make_image().to(torch.complex64), TypeError, r"got torch\.complex64"),
        (torch.zeros(SIDE, SIDE), ValueError, r"got shape \(24, 24\)"),
        ("face.jpg", TypeError, "no image"),
        (PIL.Image.new("F", (4, 4)), TypeError, "'F'"),
    ],
)
def test_what_cannot_be_erased_is_named(path, image, error, match):
    with pytest.raises(error, match=match):
        erase(path, index_getter=lambda _: 0)(image)


def test_an_empty_batch_comes_back(path):
    out = erase(path)(torch.empty(0, 3, SIDE, SIDE))
    assert out.shape == (0, 3, SIDE, SIDE)


@pytest.mark.parametrize("content", [b"", b"no cache", b"\x89PNG\r\n\x1a\n" + bytes(200)])
def test_a_file_that_is_no_cache(tmp_path, content):
    other = tmp_path / "other"
    other.write_bytes(content)
    with pytest.raises(CacheError, match=f"{other} is (truncated|damaged) or no position cache"):
        PointAdversarialErase(other)
