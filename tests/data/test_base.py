"""Names of classes, seeded splits and samples, subsets, and opening data sets by name."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pasm_aug.data.base import (
    EXPRESSIONS,
    ExpressionDataset,
    ExpressionSubset,
    canonical_name,
    stratified_sample,
    stratified_split,
)
from pasm_aug.data.registry import DATASETS, open_dataset


class Dots(ExpressionDataset):
    """One-pixel images whose value is their index."""

    def image(self, index: int) -> Image.Image:
        return Image.new("L", (1, 1), index)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("happy", "happiness"),
        ("Angry", "anger"),
        ("0_angry", "anger"),
        ("3-Happy", "happiness"),
        ("Surprised", "surprise"),
        ("sad", "sadness"),
        ("cat", "cat"),
        ("7_Cats", "7_Cats"),
        *((name, name) for name in EXPRESSIONS),
    ],
)
def test_canonical_name(name, expected):
    assert canonical_name(name) == expected


def test_items_transforms_and_indices():
    dots = Dots(["b", "a"], np.array([1, 0, 1]), transform=lambda p: p.getpixel((0, 0)), target_transform=str)
    assert [dots[i] for i in range(3)] == list(dots) == [(0, "1"), (1, "0"), (2, "1")]
    assert dots[-1] == (2, "1")
    assert dots.class_to_idx == {"b": 0, "a": 1}
    assert dots.labels.dtype == np.int64
    with pytest.raises(IndexError, match="got 3"):
        dots[3]


labels_of = st.lists(st.integers(0, 3), min_size=40, max_size=120).map(lambda tail: np.array([0, 1, 2, 3] * 9 + tail))


@given(labels_of, st.sampled_from([(0.8, 0.1, 0.1), (0.9, 0.1), (0.5, 0.5), (1.0,)]), st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_split_is_a_stratified_partition(labels, fractions, seed):
    parts = stratified_split(labels, fractions, seed=seed)
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(len(labels)))
    for part, fraction in zip(parts, fractions, strict=True):
        wanted = fraction * np.bincount(labels, minlength=4)
        assert (np.abs(np.bincount(labels[part], minlength=4) - wanted) <= 1).all()
    again = stratified_split(labels, fractions, seed=seed)
    assert all(np.array_equal(a, b) for a, b in zip(parts, again, strict=True))


@given(labels_of, st.integers(0, 2**32), st.data())
@settings(max_examples=60, deadline=None)
def test_split_keeps_groups_together(labels, seed, data):
    groups = data.draw(st.lists(st.integers(0, 60), min_size=len(labels), max_size=len(labels)))
    groups[:36] = range(1000, 1036)  # enough different images a class
    parts = stratified_split(labels, (0.8, 0.1, 0.1), seed=seed, groups=groups)
    names = [{groups[i] for i in part} for part in parts]
    assert sum(map(len, names)) == len(set(groups))
    assert sum(map(len, parts)) == len(labels)


def test_split_depends_on_the_seed():
    labels = np.zeros(50, dtype=int)
    assert not np.array_equal(stratified_split(labels, (0.5, 0.5))[0], stratified_split(labels, (0.5, 0.5), seed=1)[0])


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        ([0, 0, 2, 2], {"fractions": (0.5, 0.5), "classes": ["x", "empty", "z"]}, "class 'empty'.*got 0"),
        ([0, 0, 0, 1], {"fractions": (0.5, 0.5)}, "class 1 .*got 1"),
        ([0, 0, 0], {"fractions": (0.5, 0.5), "groups": [7, 7, 7]}, "got 1 among its 3: copies of an image"),
        ([0, 1, 1], {"fractions": (0.5, 0.5), "groups": [7, 7, 8], "classes": "xy"}, "class 'x' .*got 1$"),
        ([0, 0, 0], {"fractions": (0.5, 0.4)}, "sum to 1"),
        ([0, 0, 0], {"fractions": (1.5, -0.5)}, "positive"),
        ([0, 0, 0], {"fractions": (0.5, 0.5), "groups": [1, 2]}, "2 names for 3 items"),
    ],
)
def test_split_refuses(labels, options, message):
    with pytest.raises(ValueError, match=message):
        stratified_split(np.array(labels), **options)


@given(labels_of, st.integers(4, 40), st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_sample_holds_every_class_and_nests(labels, count, seed):
    sample = stratified_sample(labels, count, seed=seed)
    assert len(set(sample.tolist())) == count
    assert (np.diff(sample) > 0).all()
    assert set(labels[sample]) == set(labels)
    assert set(sample) <= set(stratified_sample(labels, count + 5, seed=seed))
    shares = np.bincount(labels, minlength=4) / len(labels)
    assert (np.abs(np.bincount(labels[sample], minlength=4) - count * shares) <= 3).all()


def test_subset_keeps_names_labels_and_images():
    dots = Dots(["a", "b"], np.arange(100) % 2)
    few = dots.limited(10, seed=3)
    assert isinstance(few, ExpressionSubset)
    assert few.classes == dots.classes
    assert [few[i][0].getpixel((0, 0)) for i in range(10)] == few.indices.tolist()
    assert np.array_equal(few.labels, dots.labels[few.indices])
    assert dots.limited(100) is dots
    again = pickle.loads(pickle.dumps(few))
    assert again[4][0].getpixel((0, 0)) == few.indices[4]
    with pytest.raises(ValueError, match="at least 1"):
        dots.limited(0)


def test_open_synthetic():
    faces = open_dataset("synthetic", split="val", size=32, limit=21, seed=5)
    assert faces[0][0].size == (32, 32)
    assert np.bincount(faces.labels).tolist() == [3] * 7
    assert len(faces.regions(0)) >= 1


@pytest.mark.parametrize("mode", ["L", "RGB", "P", "RGBA", "CMYK", "1", "LA"])
def test_open_folder_resizes_every_mode(tmp_path, mode):
    for green, name in enumerate(("happy", "sad")):
        (tmp_path / "train" / name).mkdir(parents=True)
        for i in range(4):
            suffix = ".tif" if mode == "CMYK" else ".png"
            image = Image.new("RGB", (60 + i, 40), (120 * (i % 2), 120 * (i // 2), 120 * green)).convert(mode)
            image.save((tmp_path / "train" / name / f"{i}").with_suffix(suffix))
    faces = open_dataset("folder", tmp_path, size=32, transform=lambda p: (p.size, p.mode), val_fraction=0.25)
    assert [faces[i][0] for i in range(len(faces))] == [((32, 32), "L" if mode in ("L", "1") else "RGB")] * 6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"name": "mnist"},
            "name must be one of synthetic, fer2013, ferplus, rafdb, ckplus, affectnet, manifest, folder, got 'mnist'",
        ),
        ({"name": "fer2013"}, "root must name"),
        ({"name": "synthetic", "limit": 0}, "limit must be at least 1, got 0"),
        ({"name": "synthetic", "size": 0}, "size must be at least 1, got 0"),
        ({"name": "synthetic", "split": "all"}, "split must be one of train, val, test, got 'all'"),
    ],
)
def test_open_dataset_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        open_dataset(**arguments)
    names = {"synthetic", "fer2013", "ferplus", "rafdb", "ckplus", "affectnet", "manifest", "folder"}
    assert set(DATASETS) == names
