"""The weak and the strong view of an image."""

import numpy as np
import PIL.Image
import pytest
import torch
from torchvision.transforms import v2

from pasm_aug.asm.subsets import AMBIGUOUS, CLEAN, NOISE
from pasm_aug.asm.views import Cutout, ReflectedCrop, Views, strong_view
from pasm_aug.transforms.erase import PointAdversarialErase
from pasm_aug.transforms.paired_view import ErasedOnly, PairedView
from tests.shapes import Shapes

IMAGE = torch.arange(3 * 24 * 24, dtype=torch.int32).remainder(251).to(torch.uint8).reshape(3, 24, 24)


def seeded(seed, call):
    torch.manual_seed(seed)
    return call()


def black(image):
    return torch.zeros_like(image)


@pytest.mark.parametrize("note", [CLEAN, AMBIGUOUS, NOISE])
def test_the_strong_view_is_made_where_the_label_is_noise(note):
    weak, strong, label = Views(None, black)(IMAGE, 5, note)
    assert label == 5
    assert torch.equal(weak, IMAGE)
    assert torch.equal(strong, black(IMAGE) if note == NOISE else IMAGE)


@pytest.mark.parametrize("wrap", [lambda view: view, ErasedOnly])
def test_only_the_subsets_that_may_be_are_erased_and_the_weak_view_does_not_depend_on_the_strong(wrap):
    erase = PointAdversarialErase(None, p=1.0, size=6, value=0)
    views = Views(wrap(PairedView(erase, v2.RandomHorizontalFlip(1.0))), black, {CLEAN})
    erased, *clean = seeded(0, lambda: views(IMAGE, 1, CLEAN))[:-2]
    whole = seeded(0, lambda: views(IMAGE, 1, NOISE))[0]
    assert torch.equal(whole, IMAGE.flip(-1))
    assert all(torch.equal(image, whole) for image in clean)
    assert int((erased != whole).any(0).sum()) in range(20, 37)
    assert views.erase.erased_area(here=True) == (36, 2 * 24 * 24)


def test_cutout_and_crop_take_images_of_every_kind_and_keep_their_size():
    for image in (IMAGE, IMAGE[:1], PIL.Image.fromarray(IMAGE.permute(1, 2, 0).numpy()), Shapes()[0][0]):
        for transform in (Cutout(), ReflectedCrop(), strong_view()):
            out = seeded(1, lambda: transform(image))  # noqa: B023
            assert type(out) is type(image)
            assert v2.functional.get_size(out) == v2.functional.get_size(image)
            again = seeded(1, lambda: transform(image))  # noqa: B023
            assert np.array_equal(np.asarray(out), np.asarray(again))
    cut = Cutout(0.25)(torch.zeros(1, 40, 40, dtype=torch.uint8))
    assert set(cut.unique().tolist()) == {0, 128}
    assert 0 < int((cut == 128).sum()) <= 100
