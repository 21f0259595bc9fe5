import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import ConcatDataset, Subset

from pasm_aug.data.origin import labels_of
from pasm_aug.training.balance import class_weights, sample_weights
from pasm_aug.training.loading import EpochSampler
from tests.shapes import Shapes

SKEWED = np.repeat([0, 2, 5], [900, 90, 10])  # labels with gaps
LABELS = st.lists(st.integers(0, 6), min_size=1, max_size=60).map(np.array)


class Unnamed:
    """Items alone, without a list of labels."""

    def __init__(self, base):
        self.base = base

    def __len__(self):
        return len(self.base)

    def __getitem__(self, index):
        return self.base[index]


class Shifted(Shapes):
    """A data set whose items have other labels than its list says, as torchvision's ``target_transform`` makes them."""

    def target_transform(self, label):
        return label + 1

    def __getitem__(self, index):
        image, label = super().__getitem__(index)
        return image, self.target_transform(label)


def test_labels_are_found_in_data_sets_of_every_kind():
    base = Shapes(9)
    assert labels_of(base).tolist() == labels_of(Unnamed(base)).tolist() == [0, 1, 2] * 3
    assert labels_of(Subset(Subset(base, [8, 4, 0, 1]), [0, 3])).tolist() == [2, 1]
    assert labels_of(ConcatDataset([base, Subset(base, [5])])).tolist() == [0, 1, 2] * 3 + [2]
    assert labels_of(Shifted(6)).tolist() == [1, 2, 3] * 2
    assert labels_of(base).dtype == np.int64


@given(LABELS, st.integers(0, 3))
def test_class_weights_give_every_class_the_same_say_and_keep_the_mean(labels, more):
    weights = class_weights(labels, 7 + more)
    assert weights.shape == (7 + more,)
    assert weights.dtype == torch.float32
    says = np.bincount(labels, weights=weights.numpy()[labels], minlength=7 + more)
    present = np.unique(labels)
    assert says[present] == pytest.approx(len(labels) / len(present), rel=1e-5)
    assert weights[labels].mean() == pytest.approx(1, rel=1e-5)
    assert not weights[[c for c in range(7 + more) if c not in present]].any()


def test_balanced_weights_make_cross_entropy_the_mean_of_the_classes_means():
    logits, target = torch.randn(1000, 6, generator=torch.Generator().manual_seed(1)), torch.from_numpy(SKEWED)
    weighted = nn.functional.cross_entropy(logits, target, class_weights(SKEWED, 6))
    losses = nn.functional.cross_entropy(logits, target, reduction="none")
    expected = torch.stack([losses[target == c].mean() for c in (0, 2, 5)]).mean()
    assert float(weighted) == pytest.approx(float(expected), rel=1e-5)


@given(LABELS)
def test_sample_weights_share_the_chances_among_the_classes(labels):
    chances = sample_weights(labels).numpy()
    shares = np.bincount(labels, weights=chances)[np.unique(labels)]
    assert shares == pytest.approx(1)


def test_balanced_draws_meet_every_class_equally_often_and_again_for_the_same_seed():
    def epoch(number, seed=3):
        sampler = EpochSampler(1000, 50, seed=seed, weights=sample_weights(SKEWED))
        sampler.epoch = number
        return [index for batch in sampler for _, index in batch]

    drawn = np.concatenate([epoch(number) for number in range(30)])
    counts = np.array([(SKEWED[drawn] == c).sum() for c in (0, 2, 5)])
    assert counts.sum() == 30_000
    assert ((counts - 10_000) ** 2 / 10_000).sum() < 13.8  # chi-square of 2 degrees of freedom: once in 1000 seeds
    each = np.bincount(drawn, minlength=1000)
    assert each[990:].min() > 800  # the ten of the rare class, 1000 times each
    assert epoch(4) == epoch(4)
    assert epoch(4) != epoch(5)
    assert epoch(4) != epoch(4, seed=4)
