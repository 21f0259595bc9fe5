import numpy as np
import PIL.Image
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pasm_aug.core.geometry import patch_box
from pasm_aug.core.image_content import as_uint8, canonical, content_key
from pasm_aug.core.painting import erase_patch, paint_squares
from pasm_aug.training.losses import distillation_loss

sides = st.integers(1, 40)


@given(width=sides, height=sides, size=st.integers(1, 60), data=st.data())
def test_patch_box_stays_inside_and_holds_the_point(width, height, size, data):
    x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    left, top, right, bottom = patch_box(x, y, size, width, height)
    assert 0 <= left <= x < right <= width
    assert 0 <= top <= y < bottom <= height
    assert right - left <= size
    assert bottom - top <= size


@pytest.mark.parametrize(("size", "box"), [(1, (5, 6, 6, 7)), (3, (4, 5, 7, 8)), (4, (3, 4, 7, 8))])
def test_patch_box_is_centred(size, box):
    assert patch_box(5, 6, size, 20, 20) == box


@pytest.mark.parametrize(("x", "y", "size"), [(-1, 0, 3), (0, 20, 3), (0, 0, 0)])
def test_patch_box_refuses_what_lies_outside(x, y, size):
    with pytest.raises(ValueError, match="got"):
        patch_box(x, y, size, 20, 20)


@pytest.mark.parametrize("inplace", [False, True])
def test_erase_patch_writes_the_box_and_nothing_else(inplace):
    image = torch.arange(3 * 8 * 8, dtype=torch.uint8).reshape(3, 8, 8)
    before = image.clone()
    erased = erase_patch(image, (2, 3, 5, 7), [10, 20, 30], inplace=inplace)
    assert (erased[:, 3:7, 2:5] == torch.tensor([10, 20, 30], dtype=torch.uint8)[:, None, None]).all()
    outside = torch.ones(8, 8, dtype=torch.bool)
    outside[3:7, 2:5] = False
    assert torch.equal(erased[:, outside], before[:, outside])
    assert torch.equal(image, before) is not inplace


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 15), st.integers(0, 99))
def test_paint_squares_paints_the_box_of_each_image(width, height, side, seed):
    draw = np.random.default_rng(seed)
    images = torch.from_numpy(draw.integers(0, 256, (4, 3, height, width), dtype=np.uint8))
    xy = np.stack([draw.integers(0, width, 4), draw.integers(0, height, 4)], axis=1)
    colours = torch.from_numpy(draw.integers(0, 256, (4, 3), dtype=np.uint8))
    painted = paint_squares(images.clone(), torch.from_numpy(xy), colours, side)
    for image, (x, y), colour, found in zip(images, xy.tolist(), colours.tolist(), painted, strict=True):
        assert torch.equal(found, erase_patch(image, patch_box(x, y, side, width, height), colour))


def test_erase_patch_is_the_same_on_pil_and_tensor():
    array = np.random.default_rng(0).integers(0, 256, (9, 11, 3), dtype=np.uint8)
    pil = erase_patch(PIL.Image.fromarray(array), (1, 2, 6, 9), [1, 2, 3])
    tensor = erase_patch(torch.from_numpy(array).permute(2, 0, 1), (1, 2, 6, 9), [1, 2, 3])
    assert np.array_equal(np.asarray(pil).transpose(2, 0, 1), tensor.numpy())


def test_erase_patch_refuses_a_wrong_number_of_values():
    with pytest.raises(ValueError, match="1 or 3"):
        erase_patch(torch.zeros(3, 4, 4), (0, 0, 1, 1), [1.0, 2.0])


def grey_and_colour():
    rng = np.random.default_rng(1)
    return rng.integers(0, 256, (12, 10), dtype=np.uint8), rng.integers(0, 256, (12, 10, 3), dtype=np.uint8)


def test_content_key_is_one_for_all_forms_of_a_grey_image():
    grey, _ = grey_and_colour()
    forms = [
        PIL.Image.fromarray(grey),
        PIL.Image.fromarray(grey).convert("RGB"),
        PIL.Image.fromarray(grey).convert("LA"),
        PIL.Image.fromarray(grey).convert("RGBA"),
        PIL.Image.fromarray(grey).convert("P"),
        torch.from_numpy(grey),
        torch.from_numpy(grey)[None].expand(3, -1, -1),
        torch.from_numpy(grey)[None].float() / 255,
        torch.from_numpy(grey)[None].double() / 255,
    ]
    assert len({content_key(form) for form in forms}) == 1


def test_content_key_is_one_for_all_forms_of_a_colour_image():
    _, colour = grey_and_colour()
    tensor = torch.from_numpy(colour).permute(2, 0, 1)
    forms = [PIL.Image.fromarray(colour), tensor, tensor.contiguous(), tensor.float() / 255]
    assert len({content_key(form) for form in forms}) == 1


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_every_level_survives_half_precision(dtype):
    levels = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16)
    half = (levels.float() / 255).to(dtype)
    assert np.array_equal(as_uint8(half), levels.numpy())


def test_content_key_tells_pixels_and_shapes_apart():
    image = torch.zeros(1, 4, 6, dtype=torch.uint8)
    other = image.clone()
    other[0, 1, 1] = 1
    assert len({content_key(image), content_key(other), content_key(image.reshape(1, 6, 4))}) == 3
    assert -(2**63) <= content_key(image) < 2**63


@pytest.mark.parametrize(
    ("image", "error"),
    [
        ("a path", TypeError),
        (torch.zeros(1, 4, 4, dtype=torch.int64), TypeError),
        (torch.zeros(5, 4, 4), ValueError),
        (torch.zeros(1, 0, 4), ValueError),
        (torch.zeros(1, 1, 4, 4), ValueError),
    ],
)
def test_what_is_no_image_is_refused(image, error):
    with pytest.raises(error, match="image must"):
        canonical(image)


def test_distillation_loss_is_equation_4():
    torch.manual_seed(0)
    student, teacher, target = torch.randn(5, 7), torch.randn(5, 7), torch.randint(0, 7, (5,))
    cross = -student.log_softmax(1)[torch.arange(5), target].mean()
    square = sum(float((student[i, j] - teacher[i, j]) ** 2) for i in range(5) for j in range(7)) / 35
    assert distillation_loss(student, teacher, target, alpha=0.7, beta=0.3).item() == pytest.approx(
        0.7 * cross.item() + 0.3 * square, rel=1e-5
    )
    assert distillation_loss(student, None, target).item() == pytest.approx(cross.item(), rel=1e-6)


def test_distillation_loss_names_unequal_shapes():
    with pytest.raises(ValueError, match=r"\(5, 7\).*\(5, 8\)"):
        distillation_loss(torch.zeros(5, 7), torch.zeros(5, 8), torch.zeros(5, dtype=torch.long))


def test_sixteen_bit_images_are_refused_not_clipped():
    deep = PIL.Image.fromarray(np.arange(16, dtype=np.uint16).reshape(4, 4) * 4000)
    with pytest.raises(TypeError, match="8 bits"):
        as_uint8(deep)
