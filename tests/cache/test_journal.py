"""Journals: what was acknowledged survives a kill; damage is told from an interrupted write."""

import os
import random
import subprocess
import sys
import time

import numpy as np
import pytest

from pasm_aug.cache.format import CacheError
from pasm_aug.cache.journal import Journal, journal_paths, read_journal
from pasm_aug.cache.position_cache import PositionCache
from pasm_aug.cache.record import row_dtype

MARK = {"teacher": "abc", "search": {"mode": "seeded"}}


def make_rows(start, count):
    """Rows whose content follows from their number, so that a reader can tell whether they are whole."""
    rows = np.zeros(count, row_dtype(2, 3))
    rows["key"] = np.arange(start, start + count)
    rows["mined"] = True
    rows["xy"] = (rows["key"] % 48)[:, None, None]
    rows["p_point"] = rows["key"][:, None] / 7
    return rows


@pytest.fixture
def journal_path(tmp_path):
    path = tmp_path / "c.journal-0"
    with Journal(path, MARK, 2, 3) as journal:
        for start in (0, 5, 10):
            journal.append(make_rows(start, 5))
    return path


def test_append_read_continue(journal_path):
    with Journal(journal_path, MARK, 2, 3) as journal:
        np.testing.assert_array_equal(journal.rows, make_rows(0, 15))
        journal.append(make_rows(15, 1))
        journal.append(make_rows(0, 0))
    np.testing.assert_array_equal(read_journal(journal_path, MARK), make_rows(0, 16))
    assert row_dtype(1, 3).itemsize == 8 + 4 + 1 + 8 + 4 + 3 + 4 + 4 + 4 + 4


def test_every_torn_tail_is_cut(journal_path):
    whole = journal_path.read_bytes()
    record = 16 + 5 * row_dtype(2, 3).itemsize
    for cut in range(1, record + 1):
        journal_path.write_bytes(whole[:-cut])
        np.testing.assert_array_equal(read_journal(journal_path, MARK), make_rows(0, 10))
    with Journal(journal_path, MARK, 2, 3) as journal:
        journal.append(make_rows(10, 5))
    assert journal_path.read_bytes() == whole
    for tail in (b"\0" * 5000, os.urandom(300)):
        journal_path.write_bytes(whole + tail)
        with Journal(journal_path, MARK, 2, 3) as journal:
            assert len(journal.rows) == 15
        assert journal_path.read_bytes() == whole


def test_every_flip_before_the_last_record_is_refused(journal_path):
    whole = journal_path.read_bytes()
    last = len(whole) - 16 - 5 * row_dtype(2, 3).itemsize
    for position in range(last):
        bad = bytearray(whole)
        bad[position] ^= 1 << (position % 8)
        journal_path.write_bytes(bad)
        with pytest.raises(CacheError, match="journal-0"):
            read_journal(journal_path, MARK)
    for position in range(last, len(whole)):
        bad = bytearray(whole)
        bad[position] ^= 1 << (position % 8)
        journal_path.write_bytes(bad)
        np.testing.assert_array_equal(read_journal(journal_path, MARK), make_rows(0, 10))


def test_stale_and_foreign_journals_are_refused(journal_path, tmp_path):
    with pytest.raises(CacheError, match=r'fingerprint\.teacher: "abc" in the file, "xyz" wanted'):
        Journal(journal_path, {**MARK, "teacher": "xyz"}, 2, 3)
    with pytest.raises(CacheError, match="points: 2 in the file, 1 wanted"):
        Journal(journal_path, MARK, 1, 3)
    with pytest.raises(CacheError, match=r"search\.mode"):
        read_journal(journal_path, {**MARK, "search": {"mode": "paper"}})
    assert len(read_journal(journal_path)) == 15
    for content in (b"", b"key,x,y\n1,2,3\n", journal_path.read_bytes()[:20]):
        (tmp_path / "foreign").write_bytes(content)
        with pytest.raises(CacheError, match="foreign"):
            Journal(tmp_path / "foreign", MARK, 2, 3)
        assert (tmp_path / "foreign").read_bytes() == content
    with Journal(journal_path, MARK, 2, 3) as journal, pytest.raises(TypeError, match="dtype"):
        journal.append(np.zeros(2, row_dtype(1, 3)))


def test_a_failed_append_leaves_nothing_behind(journal_path, monkeypatch):
    whole = journal_path.read_bytes()
    with Journal(journal_path, MARK, 2, 3) as journal:
        with monkeypatch.context() as patch:
            patch.setattr("pasm_aug.cache.journal._fdatasync", lambda fd: (_ for _ in ()).throw(OSError("disk full")))
            with pytest.raises(OSError, match="disk full"):
                journal.append(make_rows(15, 5))
        assert journal_path.read_bytes() == whole
        journal.append(make_rows(15, 5))
    np.testing.assert_array_equal(read_journal(journal_path, MARK), make_rows(0, 20))


def test_journal_paths_in_order_of_rank(tmp_path):
    for name in ("c[1].journal-10", "c[1].journal-2", "c[1].journal-x", ".c[1].journal-0.7.tmp", "c1.journal-0"):
        (tmp_path / name).touch()
    assert [os.path.basename(p) for p in journal_paths(tmp_path / "c[1]")] == ["c[1].journal-2", "c[1].journal-10"]


WRITER = """
import sys
from pathlib import Path
from pasm_aug.cache import write_cache
from pasm_aug.cache.journal import Journal, read_journal
sys.path.insert(0, sys.argv[2])
from tests.cache.test_journal import MARK, make_rows
path = Path(sys.argv[1])
with Journal(f"{path}.journal-0", MARK, 2, 3) as journal:
    done = len(journal.rows)
    print("acknowledged", done, flush=True)
    while True:
        count = 1 + done % 40
        journal.append(make_rows(done, count))
        done += count
        print("acknowledged", done, flush=True)
        if done % 3 == 0:
            rows = read_journal(f"{path}.journal-0", MARK)
            write_cache(path, rows, rows["key"], rows["label"], {"fingerprint": MARK})
"""


def test_kill_9_in_a_loop_loses_nothing_acknowledged(tmp_path):
    path, acknowledged, merges = tmp_path / "c", 0, 0
    rng = random.Random(0)
    for _ in range(12):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, path, os.path.dirname(__file__)], stdout=subprocess.PIPE, text=True
        )
        try:
            lines = [writer.stdout.readline() for _ in range(rng.randint(2, 12))]
            time.sleep(rng.uniform(0, 0.02))
        finally:
            writer.kill()
        lines += writer.stdout.read().splitlines(keepends=True)
        writer.wait()
        acknowledged = max([acknowledged, *(int(line.split()[1]) for line in lines if line.endswith("\n"))])
        rows = read_journal(f"{path}.journal-0", MARK)
        assert len(rows) >= acknowledged
        np.testing.assert_array_equal(rows, make_rows(0, len(rows)))
        if path.exists():
            merges += 1
            merged = PositionCache.open(path)
            np.testing.assert_array_equal(merged.to_numpy()["key"], np.arange(len(merged)))
    assert acknowledged > 100
    assert merges > 0
