"""What the tests of several commands share."""

import tempfile

import pytest


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """A current folder and a folder for temporary files, both of which must be empty again."""
    for name in ("here", "temporary"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    yield tmp_path / "here"
    assert [file for name in ("here", "temporary") for file in (tmp_path / name).iterdir()] == []
