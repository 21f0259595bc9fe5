"""Images in two splits or twice in one: against a plain comparison of their bytes."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pasm_aug.data.base import ExpressionDataset
from pasm_aug.data.overlap import Overlaps, overlaps, without


class Shades(ExpressionDataset):
    """Images of one shade each, given as (shade, label)."""

    def __init__(self, items, classes=("anger", "fear"), mode="L", transform=None):
        super().__init__(classes, np.array([label for _, label in items], dtype=np.int64), transform=transform)
        self.shades = [shade for shade, _ in items]
        self.mode = mode

    def image(self, index):
        return Image.new("L", (3, 2), self.shades[index]).convert(self.mode)


items = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 1)), max_size=12)


@settings(max_examples=60, deadline=None)
@given(st.fixed_dictionaries({"train": items, "val": items, "test": items}))
def test_against_a_plain_comparison(splits):
    found = overlaps({name: Shades(listed) for name, listed in splits.items()})
    shades = {name: [shade for shade, _ in listed] for name, listed in splits.items()}
    for one, other in combinations(splits, 2):
        assert found.shared(one, other) == len(set(shades[one]) & set(shades[other]))
        assert found.also_in(one, other).tolist() == [i for i, s in enumerate(shades[one]) if s in shades[other]]
    for name, listed in splits.items():
        assert found.repeated(name).tolist() == [i for i, s in enumerate(shades[name]) if s in shades[name][:i]]
        mixed = {s for s in shades[name] if len({label for shade, label in listed if shade == s}) == 2}
        assert sorted(sorted(index for _, index in group) for group in found.conflicting(name)) == sorted(
            [i for i, s in enumerate(shades[name]) if s == wanted] for wanted in mixed
        )
    everywhere = [item for listed in splits.values() for item in listed]
    mixed = {s for s, _ in everywhere if len({label for shade, label in everywhere if shade == s}) == 2}
    assert sum(map(len, found.conflicting())) == sum(shade in mixed for shade, _ in everywhere)
    assert set(found.in_train) == {"val", "test"}
    assert found.in_train["test"].tolist() == found.also_in("test", "train").tolist()


def test_labels_meet_by_name_and_content_by_pixels():
    one = Shades([(1, 0), (2, 1), (3, 1)], ("anger", "fear"))
    other = Shades([(1, 1), (2, 1), (9, 0)], ("fear", "anger"), mode="RGB", transform=lambda image: 1 / 0)
    found = overlaps({"train": one, "ckplus": other})
    assert found.shared("train", "ckplus") == 2
    assert found.conflicting() == [[("train", 1), ("ckplus", 1)]]  # fear and anger; image 1 is anger in both
    assert found.conflicting("train") == []


def test_summary_tells_the_numbers():
    found = overlaps({"train": Shades([(1, 0), (1, 1), (1, 1), (2, 0)]), "test": Shades([(2, 0), (2, 0), (3, 0)])})
    assert found.summary().splitlines() == [
        "train: 4 images, 2 of them repeat another, 1 groups (3 images) with conflicting labels",
        "test: 3 images, 1 of them repeat another, 0 groups (0 images) with conflicting labels",
        "train and test: 1 different images in both (1 of train, 2 of test)",
    ]


def test_without():
    train, test = Shades([(1, 0), (2, 1)]), Shades([(2, 1), (3, 0), (1, 0), (4, 1)])
    left = without(test, overlaps({"train": train, "test": test}).in_train["test"])
    assert [(image.getpixel((0, 0)), label) for image, label in left] == [(3, 0), (4, 1)]
    assert left.classes == test.classes
    assert len(overlaps({"train": train, "test": left}).in_train["test"]) == 0
    assert len(without(test, [])) == 4
    with pytest.raises(IndexError, match=r"indices must lie in 0 .. 3, got 4"):
        without(test, [0, 4])


def test_other_data_sets_are_refused_and_no_train_is_fine():
    with pytest.raises(TypeError, match=r"splits\['a'\] must be an ExpressionDataset, got list"):
        overlaps({"a": []})
    found = overlaps({"a": Shades([(1, 0)])})
    assert isinstance(found, Overlaps)
    assert found.in_train == {}
