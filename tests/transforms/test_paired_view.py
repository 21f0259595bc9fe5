import pytest
import torch
from torchvision.transforms import v2

from pasm_aug.transforms.erase import PointAdversarialErase
from pasm_aug.transforms.indexed_dataset import SampleIndex
from pasm_aug.transforms.paired_view import ErasedOnly, PairedView
from tests.shapes import Shapes


def pairs(view, seed, *sample):
    torch.manual_seed(seed)
    return view(*sample)


@pytest.mark.parametrize(
    "then", [None, v2.RandomHorizontalFlip(), v2.Compose([v2.RandomCrop(16), v2.ColorJitter(0.5)])]
)
@pytest.mark.parametrize("erase", [None, PointAdversarialErase(None, p=0.7), v2.RandomErasing(p=1.0), torch.clone])
def test_the_erased_one_alone_is_the_first_of_the_pair(erase, then):
    view = PairedView(erase, then)
    image = torch.from_numpy(Shapes(1).images)
    for seed in range(5):
        for rest in ((1,), (1, SampleIndex([0, 7]))):
            if erase is not None and len(rest) == 2 and isinstance(erase, PointAdversarialErase):
                continue  # it would look the index up
            erased, _, label = pairs(view, seed, image, *rest)
            alone = pairs(ErasedOnly(view), seed, image, *rest)
            assert len(alone) == 2
            assert torch.equal(alone[0], erased)
            assert alone[1] == label == 1


def test_it_counts_what_its_erasing_counts():
    view = PairedView(PointAdversarialErase(None, p=1.0))
    only = ErasedOnly(view)
    assert only.erase is view.erase
    only(torch.from_numpy(Shapes(1).images), 0)
    assert only.erase.erased_area()[1] == 400


def test_a_wrong_sample_is_named_as_the_pair_names_it():
    with pytest.raises(ValueError, match="sample must be"):
        ErasedOnly(PairedView(None))(torch.zeros(1, 4, 4, dtype=torch.uint8))
