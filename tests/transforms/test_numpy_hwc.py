import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torchvision.transforms import v2

from pasm_aug import NumpyHWC, PointAdversarialErase, PointSearch, mine_positions
from tests.shapes import Shapes, own_net

DTYPES = st.sampled_from([np.dtype("uint8"), np.dtype("int16"), np.dtype("float32"), np.dtype("float64")])


@st.composite
def images(draw):
    size = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    shape = (*size, *draw(st.sampled_from([(), (1,), (2,), (3,), (4,)])))
    dtype = draw(DTYPES)
    elements = st.floats(0, 1, width=32) if dtype.kind == "f" else st.integers(0, 255)
    return draw(arrays.arrays(dtype, shape, elements=elements))


@given(images())
def test_the_transform_sees_planes_and_its_result_has_the_form_of_the_input(image):
    seen = []
    same = NumpyHWC(lambda x: seen.append(x) or x)(image)
    np.testing.assert_array_equal(same, image)
    assert (same.dtype, same.shape) == (image.dtype, image.shape)
    (planes,) = seen
    assert planes.shape == (1 if image.ndim == 2 else image.shape[2], *image.shape[:2])
    flipped = NumpyHWC(v2.RandomHorizontalFlip(1.0))(image)
    np.testing.assert_array_equal(flipped, image[:, ::-1])


@given(images())
def test_the_image_stays_as_it_was_whatever_its_memory_looks_like(image):
    before = image.copy()
    turned = image[::-1]  # negative strides
    turned.flags.writeable = False
    out = NumpyHWC(PointAdversarialErase(None, p=1.0, value=0, inplace=True))(turned)
    np.testing.assert_array_equal(image, before)
    out[...] = 1  # the caller's own


def test_it_finds_what_was_mined_and_passes_the_rest_on(tmp_path):
    data = Shapes(12)
    mine_positions(own_net(), data, tmp_path / "c", search=PointSearch(budget=8), device="cpu", progress=False)
    erase = PointAdversarialErase(tmp_path / "c", p=1.0, value=255, on_miss="raise")
    wrapped = pickle.loads(pickle.dumps(NumpyHWC(erase)))  # as a loader worker gets it
    for image, label in data:
        array = np.asarray(image)
        out, passed = wrapped(array, label)
        expected = erase(torch.from_numpy(array.copy())[None])[0].numpy()
        np.testing.assert_array_equal(out, expected)
        assert passed == label
        coloured = wrapped(np.repeat(array[..., None], 3, axis=2))
        np.testing.assert_array_equal(coloured, np.repeat(expected[..., None], 3, axis=2))


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (torch.zeros(3, 4, 4), TypeError, "numpy array .*got Tensor"),
        (np.zeros((3, 4, 5)), ValueError, r"got shape \(3, 4, 5\)"),
        (np.zeros((2, 4, 4, 3)), ValueError, r"got shape \(2, 4, 4, 3\)"),
    ],
)
def test_what_is_no_such_array_is_refused(image, error, message):
    with pytest.raises(error, match=message):
        NumpyHWC(lambda x: x)(image)


def test_an_array_by_itself_is_told_of_the_adapter():
    with pytest.raises(TypeError, match=r"numpy arrays .* go through NumpyHWC"):
        PointAdversarialErase(None)(np.zeros((4, 4, 3), np.uint8))
