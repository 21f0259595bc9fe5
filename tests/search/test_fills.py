import pytest
import torch

from pasm_aug.search.fills import corner_fills, fills_of, other_images
from pasm_aug.transforms.fill import mean_fill
from tests.small_teachers import random_images

IMAGES = random_images(6, (5, 7))
KEYS = torch.arange(6) * 11


def test_mean_is_the_transforms_mean():
    for images in (IMAGES, IMAGES[:, :1], IMAGES.float() / 255, IMAGES.float() / 50 - 2):
        found = fills_of(images, "mean", KEYS, 0)
        assert found.dtype == images.dtype
        for fill, image in zip(found, images, strict=True):
            torch.testing.assert_close(fill[0], mean_fill(image))


def test_random_is_each_samples_own_noise():
    found = fills_of(IMAGES, "random", KEYS, 5)
    assert found.shape == (6, 1, 3, 5, 7)
    assert found.float().mean().item() == pytest.approx(127.5, abs=12)
    assert torch.equal(found.flip(0), fills_of(IMAGES.flip(0), "random", KEYS.flip(0), 5))
    assert not torch.equal(found, fills_of(IMAGES, "random", KEYS, 6))
    normal = fills_of(IMAGES.float().repeat(1, 1, 20, 20), "random", KEYS, 5)
    assert (normal.mean().item(), normal.std().item()) == pytest.approx((0, 1), abs=0.02)
    assert bool(normal.isfinite().all())


def test_image_is_another_image_however_the_batch_is_ordered():
    found = other_images(IMAGES, KEYS)
    assert not any(torch.equal(other, image) for other, image in zip(found, IMAGES, strict=True))
    assert {other.numpy().tobytes() for other in found} == {image.numpy().tobytes() for image in IMAGES}
    order = torch.tensor([4, 2, 0, 5, 1, 3])
    assert torch.equal(other_images(IMAGES[order], KEYS[order]), found[order])


def test_an_image_alone_has_its_own_mean_as_the_other():
    (other,) = other_images(IMAGES[:1], KEYS[:1])
    assert torch.equal(other, fills_of(IMAGES[:1], "mean", KEYS[:1], 0)[0, 0].expand_as(IMAGES[0]))


def test_numbers_one_or_one_a_channel():
    assert fills_of(IMAGES, 7, KEYS, 0).flatten().unique().tolist() == [7]
    assert fills_of(IMAGES, (1, 2, 3), KEYS, 0)[2].flatten().tolist() == [1, 2, 3]
    assert fills_of(IMAGES.float(), -0.5, KEYS, 0).unique().tolist() == [-0.5]
    with pytest.raises(ValueError, match=r"value must lie in 0…255 for such images, got 300"):
        fills_of(IMAGES, 300, KEYS, 0)
    with pytest.raises(ValueError, match=r"value must hold 1 or 3 numbers \(the images' channels\), got \(1, 2\)"):
        fills_of(IMAGES, (1, 2), KEYS, 0)


def test_corners_are_every_mixture_of_the_extremes():
    assert sorted(map(tuple, corner_fills(IMAGES)[0].flatten(1).tolist())) == [
        (r, g, b) for r in (0, 255) for g in (0, 255) for b in (0, 255)
    ]
    assert corner_fills(IMAGES[:, :1])[3].flatten().tolist() == [0, 255]
    floats = IMAGES.float() / 255
    assert torch.equal(corner_fills(floats)[:, 0, :, 0, 0], floats.amin((2, 3)))
    assert torch.equal(corner_fills(floats)[:, -1, :, 0, 0], floats.amax((2, 3)))
    assert corner_fills(torch.zeros(2, 5, 4, 4)).shape == (2, 2, 5, 1, 1)
