"""CK+ as sequences and as CK+48: frames, persons, folds, and what is wrong on disk. The files are made here."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pasm_aug.data.ckplus import CKPlus
from pasm_aug.data.grouped_split import joined, split_groups
from pasm_aug.data.registry import open_dataset

pytestmark = [
    pytest.mark.filterwarnings("ignore:CK:UserWarning"),
    pytest.mark.filterwarnings("ignore:part .* has no:UserWarning"),
]

CLASSES = ["neutral", "anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise"]
FOLDER_NAMES = ("anger", "contempt", "disgust", "fear", "happy", "sadness", "surprise")


def write_image(path: Path) -> None:
    """An image that no other file holds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.frombytes("L", (6, 4), path.stem.encode().ljust(24)[:24]).save(path)


def write_sequences(root: Path, persons: int = 30, images="cohn-kanade-images", emotions="Emotion") -> None:
    """Each person shows two expressions and has one sequence without a label; lengths differ."""
    for person in range(persons):
        for sequence in range(3):
            name, length = f"S{person:03}_{sequence + 1:03}", 4 + (person + sequence) % 3
            place = Path(f"S{person:03}") / f"{sequence + 1:03}"
            for frame in range(1, length + 1):
                write_image(root / images / place / f"{name}_{frame:08}.png")
            (root / emotions / place).mkdir(parents=True)
            if sequence < 2:
                label = (person + 3 * sequence) % 7 + 1
                path = root / emotions / place / f"{name}_{length:08}_emotion.txt"
                path.write_text(f"   {label:.7e}\n")
    (root / images / ".DS_Store").write_bytes(b"")
    (root / images / "S000" / "001" / ".DS_Store").write_bytes(b"")


def write_48(root: Path, persons: int = 30) -> None:
    for person in range(persons):
        for sequence in range(2):
            folder = FOLDER_NAMES[(person + 3 * sequence) % 7]
            for frame in range(15, 18):
                write_image(root / folder / f"S{person:03}_{sequence + 1:03}_{frame:08}.png")


@pytest.mark.parametrize(
    ("images", "emotions"),
    [
        ("cohn-kanade-images", "Emotion"),
        ("extended-cohn-kanade-images/cohn-kanade-images", "Emotion_labels/Emotion"),
    ],
)
def test_sequences(tmp_path, images, emotions):
    write_sequences(tmp_path, 30, images, emotions)
    whole = CKPlus(tmp_path, "all")
    assert whole.classes == CLASSES
    assert len(whole) == 30 * 2 * 4
    assert whole.left_out == {"sequences without a label": 30}
    by_sequence = {}
    for path, label, person in zip(whole.paths, whole.labels.tolist(), whole.persons, strict=True):
        assert path.parts[-3] == person
        by_sequence.setdefault(path.parent, []).append((int(path.stem[-8:]), label))
    for folder, frames in by_sequence.items():
        person, sequence = int(folder.parts[-2][1:]), int(folder.name) - 1
        label, length = (person + 3 * sequence) % 7 + 1, 4 + (person + sequence) % 3
        assert frames == [(1, 0), (length - 2, label), (length - 1, label), (length, label)]
    assert len(by_sequence) == 60
    assert whole[0][0].size == (6, 4)


def test_frames_and_contempt(tmp_path):
    write_sequences(tmp_path)
    peak = CKPlus(tmp_path, "all", frames="peak")
    assert peak.classes == CLASSES[1:]
    assert len(peak) == 180
    seven = CKPlus(tmp_path, "all", contempt=False)
    assert seven.classes == [name for name in CLASSES if name != "contempt"]
    eight = CKPlus(tmp_path, "all")
    named = [(path, eight.classes[label]) for path, label in zip(eight.paths, eight.labels, strict=True)]
    assert [(path, seven.classes[label]) for path, label in zip(seven.paths, seven.labels, strict=True)] == [
        (path, name) for path, name in named if name != "contempt"
    ]
    assert seven.left_out["contempt"] == len(eight) - len(seven) > 0


@pytest.mark.parametrize("write", [write_sequences, write_48])
def test_no_person_stands_in_two_splits(tmp_path, write):
    write(tmp_path)
    whole = CKPlus(tmp_path, "all")
    for seed in range(3):
        parts = {split: CKPlus(tmp_path, split, seed=seed) for split in ("train", "val", "test")}
        persons = [set(part.persons) for part in parts.values()]
        assert sum(map(len, persons)) == len(set().union(*persons)) == 30
        assert sorted(path for part in parts.values() for path in part.paths) == sorted(whole.paths)
        assert len(parts["train"]) == pytest.approx(0.8 * len(whole), rel=0.1)
        for part in parts.values():
            assert set(part.labels) == set(whole.labels)
            assert all(path.name.startswith(person) for path, person in zip(part.paths, part.persons, strict=True))
    again = CKPlus(tmp_path, "test", seed=2)
    assert again.paths == parts["test"].paths != CKPlus(tmp_path, "test", seed=1).paths
    assert open_dataset("ckplus", tmp_path, "test", seed=2).paths == again.paths


def test_ten_folds(tmp_path):
    write_sequences(tmp_path)
    tests = []
    for fold in range(10):
        parts = [CKPlus(tmp_path, split, fold=fold) for split in ("train", "val", "test")]
        assert not set(parts[0].persons) & set(parts[1].persons)
        assert sum(map(len, parts)) == 240
        tests.append(set(parts[2].persons))
    assert CKPlus(tmp_path, "val", fold=9).paths == CKPlus(tmp_path, "test", fold=0).paths
    assert sum(map(len, tests)) == len(set().union(*tests)) == 30
    with pytest.raises(ValueError, match=r"fold must lie in 0 .. 9, got 10"):
        CKPlus(tmp_path, fold=10)


