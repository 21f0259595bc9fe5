"""Splits joined: every item once, in the order of the splits, and where it stands."""

import numpy as np
import pytest
from PIL import Image

from pasm_aug.core.errors import UserError
from pasm_aug.data.folder import ExpressionFolder
from pasm_aug.data.joined import JoinedSplits, open_splits
from pasm_aug.data.listed import MissingImages
from pasm_aug.data.synthetic.dataset import SyntheticExpressions


def folders(root, counts):
    """Class folders in split folders; each image has a grey of its own."""
    grey = 0
    for split, count in counts.items():
        for name in ("happy", "zebra"):
            folder = root / split / name
            folder.mkdir(parents=True)
            for index in range(count):
                Image.new("L", (20, 20 + grey % 3), grey).save(folder / f"{index}.png")
                grey += 1
    return root


def test_all_splits_that_there_are(tmp_path):
    root = folders(tmp_path, {"train": 4, "test": 2})  # validation is drawn from training
    joined = open_splits("folder", root, size=16)
    parts = {name: ExpressionFolder(root, name) for name in ("train", "val", "test")}
    assert list(joined.parts) == list(parts)
    assert len(joined) == 12
    for i, (split, index) in enumerate(zip(joined.split_of, joined.index_of, strict=True)):
        assert joined.paths[i] == parts[split].paths[index]
        assert joined.labels[i] == parts[split].labels[index]
        assert joined.image(i).tobytes() == parts[split].image(int(index)).tobytes()
        assert joined[i][0].size == (16, 16)
        assert joined[i][1] == joined.labels[i]
    assert sorted(joined.paths) == sorted(root.rglob("*.png"))


def test_a_missing_test_split_is_none_and_one_that_is_asked_for_is_an_error(tmp_path):
    root = folders(tmp_path, {"train": 3, "val": 2})
    assert set(open_splits("folder", root).split_of) == {"train", "val"}
    assert set(open_splits("folder", root, "val").split_of) == {"val"}
    with pytest.raises(FileNotFoundError, match="none for test"):
        open_splits("folder", root, "test")
    with pytest.raises(FileNotFoundError, match="root must be a folder"):
        open_splits("folder", tmp_path / "nowhere")


def test_images_that_are_missing_are_an_error(tmp_path):
    for index in range(8):
        Image.new("L", (9, 9), index).save(tmp_path / f"{index}.png")
    rows = ["path,label,split", *(f"{index}.png,{'xy'[index % 2]},train" for index in range(8)), "b.png,x,test"]
    (tmp_path / "manifest.csv").write_text("\n".join(rows))
    with pytest.raises(MissingImages, match=r"b\.png"):
        open_splits("manifest", tmp_path)


def test_persons_are_known_where_every_split_knows_them(tmp_path):
    rows = ["path,label,split,person"]
    for index in range(8):
        Image.new("L", (9, 9), index).save(tmp_path / f"{index}.png")
        rows.append(
            f"{index}.png,{'xy'[index % 2]},{'train' if index < 4 else 'test'},{'' if index == 5 else index // 2}"
        )
    (tmp_path / "manifest.csv").write_text("\n".join(rows))
    joined = open_splits("manifest", tmp_path)
    by_path = {path.stem: person for path, person in zip(joined.paths, joined.persons, strict=True)}
    assert by_path == {str(i): "" if i == 5 else str(i // 2) for i in range(8)}


def test_a_limit_leaves_places_in_the_whole():
    joined = open_splits("synthetic", split="all", limit=14)
    assert len(joined) == 42
    assert (joined.paths, joined.persons) == (None, None)
    whole = SyntheticExpressions("val")
    for i in np.flatnonzero(joined.split_of == "val")[:5]:
        assert joined.image(int(i)).tobytes() == whole.image(int(joined.index_of[i])).tobytes()


def test_what_cannot_be_joined(tmp_path):
    with pytest.raises(UserError, match="at least one data set, got none"):
        JoinedSplits({})
    one, other = SyntheticExpressions("train"), ExpressionFolder(folders(tmp_path, {"train": 2, "val": 1}))
    with pytest.raises(UserError, match=r"splits must share their classes .* in val"):
        JoinedSplits({"train": one, "val": other})
