import errno
import os

import pytest

from pasm_aug.core.files import read_json, write_atomic, write_csv, write_json


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


def test_what_cannot_be_written_is_named_and_not_its_temporary_neighbour(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError) as missing:
        write_atomic(tmp_path / "none" / "a", b"")
    assert missing.value.filename == str(tmp_path / "none" / "a")

    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device") as no_space:
        write_atomic(tmp_path / "a", b"much")
    assert (no_space.value.errno, no_space.value.filename) == (errno.ENOSPC, str(tmp_path / "a"))
    assert os.listdir(tmp_path) == []


def test_rows_may_have_columns_that_others_lack(tmp_path):
    write_csv(tmp_path / "a.csv", [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "clean": 7, "loss": 0.25}])
    assert (tmp_path / "a.csv").read_text() == "epoch,loss,clean\n1,0.5,\n2,0.25,7\n"