def test_folders_of_48(tmp_path):
    write_48(tmp_path / "CK+48")
    whole = CKPlus(tmp_path, "all")
    assert whole.classes == CLASSES[1:]
    assert len(whole) == 180
    for path, label in zip(whole.paths, whole.labels, strict=True):
        assert path.parent.name[:3] == whole.classes[label][:3]
    with pytest.warns(UserWarning, match=r"CK\+48: images: 180 found, published 981"):
        CKPlus(tmp_path, "all")
    bad = tmp_path / "CK+48" / "fear" / "face.png"
    write_image(bad)
    with pytest.raises(ValueError, match=r"fear/face\.png must be named like S010_004_00000017\.png"):
        CKPlus(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("   8.0000000e+00\n", "line 1: label must be a whole number in 0 .. 7, got '8.0"),
        ("   1.5000000e+00\n", "line 1: label must be a whole number"),
        ("\nnan", "line 2: label must be a whole number"),
        ("happy\r\n", "line 1: label must be a number in 0 .. 7, got 'happy'"),
        ("1\n2\n", "must hold one number, got 2 lines"),
        ("", "must hold one number, got 0 lines"),
    ],
)
def test_malformed_labels(tmp_path, text, message):
    write_sequences(tmp_path, 5)
    path = next((tmp_path / "Emotion" / "S002" / "001").iterdir())
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        CKPlus(tmp_path)
    assert str(path) in str(caught.value)


def test_missing_things_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no CK\+ in"):
        CKPlus(tmp_path)
    write_sequences(tmp_path, 12)
    twice = tmp_path / "Emotion" / "S004" / "002" / "S004_002_00000001_emotion.txt"
    twice.write_text("1")
    with pytest.raises(ValueError, match=r"S004/002 must hold one label, got S004_002_00000001_emotion\.txt and"):
        CKPlus(tmp_path)
    twice.unlink()
    folder = tmp_path / "cohn-kanade-images" / "S002" / "001"
    images = sorted(folder.glob("*.png"))
    for image in images[1:4]:
        image.unlink()
    with pytest.raises(ValueError, match="S002/001 must have at least 4 images, got 3"):
        CKPlus(tmp_path)
    images[-1].unlink()
    with pytest.raises(FileNotFoundError, match=rf"S002/001 has a label for the image {images[-1].stem}"):
        CKPlus(tmp_path)
    folder.rename(tmp_path / "away")
    with pytest.raises(FileNotFoundError, match=r"labels for 24 sequences, 1 of them missing, the first: .*S002/001"):
        CKPlus(tmp_path)
    (tmp_path / "Emotion").rename(tmp_path / "labels")
    with pytest.raises(FileNotFoundError, match="no folder Emotion beside it"):
        CKPlus(tmp_path)


def test_arguments(tmp_path):
    write_sequences(tmp_path, 5)
    with pytest.raises(ValueError, match="frames must be one of paper, peak, got 'last'"):
        CKPlus(tmp_path, frames="last")
    with pytest.raises(ValueError, match="split must be one of train, val, test, all"):
        CKPlus(tmp_path, "valid")
    with pytest.raises(ValueError, match=r"must be positive and sum to less than 1, got 0.5 and 0.5"):
        CKPlus(tmp_path, val_fraction=0.5, test_fraction=0.5)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 8), st.integers(0, 3)), min_size=3, max_size=60),
    st.sampled_from([(0.8, 0.1, 0.1), (0.5, 0.5), (0.25,) * 4]),
    st.integers(0, 3),
)
def test_laws_of_splits_by_group(items, fractions, seed):
    groups, labels = (np.array(column) for column in zip(*items, strict=True))
    if len(set(groups.tolist())) < len(fractions):
        with pytest.raises(ValueError, match="parts need as many"):
            split_groups(labels, groups, fractions, seed=seed)
        return
    parts = split_groups(labels, groups, fractions, seed=seed)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(items)))
    assert all(len(part) for part in parts)
    owners = [set(groups[part].tolist()) for part in parts]
    assert sum(map(len, owners)) == len(set().union(*owners))
    again = split_groups(labels, groups, fractions, seed=seed)
    assert all(np.array_equal(one, other) for one, other in zip(parts, again, strict=True))


def test_a_split_by_group_keeps_proportions_and_warns_of_a_class_too_rare():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(200), 5)
    labels = rng.choice(4, 1000, p=(0.5, 0.3, 0.15, 0.05))
    for share, part in zip((0.8, 0.1, 0.1), split_groups(labels, groups, (0.8, 0.1, 0.1), seed=1), strict=True):
        assert np.bincount(labels[part], minlength=4) == pytest.approx(share * np.bincount(labels), abs=6)
    with pytest.warns(UserWarning, match="part 2 of 2 has no fear"):
        split_groups(np.array([0, 0, 1]), [0, 1, 2], (0.5, 0.5), classes=("anger", "fear"))


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12))
def test_joined_groups_are_the_connected_ones(names):
    one, other = zip(*names, strict=True)
    reach = np.array([[a[0] == b[0] or a[1] == b[1] for b in names] for a in names])
    for _ in names:
        reach = (reach.astype(int) @ reach.astype(int)) > 0
    group = joined(one, other)
    assert np.array_equal(group[:, None] == group[None, :], reach)
