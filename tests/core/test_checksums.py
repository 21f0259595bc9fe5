import hashlib
import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pasm_aug.core.checksums import CHECKSUMS, damaged, resealed


@pytest.fixture
def folder(tmp_path):
    with resealed(tmp_path):
        (tmp_path / "result.json").write_text('{"accuracy": 0.5}\n')
        (tmp_path / "weights").write_bytes(bytes(range(256)))
        (tmp_path / "figures").mkdir()
        (tmp_path / "figures" / "a b.png").write_bytes(b"\x89PNG")
    return tmp_path


def test_the_list_holds_every_file_and_its_sum(folder):
    expected = [
        f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}"
        for name in ("figures/a b.png", "result.json", "weights")
    ]
    assert (folder / CHECKSUMS).read_text().splitlines() == expected
    assert damaged(folder) == []


@pytest.mark.skipif(not shutil.which("sha256sum"), reason="without coreutils")
def test_coreutils_read_the_list(folder):
    check = ["sha256sum", "--check", "--strict", CHECKSUMS]
    assert subprocess.run(check, cwd=folder, capture_output=True).returncode == 0
    (folder / "weights").write_bytes(b"other")
    found = subprocess.run(check, cwd=folder, capture_output=True, text=True)
    assert found.returncode != 0
    assert "weights: FAILED" in found.stdout


def test_every_flipped_byte_is_noticed_by_name(folder):
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        good, name = file.read_bytes(), file.relative_to(folder).as_posix()
        for position in {0, 1, len(good) // 2, *range(len(good))[-70:]}:
            flipped = bytearray(good)
            flipped[position] ^= 4
            file.write_bytes(flipped)
            found = damaged(folder)
            assert found, (name, position)
            assert name == CHECKSUMS or found == [name]  # a flip in the list speaks of the file whose line it is in
        file.write_bytes(good)
    assert damaged(folder) == []


@given(st.integers(0, 400), st.binary(max_size=3))
@settings(max_examples=60, deadline=None)
def test_a_list_that_is_cut_short_or_longer_is_noticed(tmp_path_factory, length, more):
    folder = tmp_path_factory.mktemp("f")
    with resealed(folder):
        (folder / "a").write_text("a")
        (folder / "b").write_text("b")
    good = (folder / CHECKSUMS).read_bytes()
    changed = good[:length] + more
    (folder / CHECKSUMS).write_bytes(changed)
    lines = good.splitlines(keepends=True)
    assert bool(damaged(folder)) == (changed not in (good, lines[0]))


def test_a_missing_file_is_named(folder):
    (folder / "result.json").unlink()
    assert [name.split(" or ")[0] for name in damaged(folder)] == ["result.json"]


def test_a_folder_without_a_list_has_nothing_to_compare(tmp_path):
    (tmp_path / "a").write_text("a")
    assert damaged(tmp_path) == []


def test_an_interrupted_change_leaves_no_list_and_the_next_one_makes_it(folder):
    def interrupted():
        with resealed(folder):
            (folder / "weights").write_bytes(b"new")
            (folder / ".result.json.123.tmp").write_bytes(b"half")  # a writer was killed
            raise KeyError

    with pytest.raises(KeyError):
        interrupted()
    assert not (folder / CHECKSUMS).exists()
    with resealed(folder):
        pass
    assert damaged(folder) == []
    assert b"tmp" not in (folder / CHECKSUMS).read_bytes()
    assert not list(folder.glob(".*"))


def test_rounds_and_other_arms_have_lists_of_their_own(tmp_path):
    for name in ("round-0/result.json", "baselines/none/round-1/result.json", "run.lock", "rounds.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    with resealed(tmp_path):
        pass
    assert [line.split("  ")[1] for line in (tmp_path / CHECKSUMS).read_text().splitlines()] == ["rounds.csv"]


def test_another_process_than_the_first_leaves_the_list_alone(folder):
    before = (folder / CHECKSUMS).read_bytes()
    with resealed(folder, enabled=False):
        (folder / "weights").write_bytes(b"other")
    assert (folder / CHECKSUMS).read_bytes() == before
    assert damaged(folder) == ["weights"]
