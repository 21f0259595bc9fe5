"""Images that a list leaves out: those and no others, and no list of another data set."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pasm_aug.core.errors import UserError
from pasm_aug.data.folder import ExpressionFolder
from pasm_aug.data.left_out import without_listed
from pasm_aug.data.origin import origin
from pasm_aug.data.registry import open_dataset
from pasm_aug.data.synthetic.dataset import SyntheticExpressions

FACES = SyntheticExpressions("train").limited(70)


def listed(path, rows, head="split,index"):
    path.write_text("\n".join([head, *rows]) + "\n")
    return path


@given(gone=st.sets(st.integers(0, 69), max_size=20))
def test_exactly_the_listed_images_go(tmp_path_factory, gone):
    gone = {index for index in gone if index % 7}  # a class keeps an image
    file = listed(tmp_path_factory.mktemp("lists") / "out.csv", [f"train,{index}" for index in gone] + ["test,3"])
    kept = without_listed(FACES, file, "train")
    places = [index for index in range(70) if index not in gone]
    assert kept.labels.tolist() == FACES.labels[places].tolist()
    assert origin(kept)[1].tolist() == origin(FACES)[1][places].tolist()


def test_a_list_of_no_image_of_this_split_changes_nothing(tmp_path):
    assert without_listed(FACES, listed(tmp_path / "out.csv", ["test,3"]), "train") is FACES


def test_before_the_limit(tmp_path):
    whole = open_dataset("synthetic")
    file = listed(tmp_path / "out.csv", [f"train,{index}" for index in range(0, 1400, 3)])
    limited = open_dataset("synthetic", exclude=file, limit=300)
    assert limited[5][0].tobytes() == whole[int(origin(limited)[1][5])][0].tobytes()
    assert len(limited) == 300
    places = origin(limited)[1]
    assert (places % 3 != 0).all()
    assert limited.labels.tolist() == whole.labels[places].tolist()


@pytest.mark.parametrize(
    ("rows", "head", "message"),
    [
        (["train,70"], "split,index", "line 2: index must be an integer in 0 .. 69, got '70'"),
        (["train,-1"], "split,index", "line 2: index must be"),
        (["train,x"], "split,index", "line 2: index must be"),
        (["train"], "split", "column 'index' is missing"),
        (["train,0,dragon"], "split,index,label", "line 2: label must be '.*' as in the data set, got 'dragon'"),
        ([f"train,{index}" for index in range(70)], "split,index", "lists every image of neutral, anger"),
    ],
)
def test_lists_that_cannot_be(tmp_path, rows, head, message):
    file = listed(tmp_path / "out.csv", rows, head)
    with pytest.raises(UserError, match=message) as caught:
        without_listed(FACES, file, "train")
    assert str(file) in str(caught.value)


def test_no_such_file(tmp_path):
    with pytest.raises(UserError, match=r"exclude must be a CSV file .* got .*none\.csv"):
        without_listed(FACES, tmp_path / "none.csv", "train")


def test_paths_tell_when_images_have_joined(tmp_path):
    for number, (split, name) in enumerate(itertools.product(("train", "val"), ("cat", "dog"))):
        (tmp_path / "data" / split / name).mkdir(parents=True)
        for image in range(1, 4):
            Image.new("L", (8, 8), 10 * image + number).save(tmp_path / "data" / split / name / f"{image}.png")
    whole = ExpressionFolder(tmp_path / "data", "train")
    names = [path.relative_to(tmp_path / "data").as_posix() for path in whole.paths]
    file = listed(tmp_path / "out.csv", [f"train,1,{names[1]}", "train,0,"], "split,index,path")
    assert without_listed(whole, file, "train").dataset is whole
    assert np.array_equal(without_listed(whole, file, "train").indices, range(2, len(whole)))
    Image.new("L", (8, 8), 5).save(tmp_path / "data" / "train" / "cat" / "0.png")
    with pytest.raises(UserError, match=r"path must be that of image 1, .*: the list belongs to another data set"):
        without_listed(ExpressionFolder(tmp_path / "data", "train"), file, "train")


def test_a_listed_path_may_begin_with_a_dot(tmp_path):
    for number, (split, name) in enumerate(itertools.product(("train", "val"), ("cat", "dog"))):
        (tmp_path / ".hidden" / split / name).mkdir(parents=True)
        for image in range(2):
            Image.new("L", (8, 8), 10 * image + number).save(tmp_path / ".hidden" / split / name / f"{image}.png")
    whole = ExpressionFolder(tmp_path / ".hidden", "train")
    for path in (".hidden/train/cat/0.png", "./.hidden/train/cat/0.png"):
        file = listed(tmp_path / "out.csv", [f"train,0,{path}"], "split,index,path")
        assert len(without_listed(whole, file, "train")) == 3
    with pytest.raises(UserError, match="path must be that of image 0"):
        without_listed(whole, listed(file, ["train,0,hidden/train/cat/0.png"], "split,index,path"), "train")
