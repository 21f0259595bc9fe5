"""Drawn faces: the same everywhere, at every size, balanced, with regions that lie where the expression is."""

import pickle
import subprocess
import sys
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pasm_aug.data.synthetic.dataset import SyntheticExpressions
from pasm_aug.data.synthetic.description import PROTOTYPES, Difficulty

EMFACS = {
    "neutral": "",
    "anger": "4 5 7 23",
    "disgust": "9 15 16",
    "fear": "1 2 4 5 20 26",
    "happiness": "6 12",
    "sadness": "1 4 15",
    "surprise": "1 2 5 26",
}


def pixels(dataset, index):
    return np.asarray(dataset[index][0])


def test_prototypes_and_classes():
    assert {name: " ".join(map(str, units)) for name, units in PROTOTYPES.items()} == EMFACS
    faces = SyntheticExpressions(length=7)
    assert faces.classes == ["neutral", "anger", "disgust", "fear", "happiness", "sadness", "surprise"]
    assert faces.class_to_idx["surprise"] == 6


@given(st.integers(0, 2**64 - 1), st.sampled_from(["train", "val", "test"]), st.integers(0, 40), st.integers(24, 90))
@settings(max_examples=40, deadline=None)
def test_any_size_same_face_and_regions_inside(seed, split, index, size):
    one = SyntheticExpressions(split, size=size, length=41, seed=seed)
    two = SyntheticExpressions(split, size=size, length=100, seed=seed)
    image, label = one[index]
    assert (image.size, image.mode, label) == ((size, size), "RGB", int(one.labels[index]))
    assert np.array_equal(np.asarray(image), pixels(two, index))
    regions = one.regions(index)
    assert regions == two.regions(index)
    assert regions
    for left, top, right, bottom in [*regions, one.face_box(index)]:
        assert 0 <= left < right <= size
        assert 0 <= top < bottom <= size


def test_same_faces_in_another_process():
    code = (
        "import zlib; from pasm_aug.data import SyntheticExpressions as S; s = S('val', size=40, length=9, seed=3);"
        "print([zlib.crc32(s[i][0].tobytes()) for i in range(9)], s.labels.tolist())"
    )
    fresh = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    here = SyntheticExpressions("val", size=40, length=9, seed=3)
    sums = [zlib.crc32(here[i][0].tobytes()) for i in range(9)]
    assert fresh.strip() == f"{sums} {here.labels.tolist()}"


def test_global_random_state_is_neither_read_nor_changed():
    faces = SyntheticExpressions(length=3)
    np.random.seed(1)  # noqa: NPY002
    first, state = pixels(faces, 2), np.random.get_state()[1].copy()  # noqa: NPY002
    np.random.seed(2)  # noqa: NPY002
    assert np.array_equal(first, pixels(faces, 2))
    np.random.seed(1)  # noqa: NPY002
    pixels(faces, 1)
    assert np.array_equal(state, np.random.get_state()[1])  # noqa: NPY002


@pytest.mark.parametrize("index", range(10))
def test_a_larger_image_shows_the_same_face(index):
    small, large = (SyntheticExpressions(size=size, length=40)[index][0] for size in (48, 144))
    other = SyntheticExpressions(size=48, length=40)[index + 20][0]
    reduced = np.asarray(large.resize((48, 48), Image.Resampling.BOX), dtype=float)
    small, other = np.asarray(small, dtype=float), np.asarray(other, dtype=float)
    assert np.abs(reduced - small).mean() < 6
    assert np.abs(reduced - other).mean() > 15
    boxes = [np.array(SyntheticExpressions(size=size, length=40).regions(index)) for size in (48, 144)]
    np.testing.assert_allclose(boxes[0] * 3, boxes[1])


@given(st.integers(1, 300), st.integers(0, 1000), st.floats(0, 1))
@settings(max_examples=50, deadline=None)
def test_classes_are_balanced_and_a_prefix_is_a_shorter_set(length, seed, noise):
    faces = SyntheticExpressions(length=length, seed=seed, label_noise=noise)
    counts = np.bincount(faces.shown, minlength=7)
    assert counts.max() - counts.min() <= 1
    assert faces.labels.dtype == np.int64
    assert len(faces) == length
    longer = SyntheticExpressions(length=length + 50, seed=seed, label_noise=noise)
    assert np.array_equal(longer.labels[:length], faces.labels)
    assert np.array_equal(longer.limited(length).labels, faces.labels)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.4, 1.0])
def test_label_noise(share):
    clean = SyntheticExpressions(length=7000)
    noisy = SyntheticExpressions(length=7000, label_noise=share)
    assert np.array_equal(noisy.shown, clean.labels)
    wrong = noisy.labels != noisy.shown
    assert abs(wrong.mean() - share) < 0.025  # four standard deviations
    assert set(noisy.labels) <= set(range(7))
    if share:
        steps = np.bincount((noisy.labels - noisy.shown)[wrong] % 7, minlength=7)[1:]
        assert steps.min() > 0.7 * steps.mean()
    assert np.array_equal(pixels(noisy, 5), pixels(clean, 5))


