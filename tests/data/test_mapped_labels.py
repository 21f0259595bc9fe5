"""Labels that meet by name, and scores with some images taken away: both against counting by hand."""

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import Dataset, Subset

from pasm_aug.data.mapped_labels import MappedLabels
from pasm_aug.training.evaluation import evaluate, less

NAMES = ("neutral", "anger", "disgust", "fear", "happiness", "cat")


class Rows(Dataset):
    """Item ``i``: row ``i`` of an array as a grey image one pixel high, and its label."""

    def __init__(self, rows, labels, classes=NAMES):
        self.rows, self.labels, self.classes = rows, np.asarray(labels, dtype=np.int64), list(classes)

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return torch.from_numpy(self.rows[index])[None, None], int(self.labels[index])


class PixelsAreLogits(nn.Flatten):
    def preprocess(self, images):
        return images.float() / 32


names = st.lists(st.sampled_from(NAMES), min_size=1, unique=True)


@given(data_classes=names, network_classes=names, draw=st.data())
def test_labels_meet_by_name(data_classes, network_classes, draw):
    label = st.integers(0, len(data_classes) - 1)
    labels = draw.draw(st.lists(label, min_size=1, max_size=20))
    dataset = Rows(np.arange(20, dtype=np.uint8)[:, None], labels, data_classes)
    named = [data_classes[label] for label in labels]
    kept = [index for index, name in enumerate(named) if name in network_classes]
    if not kept:
        nothing = not set(data_classes) & set(network_classes)
        with pytest.raises(ValueError, match="nothing in common" if nothing else f"none of the {len(labels)} images"):
            MappedLabels(dataset, network_classes)
        return
    mapped = MappedLabels(dataset, network_classes)
    assert len(mapped) == len(kept)
    assert mapped.classes == network_classes
    assert mapped.indices.tolist() == kept
    assert mapped.dropped == Counter(name for name in named if name not in network_classes)
    items = [mapped[position] for position in range(len(mapped))]
    assert [int(image) for image, _ in items] == kept
    assert [network_classes[label] for _, label in items] == [named[index] for index in kept]
    assert [label for _, label in items] == mapped.labels.tolist()


def test_nothing_in_common_names_both_sides():
    dataset = Rows(np.zeros((2, 1), np.uint8), [0, 1], ["cat", "dog"])
    with pytest.raises(ValueError, match="the network knows anger, fear, the data have cat, dog: nothing in common"):
        MappedLabels(dataset, ["anger", "fear"])


@settings(max_examples=40, deadline=None)
@given(classes=st.integers(2, 5), length=st.integers(2, 40), seed=st.integers(0, 2**32 - 1), share=st.floats(0.05, 1))
def test_less_is_what_the_rest_scores(classes, length, seed, share):
    draw = np.random.default_rng(seed)
    rows = draw.integers(0, 256, (length, classes), dtype=np.uint8)
    labels = np.where(draw.random(length) < 0.5, rows.argmax(1), draw.integers(0, classes, length))
    dataset, network = Rows(rows, labels), PixelsAreLogits()
    taken = draw.random(length) < share
    taken[0] = True
    whole, part = evaluate(network, dataset), evaluate(network, Subset(dataset, np.flatnonzero(taken)))
    if taken.all():
        assert less(whole, part) is None
        return
    found, rest = less(whole, part), evaluate(network, Subset(dataset, np.flatnonzero(~taken)))
    assert (found.confusion, found.count) == (rest.confusion, rest.count)
    assert found.accuracy == pytest.approx(rest.accuracy, abs=1e-12)
    assert found.loss == pytest.approx(rest.loss, abs=1e-5)
    assert found.per_class == rest.per_class  # a class that has lost all its images is None in both
    assert found.mean_per_class == pytest.approx(rest.mean_per_class)
