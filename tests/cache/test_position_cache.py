"""PositionCache: what is written comes back, and nothing else does."""

import json
import os
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pasm_aug.cache.format import CacheError, check_fingerprint
from pasm_aug.cache.merge import write_cache
from pasm_aug.cache.position_cache import PositionCache
from pasm_aug.cache.record import row_dtype

META = {"fingerprint": {"teacher": {"weights": "abc"}, "search": {"mode": "seeded"}}, "dataset": {"digest": 7}}


def make_rows(keys, labels, points=1, channels=3, seed=0):
    rng = np.random.default_rng(seed)
    rows = np.zeros(len(keys), row_dtype(points, channels))
    rows["key"], rows["label"], rows["mined"] = keys, labels, True
    rows["xy"] = rng.integers(0, 48, rows["xy"].shape)
    rows["colour"] = rng.integers(0, 256, rows["colour"].shape)
    rows["p_clean"] = rng.random(len(keys))
    rows["p_point"] = np.sort(rng.random((len(keys), points)), axis=1)
    rows["queries"], rows["forwards"] = 100, 1.5
    return rows


@pytest.fixture
def cache_path(tmp_path):
    """Five samples: keys 10, 20 (labels 0 and 4), 30; sample 3 was never mined."""
    rows = make_rows([10, 20, 20, 30], [1, 0, 4, 2], points=2)
    path = tmp_path / "positions.safetensors"
    write_cache(path, rows, [30, 20, 20, 99, 10], [2, 4, 0, 0, 1], META)
    return path


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_round_trip(tmp_path_factory, data):
    count, points, channels = (
        data.draw(st.integers(0, 30)),
        data.draw(st.integers(1, 3)),
        data.draw(st.sampled_from([1, 3])),
    )
    names = data.draw(
        st.lists(
            st.tuples(st.integers(-(2**63), 2**63 - 1), st.integers(-(2**15), 2**15 - 1)),
            min_size=count,
            max_size=count,
            unique=True,
        )
    )
    keys, labels = np.array([n[0] for n in names], np.int64), np.array([n[1] for n in names], np.int64)
    rows = make_rows(keys, labels, points, channels, seed=count)
    path = tmp_path_factory.mktemp("cache") / "c.safetensors"
    write_cache(path, rows, keys, labels, META)
    cache = PositionCache.open(path)
    assert (len(cache), cache.points, cache.channels) == (count, points, channels)
    for found in (cache.lookup(indices=range(count)), cache.lookup(keys=keys, labels=labels)):
        assert found.hit.shape == (count,)
        assert found.hit.all()
        for name in ("xy", "colour", "p_clean", "p_point"):
            np.testing.assert_array_equal(getattr(found, name), rows[name])
    for name, row in zip(names, rows, strict=True):
        at = cache.find(*name)
        assert cache.point(at, points - 1) == (*row["xy"][-1].tolist(), tuple(row["colour"][-1].tolist()))
    again = cache.to_rows()
    assert again["queries"].sum() == rows["queries"].sum() == cache.metadata["queries"]
    assert again["forwards"].sum() == pytest.approx(rows["forwards"].sum())


def test_same_bytes_for_any_order_and_repetition(tmp_path):
    rows = make_rows([5, -3, 8, 8], [0, 1, 2, 3], points=2)
    orders = [rows, rows[::-1], np.concatenate([rows[2:], rows[:3]])]
    contents = []
    for i, order in enumerate(orders):
        write_cache(tmp_path / f"{i}", order, [8, 5], [3, 0], META)
        contents.append((tmp_path / f"{i}").read_bytes())
    assert len(set(contents)) == 1


def test_strongest_duplicate_wins_in_any_order(tmp_path):
    rows = make_rows([5, 5, 5], [0, 0, 0])
    rows["p_point"] = [[0.2], [0.1], [0.1]]
    chosen = set()
    for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):
        write_cache(tmp_path / "c", rows[order], [5], [0], META)
        cache = PositionCache.open(tmp_path / "c")
        assert cache.to_numpy()["p_point"].tolist() == [[np.float32(0.1)]]
        assert cache.metadata["queries"] == 100
        chosen.add(cache.point(0))
    assert len(chosen) == 1
    assert chosen < {(*row["xy"][0].tolist(), tuple(row["colour"][0].tolist())) for row in rows[1:]}


def test_skipped_rows_are_paid_for_but_not_found(tmp_path):
    rows = make_rows([1, 2], [0, 0])
    rows["mined"] = [True, False]
    write_cache(tmp_path / "c", rows, [1, 2], [0, 0], META)
    cache = PositionCache.open(tmp_path / "c")
    assert cache.lookup(indices=[0, 1]).hit.tolist() == [True, False]
    assert (cache.find(2), cache.unmined, cache.metadata["queries"]) == (-1, 1, 200)


def test_lookup_by_key_label_and_index(cache_path):
    cache = PositionCache.open(cache_path)
    assert cache.lookup(indices=[0, 1, 3]).hit.tolist() == [True, True, False]
    assert cache.lookup(keys=[10, 20, 20, 99], labels=[1, 4, 3, 0]).hit.tolist() == [True, True, False, False]
    assert cache.lookup(keys=[10, 20], indices=[4, 4]).hit.tolist() == [True, False]
    assert cache.lookup(indices=[4, 4], labels=[1, 0]).hit.tolist() == [True, False]
    with pytest.raises(ValueError, match=r"index 5 is outside the 5 samples.*another data set or split"):
        cache.lookup(indices=[0, 5])
    with pytest.raises(ValueError, match="index -1"):
        cache.find_index(-1)
    with pytest.raises(ValueError, match="keys or indices"):
        cache.lookup(labels=[1])
    with pytest.raises(ValueError, match="must be"):
        cache.lookup(keys=[1, 2], labels=[1])