def test_splits_and_seeds_show_different_faces():
    sets = [SyntheticExpressions(split, length=25, seed=seed) for split in ("train", "val", "test") for seed in (0, 1)]
    images = {pixels(faces, i).tobytes() for faces in sets for i in range(25)}
    assert len(images) == 6 * 25


def test_default_lengths_and_options():
    assert [len(SyntheticExpressions(split)) for split in ("train", "val", "test")] == [1400, 700, 1400]
    faces = SyntheticExpressions(length=5, transform=lambda p: p.size, target_transform=lambda label: -label)
    assert faces[2] == ((48, 48), -int(faces.labels[2]))


def test_pickles():
    faces = SyntheticExpressions(
        "test", size=30, length=20, seed=9, label_noise=0.5, difficulty=Difficulty(noise=(0, 0))
    )
    again = pickle.loads(pickle.dumps(faces))
    assert np.array_equal(pixels(again, 7), pixels(faces, 7))
    assert np.array_equal(again.labels, faces.labels)
    assert again.regions(7) == faces.regions(7)


PLAIN = Difficulty(blend_share=0, glasses_share=0, mask_share=0, hand_share=0)


@pytest.mark.parametrize("name", list(EMFACS))
def test_number_of_regions_follows_the_prototype(name):
    count = {"neutral": 5, "anger": 5, "disgust": 4, "fear": 5, "happiness": 3, "sadness": 3, "surprise": 5}[name]
    faces = SyntheticExpressions(length=28, difficulty=PLAIN)
    for index in np.flatnonzero(faces.shown == faces.class_to_idx[name]):
        assert len(faces.regions(index)) == count


@pytest.mark.parametrize("name", [name for name in EMFACS if name != "neutral"])
def test_the_expression_changes_the_image_mostly_inside_its_regions(name):
    """The same generator draws each face at rest and at full intensity: what changes should lie in the regions."""
    still = Difficulty(intensity=(0, 0), stray=0, blend_share=0, glasses_share=0, mask_share=0, hand_share=0)
    full = Difficulty(
        intensity=(1, 1), unit_spread=(1, 1), stray=0, blend_share=0, glasses_share=0, mask_share=0, hand_share=0
    )
    rest, moved = (SyntheticExpressions(length=140, size=64, difficulty=knobs) for knobs in (still, full))
    inside, area = [], []
    for index in np.flatnonzero(moved.shown == moved.class_to_idx[name]):
        change = np.abs(pixels(moved, index).astype(int) - pixels(rest, index)).sum(axis=2)
        mask = np.zeros((64, 64), dtype=bool)
        for left, top, right, bottom in moved.regions(index):
            mask[int(top) : int(np.ceil(bottom)), int(left) : int(np.ceil(right))] = True
        inside.append(change[mask].sum() / change.sum())
        left, top, right, bottom = moved.face_box(index)
        area.append(mask.sum() / ((right - left) * (bottom - top)))
    assert np.mean(inside) > 2 * np.mean(area)


def test_a_mask_hides_nose_and_mouth():
    seen = {"neutral": 4, "anger": 4, "disgust": 2, "fear": 4, "happiness": 2, "sadness": 2, "surprise": 4}
    masked = SyntheticExpressions(length=70, difficulty=Difficulty(mask_share=1))
    bare = SyntheticExpressions(length=70, difficulty=Difficulty(mask_share=0, hand_share=0))
    for index in range(70):
        regions = masked.regions(index)
        assert len(regions) == seen[masked.classes[masked.shown[index]]]
        assert set(regions) < set(bare.regions(index))


def test_a_hand_hides_something_but_never_all():
    covered = SyntheticExpressions(length=70, difficulty=Difficulty(mask_share=0, hand_share=1))
    bare = SyntheticExpressions(length=70, difficulty=Difficulty(mask_share=0, hand_share=0))
    fewer = [len(bare.regions(index)) - len(covered.regions(index)) for index in range(70)]
    assert min(fewer) == 0
    assert np.mean(np.array(fewer) > 0) > 0.3
    assert all(covered.regions(index) for index in range(70))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "all"}, "split must be one of train, val, test, got 'all'"),
        ({"size": 23}, "size must be at least 24 pixels, got 23"),
        ({"length": 0}, "length must be at least 1, got 0"),
        ({"seed": -1}, "seed must not be negative, got -1"),
        ({"label_noise": 1.5}, r"label_noise must lie in \[0, 1\], got 1.5"),
    ],
)
def test_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        SyntheticExpressions(**options)
    faces = SyntheticExpressions(length=3)
    for call in (faces.regions, faces.face_box, faces.__getitem__):
        with pytest.raises(IndexError, match="got 3"):
            call(3)
