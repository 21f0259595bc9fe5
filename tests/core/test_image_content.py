"""The name of an image: one for all its forms, another for every other image."""

import numpy as np
import PIL.Image
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from pasm_aug.cache.reader import ALIKE
from pasm_aug.core.image_content import as_uint8, canonical, content_key, look, unlikeness
from tests.images import DTYPES, make_image, smooth, to_dtype

LEVELS = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16)


def palette():
    """A palette image whose indices say nothing of its colours."""
    image = PIL.Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8) % 5, "P")
    image.putpalette([250, 0, 0, 0, 9, 99, 7, 7, 7, 200, 100, 50, 1, 2, 3])
    return image


def test_grey_is_grey_in_any_form():
    grey = make_image(0, 1)
    pil = F.to_pil_image(grey)
    forms = [pil, *(pil.convert(mode) for mode in ("RGB", "RGBA", "LA", "P")), grey, grey[0], grey.repeat(3, 1, 1)]
    forms += [grey.numpy(), np.asarray(pil), tv_tensors.Image(grey), torch.cat([grey, make_image(1, 1)])]
    forms += [to_dtype(grey.repeat(3, 1, 1), dtype) for dtype in DTYPES]
    assert {content_key(form) for form in forms} == {content_key(grey)}
    assert all(canonical(form).shape == (1, 24, 24) for form in forms)
    assert as_uint8(grey.repeat(3, 1, 1)).shape == (3, 24, 24)  # mined as it is; only compared as grey
    nearly = grey.repeat(3, 1, 1)
    for channel in range(3):
        other = nearly.clone()
        other[channel, -1, -1] ^= 1  # the last pixel of one channel makes a coloured image
        assert canonical(other).shape == (3, 24, 24)
        assert content_key(other) != content_key(grey)


def test_colour_images_of_any_mode():
    image = palette()
    rgb = np.asarray(image.convert("RGB")).transpose(2, 0, 1)
    assert np.array_equal(as_uint8(image), rgb)
    assert content_key(image) == content_key(rgb) == content_key(torch.from_numpy(rgb.copy()))
    alpha = torch.cat([make_image(), make_image(7, 1)])
    for form in (alpha, F.to_pil_image(alpha), to_dtype(alpha, torch.float32)):
        assert np.array_equal(as_uint8(form), make_image())
    pil = F.to_pil_image(make_image())
    for mode in ("CMYK", "YCbCr", "HSV"):
        converted = pil.convert(mode)
        assert content_key(converted) == content_key(converted.convert("RGB"))
    assert content_key(pil.convert("CMYK")) == content_key(pil)
    assert as_uint8(pil.convert("1")).shape == (1, 24, 24)
    assert set(np.unique(as_uint8(pil.convert("1")))) == {0, 255}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_all_levels_come_back(dtype):
    assert np.array_equal(as_uint8(to_dtype(LEVELS, dtype)), LEVELS)
    if dtype != torch.bfloat16:
        assert np.array_equal(as_uint8(to_dtype(LEVELS, dtype).numpy()), LEVELS)
    assert np.array_equal(as_uint8(v2.functional.to_dtype(LEVELS, dtype, scale=True)), LEVELS)
    assert content_key(to_dtype(make_image(), dtype)) == content_key(make_image())


def test_integers_of_sixteen_bits_drop_their_lower_bits():
    deep = (LEVELS.to(torch.int16) << 7) + torch.arange(256, dtype=torch.int16).reshape(1, 16, 16) % 128
    assert np.array_equal(as_uint8(deep), LEVELS)
    assert np.array_equal(as_uint8(deep), F.to_dtype(deep, torch.uint8, scale=True))
    assert as_uint8(torch.full((1, 2, 2), -9, dtype=torch.int16)).max() == 0


def test_floats_are_rounded_and_clipped():
    odd = torch.tensor([[[torch.nan, -1.0, 2.0, torch.inf, -torch.inf, 0.4999 / 255, 0.5001 / 255]]])
    assert as_uint8(odd).tolist() == [[[0, 0, 255, 255, 0, 0, 1]]]
    assert as_uint8(odd.double()).tolist() == [[[0, 0, 255, 255, 0, 0, 1]]]
    assert odd[0, 0, 0].isnan()  # it is not written


def rounded(value):
    """One float as :func:`as_uint8` promises, in Python's own arithmetic."""
    scaled = float(np.float32(value) * np.float32(255))
    return 0 if scaled != scaled else round(min(max(scaled, 0), 255))


