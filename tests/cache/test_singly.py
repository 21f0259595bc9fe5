"""A cache sample by sample: iteration, indices, a pandas table, and what it says of itself."""

import builtins
import pickle

import numpy as np
import pytest

from pasm_aug.cache.merge import write_cache
from pasm_aug.cache.position_cache import PositionCache
from pasm_aug.cache.record import MinedPoint, row_dtype
from pasm_aug.core.errors import UserError


def made(path, *, points=1, channels=3, samples=5):
    """Samples of which the last was not mined; sample i is labelled i % 3 and lies at (10 i, 10 i + rank)."""
    mined = max(samples - 1, 0)
    rows = np.zeros(mined, row_dtype(points, channels))
    rows["key"], rows["label"], rows["mined"] = np.arange(mined) + 100, np.arange(mined) % 3, True
    rows["xy"][..., 0] = 10 * np.arange(mined)[:, None]
    rows["xy"][..., 1] = 10 * np.arange(mined)[:, None] + np.arange(points)
    rows["colour"] = np.arange(channels)
    rows["p_clean"], rows["p_point"] = 0.75, 0.25 + np.arange(points) / 8
    rows["queries"] = 4
    about = {"fingerprint": {}, "dataset": {"digest": 1, "classes": ["a", "b", "c"]}}
    write_cache(path, rows, np.arange(samples) + 100, np.arange(samples) % 3, about)
    return PositionCache.open(path)


def test_iteration_yields_each_sample_in_its_order(tmp_path):
    cache = made(tmp_path / "c", points=2)
    records = list(cache)
    assert records[2] == MinedPoint(2, (20, 20), (0, 1, 2), 0.75, 0.25)
    assert records[4] == MinedPoint(4) == (4, None, None, None, None)
    assert [one.index for one in records] == list(range(5))
    assert all(type(number) is int for number in (*records[0].xy, *records[0].colour, records[0].index))
    assert list(PositionCache.open(tmp_path / "c")) == records


def test_iteration_in_several_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr("pasm_aug.cache.position_cache._AT_ONCE", 2)
    assert [one.index for one in made(tmp_path / "c")] == [0, 1, 2, 3, 4]
    assert [one.xy for one in made(tmp_path / "c")] == [(0, 0), (10, 10), (20, 20), (30, 30), None]


@pytest.mark.parametrize("index", [0, 3, -5, -2, np.int64(1), np.uint8(4)])
def test_an_index_gives_the_record_of_the_iteration(tmp_path, index):
    cache = made(tmp_path / "c")
    assert cache[index] == list(cache)[index]


@pytest.mark.parametrize("index", [5, -6, 10**9])
def test_an_index_outside_is_told(tmp_path, index):
    with pytest.raises(IndexError, match=rf"index must lie in -5 \.\. 4, got {index}"):
        made(tmp_path / "c")[index]


@pytest.mark.parametrize("index", ["1", 1.0, slice(2), None])
def test_what_is_no_integer_is_no_index(tmp_path, index):
    with pytest.raises(TypeError):
        made(tmp_path / "c")[index]


def test_a_cache_without_a_point(tmp_path):
    cache = made(tmp_path / "c", samples=1)
    assert list(cache) == [MinedPoint(0)]
    assert list(made(tmp_path / "e", samples=0)) == []
    with pytest.raises(IndexError):
        made(tmp_path / "e", samples=0)[0]


@pytest.mark.parametrize("channels", [1, 3])
def test_the_table_holds_what_lookup_finds(tmp_path, channels):
    pandas = pytest.importorskip("pandas")
    cache = made(tmp_path / "c", points=2, channels=channels)
    table = cache.to_pandas()
    colours = ["grey"] if channels == 1 else ["red", "green", "blue"]
    assert list(table) == ["index", "rank", "label", "x", "y", *colours, "p_clean", "p_point"]
    assert len(table) == 10
    mined = table[table["x"].notna()]
    found = cache.lookup(indices=range(4))
    assert np.array_equal(mined[["x", "y"]].to_numpy(int).reshape(4, 2, 2), found.xy)
    assert np.array_equal(mined[colours].to_numpy(int).reshape(4, 2, channels), found.colour)
    assert np.array_equal(mined["p_point"].to_numpy().reshape(4, 2), found.p_point)
    assert mined["label"].tolist() == [0, 0, 1, 1, 2, 2, 0, 0]
    missing = table[table["index"] == 4]
    assert missing.drop(columns=["index", "rank"]).isna().all(axis=None)
    assert pandas.api.types.is_integer_dtype(table["x"].dtype)
    assert table.groupby("label")["p_point"].mean().tolist() == pytest.approx([0.3125] * 3)
    assert len(made(tmp_path / "empty", samples=1).to_pandas()) == 1


def test_without_pandas_the_package_is_named(tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "pandas":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    cache = made(tmp_path / "c")
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match="needs the package pandas: pip install pandas"):
        cache.to_pandas()


def test_what_it_says_of_itself(tmp_path):
    cache = made(tmp_path / "c", points=2)
    said = f"PositionCache('{tmp_path / 'c'}': 5 samples, 1 not mined, 2 points each, mean p(label) 0.750 → 0.250)"
    assert repr(cache) == said
    assert repr(cache.lookup(indices=range(5))) == "Points(5 samples, 4 hits, 2 each)"
    assert repr(made(tmp_path / "e", samples=1)) == f"PositionCache('{tmp_path / 'e'}': 1 samples, 1 not mined)"
    copy = pickle.loads(pickle.dumps(cache))
    (tmp_path / "c").unlink()
    assert repr(copy) == f"PositionCache('{tmp_path / 'c'}')"  # it is not opened to be printed


def test_the_summary_tells_how_many_answers_changed(tmp_path):
    assert made(tmp_path / "c").summary().endswith("0.750 → 0.250\nthe answer changes for 100% of the images")
    assert "answer" not in made(tmp_path / "e", samples=1).summary()