def test_conflicting_duplicates(cache_path):
    cache = PositionCache.open(cache_path)
    assert cache.conflicts == 1
    columns = cache.to_numpy()
    serving = columns["index"][1]  # the lowest sample index with key 20 carries label 4
    assert columns["label"][serving] == 4
    assert cache.find(20) == serving
    np.testing.assert_array_equal(cache.lookup(keys=[20]).xy[0], columns["xy"][serving])
    assert columns["label"][cache.find(20, 0)] == 0
    assert cache.find(20, 3) == -1
    assert "several labels: 1" in cache.summary()


def test_every_flipped_byte_is_refused(cache_path):
    good = cache_path.read_bytes()
    for position in range(len(good)):
        bad = bytearray(good)
        bad[position] ^= 1 << (position % 8)
        cache_path.write_bytes(bad)
        with pytest.raises(CacheError, match="positions"):
            PositionCache.open(cache_path)


def test_every_truncation_is_refused_even_unverified(cache_path):
    good = cache_path.read_bytes()
    for length in range(len(good)):
        cache_path.write_bytes(good[:length])
        with pytest.raises(CacheError, match="positions"):
            PositionCache.open(cache_path, verify=False)
    cache_path.write_bytes(good + b"x")
    with pytest.raises(CacheError, match="damaged"):
        PositionCache.open(cache_path, verify=False)


def test_changed_metadata_is_refused(cache_path):
    cache_path.write_bytes(cache_path.read_bytes().replace(b"seeded", b"paper!"))
    with pytest.raises(CacheError, match="checksum"):
        PositionCache.open(cache_path)
    assert PositionCache.open(cache_path, verify=False).metadata["fingerprint"]["search"]["mode"] == "paper!"


def test_foreign_files_are_refused(tmp_path):
    from safetensors.numpy import save

    foreign = {"a": save({"key": np.zeros(3)}), "b": b"\0" * 100, "c": b"PK\3\4" * 30, "d": b"", "e": pickle.dumps([1])}
    for name, content in foreign.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(CacheError, match=str(tmp_path / name)):
            PositionCache.open(tmp_path / name)
    with pytest.raises(CacheError, match="cannot be read"):
        PositionCache.open(tmp_path / "missing")


def test_fingerprint_names_every_difference():
    old = {"teacher": {"weights": "abc", "probe_logits": [1.0, -2.0]}, "search": {"mode": "seeded", "points": 1}}
    check_fingerprint(old, json.loads(json.dumps(old)), "c")
    check_fingerprint(old, {**old, "teacher": {"weights": "abc", "probe_logits": [1.0005, -2.0]}}, "c")
    new = {"teacher": {"weights": "xyz", "probe_logits": [1.1, -2.0]}, "search": {"mode": "seeded"}, "image": [3, 48]}
    with pytest.raises(CacheError) as caught:
        check_fingerprint(old, new, "some/file")
    for part in (
        "some/file",
        '"abc" in',
        '"xyz" wanted',
        "probe_logits",
        "search.points: 1",
        "image",
        "[3, 48] wanted",
    ):
        assert part in str(caught.value)
    assert "mode" not in str(caught.value)


def test_replaced_file_is_seen_and_a_broken_one_refused(cache_path, tmp_path):
    cache = PositionCache.open(cache_path)
    assert not cache.refresh()
    before = cache.to_numpy()["xy"]
    write_cache(cache_path, make_rows([10], [1]), [10], [1], META)
    np.testing.assert_array_equal(cache.to_numpy()["xy"], before)
    assert cache.refresh()
    assert (len(cache), cache.points) == (1, 1)
    with open(cache_path, "r+b") as handle:
        handle.truncate(50)
    with pytest.raises(CacheError, match=r"truncated|damaged"):
        cache.refresh()
    cache_path.unlink()
    with pytest.raises(CacheError, match="cannot be read"):
        cache.refresh()


def test_pickles_as_its_path_and_reopens_lazily(cache_path):
    content = pickle.dumps(PositionCache.open(cache_path))
    assert len(content) < 400
    copy = pickle.loads(content)
    assert (len(copy), copy.find(10), copy.conflicts) == (5, 0, 1)
    copy = pickle.loads(content)
    cache_path.unlink()
    with pytest.raises(CacheError, match="cannot be read"):
        copy.find(10)


def test_size_on_disk_and_mode(tmp_path):
    rows = make_rows(np.arange(2000), np.zeros(2000))
    umask = os.umask(0o022)
    try:
        write_cache(tmp_path / "c", rows, rows["key"], rows["label"], META)
    finally:
        os.umask(umask)
    assert (tmp_path / "c").stat().st_size <= 32 * 2000
    assert (tmp_path / "c").stat().st_mode & 0o777 == 0o644
    assert os.listdir(tmp_path) == ["c"]


def test_bad_arguments(tmp_path):
    with pytest.raises(ValueError, match="int16, got 0 to 40000"):
        write_cache(tmp_path / "c", make_rows([1, 2], [0, 40000]), [1], [0], META)
    with pytest.raises(ValueError, match="index_labels"):
        write_cache(tmp_path / "c", make_rows([1], [0]), [1, 2], [0], META)
    with pytest.raises(TypeError, match="fields"):
        write_cache(tmp_path / "c", np.zeros(3), [1], [0], META)
    assert not os.listdir(tmp_path)