def test_halves_are_rounded_to_even_as_in_float32():
    middles = np.float32((np.arange(256) + 0.5) / 255)
    near = np.stack([np.nextafter(middles, np.float32(-9)), middles, np.nextafter(middles, np.float32(9))])
    assert ((near * np.float32(255)) % 1 == 0.5).sum() > 100  # exact ties are among them
    for floats in (near[:, :255], near):  # the last one lies above the range
        image = floats[:, None]
        assert as_uint8(image).tolist() == [[[rounded(value) for value in row]] for row in floats]


@settings(max_examples=100, deadline=None)
@given(odd=st.floats(width=32), where=st.integers(0, 3 * 5 * 4 - 1), last=st.booleans(), seed=st.integers(0, 99))
@example(-0.0, 7, True, 0)
@example(float("nan"), 59, False, 0)
@example(float(np.nextafter(np.float32(255.5 / 255), np.float32(2))), 0, True, 0)
@example(-1e-9, 3, True, 0)
@pytest.mark.filterwarnings("ignore:overflow")
def test_one_odd_float_changes_no_other(odd, where, last, seed):
    flat = np.random.default_rng(seed).random(60, dtype=np.float32)
    flat[where] = odd
    image = flat.reshape(5, 4, 3).transpose(2, 0, 1) if last else flat.reshape(3, 5, 4)
    wanted = [[[rounded(value) for value in row] for row in channel] for channel in image]
    assert as_uint8(image).tolist() == as_uint8(image.astype(np.float64)).tolist() == wanted


def test_layout_and_gradient_do_not_matter():
    image = make_image().float() / 255
    forms = [image.movedim(0, -1).contiguous().movedim(-1, 0), image.mT.contiguous().mT, image.clone().requires_grad_()]
    assert {content_key(form) for form in forms} == {content_key(image)}
    assert all(as_uint8(form).flags.c_contiguous for form in (*forms, make_image().mT, make_image().numpy()[:, ::-1]))


@settings(max_examples=200, deadline=None)
@given(
    shape=st.tuples(st.sampled_from([1, 3]), st.integers(1, 9), st.integers(1, 9)),
    seed=st.integers(0, 999),
    data=st.data(),
)
def test_the_key_depends_on_every_pixel_and_on_the_shape(shape, seed, data):
    image = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    other = image.copy()
    other[tuple(data.draw(st.integers(0, n - 1)) for n in shape)] ^= data.draw(st.integers(1, 255))
    keys = {content_key(image), content_key(other)}
    turned = image.reshape(shape[0], shape[2], shape[1])
    assert len(keys) == 2
    assert all(-(2**63) <= key < 2**63 for key in keys)
    assert (content_key(turned) == content_key(image)) is (shape[1] == shape[2])
    assert content_key(image.copy()) == content_key(image)


def test_backends_agree_on_pixels_until_they_resize():
    for seed in range(20):
        tensor = smooth(seed, 96)
        pil = F.to_pil_image(tensor)
        assert content_key(pil) == content_key(tensor)
        for size in ([50, 44], [45, 71], [140, 120]):  # by simple ratios smooth images may come out equal
            ours, theirs = F.resize(tensor, size), F.pil_to_tensor(F.resize(pil, size))
            assert content_key(ours) != content_key(theirs)
            assert unlikeness(np.array([look(ours)]), look(theirs)) <= ALIKE
            assert unlikeness(np.array([look(ours)]), look(F.resize(tensor, size, antialias=False))) <= ALIKE


def test_looks_tell_images_and_mirror_images_apart():
    looks = np.array([look(smooth(seed, 96)) for seed in range(60)])
    mirrored = np.array([look(smooth(seed, 96).flip(-1)) for seed in range(60)])
    assert min(unlikeness(np.delete(looks, i), one).min() for i, one in enumerate(looks.tolist())) > 2 * ALIKE
    assert min(unlikeness(looks, one).min() for one in mirrored.tolist()) > 2 * ALIKE


def test_looks_by_hand():
    ramp = torch.arange(72, dtype=torch.uint8).expand(1, 80, 72)
    assert look(ramp) == 0  # no cell is brighter than its right neighbour
    assert look(ramp.flip(-1)) == -1  # every one is
    half = torch.cat([ramp[:, :40], ramp[:, :40].flip(-1)], 1)
    assert (look(half) & (2**64 - 1)).bit_count() == 32
    for shape in ((1, 1, 1), (3, 1, 9), (1, 5, 3)):
        assert -(2**63) <= look(make_image(0, *shape)) < 2**63


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1), st.integers(-(2**63), 2**63 - 1))
@example([0, -1, 5, -(2**63), -(2**63) + 8], 0)
def test_unlikeness_counts_the_bits_that_differ(looks, of):
    wanted = [bin((one ^ of) & (2**64 - 1)).count("1") for one in looks]
    assert unlikeness(np.array(looks), of).tolist() == wanted
