"""What lies below a data set, through whatever holds it and takes parts of it."""

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import Subset

from pasm_aug.data.base import ExpressionSubset
from pasm_aug.data.in_memory import InMemory
from pasm_aug.data.listed import ListedImages
from pasm_aug.data.mapped_labels import MappedLabels
from pasm_aug.data.origin import item_names, item_paths, labels_of, origin
from tests.shapes import Shapes


@given(st.lists(st.lists(st.integers(0, 10**6), min_size=1, max_size=6), max_size=4), st.booleans())
def test_parts_of_parts_know_their_places(cuts, held):
    bottom = [(np.zeros((1, 2, 2), np.uint8), index) for index in range(9)]
    dataset, places = bottom, list(range(9))
    for cut in cuts:
        length = len(dataset)
        dataset = Subset(dataset, [number % length - length * (number % 2) for number in cut])
        places = [places[number % length] for number in cut]
        if held:
            dataset = InMemory(dataset, progress=False)
    found, own = origin(dataset)
    assert found is bottom
    assert own.tolist() == places
    assert labels_of(dataset).tolist() == places


def test_files_and_names_of_items():
    paths = [Path("/data/a/1.png"), Path("/data/b/c/1.png"), Path("/data/a/2.png")]
    listed = ListedImages(paths, ["x", "y"], np.array([0, 1, 0]))
    assert item_paths(listed) == paths
    assert item_names(listed) == ["a/1.png", "b/c/1.png", "a/2.png"]
    few = ExpressionSubset(listed, np.array([2, 0]))
    assert item_paths(Subset(few, [1])) == [paths[0]]
    assert item_names(few) == ["2.png", "1.png"]
    assert item_paths(MappedLabels(few, ["x"])) == [paths[2], paths[0]]
    assert item_paths(Shapes(3)) is None
    assert item_names(Shapes(3)) == ["", "", ""]


def test_labels_are_read_without_images_where_they_are_told():
    class Told(Shapes):
        def __getitem__(self, index):
            raise AssertionError("an image was read")

    assert labels_of(Told(6)).tolist() == [0, 1, 2, 0, 1, 2]
    assert labels_of(Subset(Told(6), [5, 0])).tolist() == [2, 0]
    told = Told(3)
    told.target_transform = lambda label: 2 - label
    assert labels_of(told).tolist() == [2, 1, 0]
