"""Lists of noisy labels: ours come back as they went, published ones are followed, those of other data refused."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pasm_aug.data.folder import ExpressionFolder
from pasm_aug.data.in_memory import InMemory
from pasm_aug.data.noise_list import read_list, write_list
from pasm_aug.data.noisy_labels import NoisyLabels
from pasm_aug.data.rafdb import CLASSES, RAFDB
from tests.shapes import Shapes

text = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=9)


@given(st.data(), st.integers(2, 6), st.integers(1, 20), st.booleans())
def test_a_list_comes_back_as_it_went(data, count, length, named):
    label = st.integers(0, count - 1)
    truth, labels = (np.array(data.draw(st.lists(label, min_size=length, max_size=length))) for _ in range(2))
    classes = data.draw(st.lists(text, min_size=count, max_size=count, unique=True)) if named else []
    names = data.draw(st.lists(text, min_size=length, max_size=length))
    with tempfile.TemporaryDirectory() as folder:
        write_list(Path(folder) / "noise.csv", truth, labels, classes, names)
        assert read_list(Path(folder) / "noise.csv", truth, classes, names, count).tolist() == labels.tolist()


def folder_of_shapes(root, count=30):
    data = Shapes(count)
    for index, (image, label) in enumerate(data):
        folder = root / "train" / data.classes[label]
        folder.mkdir(parents=True, exist_ok=True)
        image.save(folder / f"{index // 3}.png")  # the same names in every class
    return ExpressionFolder(root)


def test_a_data_sets_own_list(tmp_path):
    dataset = folder_of_shapes(tmp_path / "data")
    noisy = NoisyLabels(dataset, 0.5, seed=4)
    noisy.write_csv(tmp_path / "noise.csv")
    head, *rows = (tmp_path / "noise.csv").read_text().splitlines()
    assert head == "index,name,true,label,true_class,label_class"
    given = int(noisy.labels[0])
    assert rows[0] == f"0,cross/0.png,0,{given},cross,{dataset.classes[given]}"
    assert len(rows) == len(dataset)
    for data in (dataset, InMemory(dataset, progress=False)):
        again = NoisyLabels(data, file=tmp_path / "noise.csv")
        assert np.array_equal(again.labels, noisy.labels)
        assert np.array_equal(again.flipped, noisy.flipped)
        again.write_csv(tmp_path / "again.csv")
        assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "noise.csv").read_bytes()
    moved = folder_of_shapes(tmp_path / "elsewhere")  # the same data in another place
    assert np.array_equal(NoisyLabels(moved, file=tmp_path / "noise.csv").labels, noisy.labels)


LINES = ["index,name,true,label,true_class,label_class", "0,a.png,0,1,cat,dog", "1,b.png,1,1,dog,dog"]


@pytest.mark.parametrize(
    ("line", "new", "message"),
    [
        (1, "0,a.png,1,1,dog,dog", "line 2: true must be 0 as in the data set, got '1': the list belongs to another"),
        (1, "0,a.png,0,1,cow,dog", "line 2: true_class must be 'cat' as in the data set, got 'cow'"),
        (1, "0,a.png,0,1,cat,cow", "line 2: label_class must be 'dog'"),
        (1, "0,c.png,0,1,cat,dog", "line 2: name must be 'a.png'"),
        (1, "0,a.png,,1,cat,dog", "line 2: true must be 0 as in the data set, got ''"),
        (1, "0,a.png,0,2,cat,dog", r"line 2: label must be an integer in 0 .. 1, got '2'"),
        (1, "1,a.png,0,1,cat,dog", "line 2: index must be 0, got 1"),
        (1, "0,a.png,0", "line 2: expected 6 columns"),
        (2, "", "lists 1 images, but the data set has 2: it belongs to another one"),
        (2, "1,b.png,1,1,dog,dog\n2,c.png,0,0,cat,cat", "line 4: the list goes on, but the data set has 2 images"),
        (0, "index,name,true,given,true_class,label_class", "line 1: column 'label' is missing"),
    ],
)
def test_a_list_of_other_data_is_refused_by_line(tmp_path, line, new, message):
    file = tmp_path / "noise.csv"
    file.write_text("\n".join([*LINES[:line], new, *LINES[line + 1 :], ""]))
    with pytest.raises(ValueError, match=message) as error:
        read_list(file, np.array([0, 1]), ["cat", "dog"], ["a.png", "b.png"], 2)
    assert str(file) in str(error.value)


def test_columns_for_people_may_be_left_out(tmp_path):
    (tmp_path / "noise.csv").write_text("\ufeffindex;true;label\r\n0;0;1\r\n1;1;1\r\n", encoding="utf-8")
    assert read_list(tmp_path / "noise.csv", np.array([0, 1]), ["cat", "dog"], ["", ""], 2).tolist() == [1, 1]
    with pytest.raises(FileNotFoundError, match=r"none\.csv"):
        read_list(tmp_path / "none.csv", np.array([0, 1]), [], ["", ""], 2)


@pytest.fixture
def rafdb(tmp_path):
    """Forty images as RAF-DB comes; of label 1 … 7 in turn."""
    root = tmp_path / "rafdb"
    (root / "Image" / "aligned").mkdir(parents=True)
    lines = []
    for split, count in (("train", 40), ("test", 7)):
        for number in range(1, count + 1):
            Image.new("RGB", (10, 10), (number, len(split), 0)).save(
                root / "Image" / "aligned" / f"{split}_{number:05}_aligned.jpg"
            )
            lines.append(f"{split}_{number:05}.jpg {(number - 1) % 7 + 1}")
    (root / "EmoLabel").mkdir()
    (root / "EmoLabel" / "list_patition_label.txt").write_text("\n".join(lines))
    return root


@pytest.mark.filterwarnings("ignore:RAF-DB:UserWarning")
@pytest.mark.parametrize("ending", [".jpg", "_aligned.jpg"])
@pytest.mark.parametrize("with_test", [False, True])
def test_published_lists_of_rafdb(rafdb, ending, with_test):
    """As EAC's (training images alone) and ReSup's (test images too), some of whose labels are moved by one here."""
    train = RAFDB(rafdb)
    moved = {number for number in range(1, 41) if number % 3 == 0}
    lines = [f"train_{n:05}{ending} {(n - 1 + (n in moved)) % 7 + 1}" for n in range(1, 41)]
    lines += [f"test_{n:05}{ending} 1" for n in range(1, 8)] if with_test else []
    file = rafdb / "noise03.txt"
    file.write_text("\r\n".join([*lines, ""]))
    numbers = np.array([int(path.name.split("_")[1]) for path in train.paths])
    wanted = (numbers - 1 + np.isin(numbers, list(moved))) % 7
    for dataset in (train, train.limited(20), InMemory(train.limited(20), progress=False)):
        noisy = NoisyLabels(dataset, file=file)
        own = getattr(getattr(dataset, "source", dataset), "indices", np.arange(len(train)))
        assert noisy.labels.tolist() == wanted[own].tolist()
        assert noisy.flipped.tolist() == np.isin(numbers[own], list(moved)).tolist()


@pytest.mark.filterwarnings("ignore:RAF-DB:UserWarning")
@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["train_00001.jpg 5"], "does not list 3[0-9] of the 3[0-9] images, the first 'train_0000"),
        (["train_00001.jpg 5", "train_00002.jpg"], r"line 2: expected 'train_00001.jpg 5' \(file, label\), got"),
        (["train_00001.jpg 8"], "line 1: label must be an integer in 1 .. 7, got '8'"),
        (["train_00001.jpg 5", "train_00001_aligned.jpg 5"], "'train_00001' stands already in line 1"),
    ],
)
def test_a_list_that_does_not_fit_is_refused_by_name(rafdb, lines, message):
    (rafdb / "noise.txt").write_text("\n".join(lines))
    with pytest.raises(ValueError, match=message):
        NoisyLabels(RAFDB(rafdb), file=rafdb / "noise.txt")


def test_rafdbs_classes_meet_by_name(tmp_path):
    file = tmp_path / "noise.txt"
    file.write_text("train_00001_aligned.jpg 4\ntrain_00002_aligned.jpg 7\n")
    names = ["happiness/train_00001_aligned.jpg", "neutral/train_00002_aligned.jpg"]
    classes = ["neutral", *sorted(set(CLASSES) - {"neutral"})]
    found = read_list(file, np.array([0, 1]), classes, names, 7)
    assert [classes[label] for label in found] == ["happiness", "neutral"]
    with pytest.raises(ValueError, match=r"holds RAF-DB's labels, but surprise, .* none of the classes of the data"):
        read_list(file, np.array([0, 1]), ["cat", "dog"], names, 2)
    with pytest.raises(ValueError, match="lists images by their names, which the data set does not know"):
        read_list(file, np.array([0, 1]), classes, ["", ""], 7)
