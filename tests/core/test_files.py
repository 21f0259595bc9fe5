import os

import pytest

from pasm_aug.core.files import read_json, write_atomic, write_json


def test_write_atomic_replaces_the_whole_file_and_leaves_nothing_else(tmp_path):
    write_atomic(tmp_path / "a", b"first, and longer")
    write_atomic(tmp_path / "a", b"second")
    assert (tmp_path / "a").read_bytes() == b"second"
    assert os.listdir(tmp_path) == ["a"]


def test_a_failed_write_leaves_the_old_file(tmp_path):
    write_atomic(tmp_path / "a", b"old")
    with pytest.raises(TypeError):
        write_atomic(tmp_path / "a", "no bytes")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


def test_json_round_trip_and_damage(tmp_path):
    write_json(tmp_path / "a.json", {"é": [1, 2.5, None]})
    assert read_json(tmp_path / "a.json") == {"é": [1, 2.5, None]}
    for text in ('{"a": 1', "[1]"):
        (tmp_path / "a.json").write_text(text)
        with pytest.raises(ValueError, match=r"a\.json is damaged"):
            read_json(tmp_path / "a.json")
    with pytest.raises(ValueError, match="cannot be read"):
        read_json(tmp_path / "none.json")
