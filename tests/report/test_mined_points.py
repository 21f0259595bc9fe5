"""What a file of mined points says of itself, in words, as JSON and in figures."""

import io
import json

import numpy as np
import PIL.Image
import pytest

from pasm_aug.cache.merge import write_cache
from pasm_aug.cache.position_cache import PositionCache
from pasm_aug.cache.rearrange import shuffled_positions
from pasm_aug.cache.record import row_dtype
from pasm_aug.cache.stack import stacked_positions
from pasm_aug.report.mined_figures import point_figures
from pasm_aug.report.mined_points import as_text, describe

SEARCH = {"mode": "seeded", "objective": "true_prob", "points": 1, "candidates": None, "budget": 20.0}
TEACHER = {"weights": "a1b2c3d4e5f6789", "architecture": "0f1e2d3c4b5a", "probe_logits": [0.5] * 4}
CLASSES = ["cat", "dog"]


def made(path, clean, point, labels, *, points=1, channels=3, xy=None, skipped=0, fingerprint=None):
    """A cache of images of 20 × 30 (height × width) with these probabilities and labels."""
    count = len(clean)
    rows = np.zeros(count + skipped, row_dtype(points, channels))
    rows["key"], rows["mined"] = np.arange(count + skipped) + 7, np.arange(count + skipped) < count
    rows["label"][:count], rows["p_clean"][:count] = labels, clean
    rows["p_point"][:count] = np.reshape(point, (count, points))
    rows["xy"] = np.random.default_rng(0).integers(0, 20, rows["xy"].shape) if xy is None else xy
    rows["colour"] = [255] * channels
    rows["queries"], rows["forwards"] = 21, 19.5
    if fingerprint is None:
        fingerprint = {"teacher": TEACHER, "search": SEARCH, "probe_shape": [channels, 20, 30]}
    about = {"fingerprint": fingerprint, "dataset": {"digest": 4711, "length": len(rows), "classes": CLASSES}}
    write_cache(path, rows, rows["key"], rows["label"], about)
    return PositionCache.open(path)


@pytest.fixture
def cache(tmp_path):
    """Two classes: of the cats both answers change, of the dogs none of two; one image was skipped."""
    return made(tmp_path / "c", [0.9, 0.8, 0.7, 0.6], [0.05, 0.35, 0.65, 0.55], [0, 0, 1, 1], skipped=1)


def test_the_numbers(cache):
    found = describe(cache)
    assert (found["samples"], found["rows"], found["not_mined"], found["searched"]) == (5, 4, 1, 5)
    assert (found["queries"], found["forwards"]) == (105, 97.5)
    assert found["data"] == {"digest": 4711, "length": 5, "classes": CLASSES, "image": [3, 20, 30]}
    assert found["teacher"] == {"weights": TEACHER["weights"], "architecture": TEACHER["architecture"], "outputs": 2}
    assert found["search"] == SEARCH
    assert found["p"]["changed"] == [0.5, 0.5]
    assert found["p"]["drop"] == pytest.approx(0.35)
    assert [one["class"] for one in found["classes"]] == CLASSES
    assert [one["drop"] for one in found["classes"]] == pytest.approx([0.65, 0.05])
    assert [one["changed"] for one in found["classes"]] == [[1.0, 1.0], [0.0, 0.0]]
    counts = dict(zip(found["drop"]["edges"], found["drop"]["counts"], strict=False))
    assert {edge: count for edge, count in counts.items() if count} == {0.0: 2, 0.4: 1, 0.8: 1}


def test_json_holds_all_of_it(cache):
    assert json.loads(json.dumps(describe(cache), allow_nan=False)) == describe(cache)


def test_the_words(cache):
    text = as_text(cache, describe(cache))
    assert text.startswith(cache.summary())
    assert "data: 5 images of 2 classes (cat, dog), searched as 3×20×30, digest 4711" in text
    assert "teacher: weights a1b2c3d4e5f6, network 0f1e2d3c4b5a, 2 outputs" in text
    assert "search: mode seeded, objective true_prob, points 1, budget 20.0\n" in text
    assert "cost of an image: 21.0 queries, 19.5 forwards" in text
    rows = [line.split() for line in text.splitlines()]
    assert ["cat", "2", "0.850", "0.200", "0.650", "100%"] in rows
    assert ["dog", "2", "0.650", "0.600", "0.050", "0%"] in rows
    assert ["under", "0.1", "2", "#" * 40] in rows
    assert ["0.8", "…", "0.9", "1", "#" * 20] in rows


def test_points_that_were_moved_stacked_or_searched_anew(cache, tmp_path):
    moved = shuffled_positions(cache, tmp_path / "m", seed=3)
    text = as_text(moved, describe(moved))
    assert "moved: the places are not those that were mined (seed 3, shuffled globally)" in text
    assert "search: mode seeded" in text
    stacked = stacked_positions([cache, cache], tmp_path / "s")
    assert "stacked: the points of 2 caches" in as_text(stacked, describe(stacked))
    anew = {"teacher": TEACHER, "search": SEARCH, "refresh": {"threshold": 0.25, "before": {}}}
    refreshed = made(tmp_path / "r", [0.9], [0.1], [0], fingerprint=anew)
    assert "searched anew where the probability had moved by 0.25 or more" in as_text(refreshed, describe(refreshed))


@pytest.mark.parametrize("count", [0, 3])
def test_a_file_that_says_nothing_of_itself_and_knows_no_probability(tmp_path, count):
    cache = made(tmp_path / "c", np.full(count, np.nan), np.zeros(count), np.zeros(count), fingerprint={})
    found = describe(cache)
    assert found["p"]["images"] == 0
    assert json.dumps(found, allow_nan=False)
    text = as_text(cache, found)
    assert "teacher" not in text
    assert "drop" not in text
    figures = point_figures(cache)
    assert set(figures) == ({"positions.png", "colours.png"} if count else set())


def opened(data):
    with PIL.Image.open(io.BytesIO(data)) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB")).astype(int)


@pytest.mark.parametrize(("points", "channels"), [(1, 1), (3, 3)])
def test_figures(tmp_path, points, channels):
    p = np.linspace(0.2, 0.1, points) * np.ones((6, 1))
    cache = made(tmp_path / "c", [0.9] * 6, p, [0, 1] * 3, points=points, channels=channels)
    figures = point_figures(cache)
    assert list(figures) == ["drop.png", "probabilities.png", "positions.png", "colours.png"]
    for data in figures.values():
        assert opened(data).std() > 5


def test_the_map_is_bright_where_the_points_lie(tmp_path):
    left = made(tmp_path / "l", [0.9] * 5, [0.1] * 5, [0] * 5, xy=(2, 10))
    right = made(tmp_path / "r", [0.9] * 5, [0.1] * 5, [0] * 5, xy=(28, 10))
    places = []
    for cache in (left, right):
        image = opened(point_figures(cache)["positions.png"])[:, :560]  # without the scale's colours
        bright = np.argwhere((np.abs(image - [252, 255, 164]) < 8).all(-1))  # the end of inferno
        places.append(bright[:, 1].mean())
    assert places[0] < 200
    assert places[1] > 350


def test_points_beyond_the_first_images_size_are_on_the_map_too(tmp_path):
    cache = made(tmp_path / "c", [0.9] * 4, [0.1] * 4, [0] * 4, xy=(90, 60))
    assert opened(point_figures(cache)["positions.png"]).std() > 5
