"""The chain of surrogates: what it plans, what it keeps, what it costs, and that nothing but the image decides."""

from dataclasses import fields, replace
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from pasm_aug.search.candidates import corner_colours
from pasm_aug.search.incremental.network import Incremental
from pasm_aug.search.incremental.windows import Maps
from pasm_aug.search.point_search import PointSearch
from pasm_aug.search.result import PointResult
from pasm_aug.search.surrogate import Chain, plan
from pasm_aug.search.teacher import TeacherObjective
from tests.search.incremental.test_graph import conv, network, settle
from tests.search.incremental.test_network import grey, ready
from tests.small_teachers import random_images, scaled

CASES = [
    ("small", (48, 48)), ("small", (20, 31)), ("pre-activation", (24, 18)), ("sequential", (12, 12)),
    ("branches", (17, 23)), ("pools", (33, 33)), ("resnet18, 3×3 stem", (32, 32)), ("vgg11", (32, 32)),
]  # fmt: skip
READY: dict[tuple[object, ...], Incremental] = {}


def prepared(name: str, size: tuple[int, int], channels: int) -> Incremental:
    key = (name, size, channels)
    if key not in READY:
        found = ready(network(name, torch.float32), grey if channels == 1 else scaled, (channels, *size))
        assert found is not None
        READY[key] = found
    return READY[key]


def spent(chain: Chain, found: Incremental) -> float:
    return 3 + chain.forwards + chain.exact * found.share


cases = st.tuples(st.sampled_from(CASES), st.sampled_from([1, 3]))


@settings(max_examples=60, deadline=None)
@given(cases, st.floats(4, 600), st.none() | st.integers(1, 200), st.integers(1, 12))
def test_a_plan_goes_deeper_with_fewer(
    case: tuple[tuple[str, tuple[int, int]], int], budget: float, exact: int | None, points: int
) -> None:
    (name, size), channels = case
    found, shape = prepared(name, size, channels), (channels, *size)
    exact = None if exact is None else max(exact, points)
    chain = plan(found, shape, budget, exact, points)
    order = [layer.name for layer in found.influence.network.layers]
    depth = [order.index(link) for link in chain.links]
    cost = [found.influence.cost[link] for link in chain.links]
    assert depth == sorted(set(depth))
    assert cost == sorted(set(cost))
    assert cost[-1] < found.share
    assert chain.counts[0] >= size[0] * size[1] * (2**channels - 1)
    assert len(chain.counts) == len(chain.links)
    assert list(chain.counts) == sorted(chain.counts, reverse=True)
    assert points <= chain.exact <= chain.counts[-1]
    assert exact is None or chain.exact == min(exact, size[0] * size[1] * (2**channels - 1))
    assert chain.forwards == pytest.approx(sum(n * c for n, c in zip(chain.counts, cost, strict=True)))
    assert chain == plan(found, shape, budget, exact, points)


@settings(max_examples=60, deadline=None)
@given(cases, st.floats(4, 600))
def test_a_plan_spends_its_budget(case: tuple[tuple[str, tuple[int, int]], int], budget: float) -> None:
    (name, size), channels = case
    found = prepared(name, size, channels)
    chain = plan(found, (channels, *size), budget)
    everything = size[0] * size[1] * (2**channels - 1)
    first = chain.counts[0] * found.influence.cost[chain.links[0]]
    if first <= 0.25 * (budget - 3):  # else scoring all candidates once, as cheaply as can be, is too dear
        assert spent(chain, found) <= budget + 1
        if max(*chain.counts[1:], chain.exact, 0) < everything:
            assert spent(chain, found) >= budget - 1
    else:
        assert spent(chain, found) <= budget + first + 1


@settings(max_examples=20, deadline=None)
@given(
    st.sampled_from(["sequential", "pre-activation", "branches"]), st.sampled_from([1, 3]), st.integers(1, 60),
    st.integers(1, 9), st.integers(1, 3), st.integers(0, 9),
)  # fmt: skip
def test_what_is_asked_exactly_are_different_changes_in_enough_places(
    name: str, channels: int, exact: int, points: int, distance: int, seed: int
) -> None:
    height, width = 9, 12
    preprocess = grey if channels == 1 else scaled
    images = random_images(3, (height, width), channels, seed)
    images[1] = 255 * (images[1] > 127)  # all of its pixels lie in corners already
    images[2] = 0
    exact = max(exact, points)
    search = PointSearch(candidates=exact, points=points, min_distance=distance)
    queried: list[tuple[int, ...]] = []

    def evaluate(self: TeacherObjective, *given: object) -> object:
        index, xy, colour = (np.asarray(part) for part in given[2:5])
        queried.extend(map(tuple, np.concatenate([index[:, None], xy, colour], axis=1).tolist()))
        return honest(self, *given)

    honest = TeacherObjective.evaluate
    with patch.object(TeacherObjective, "evaluate", evaluate):
        found = search.run(network(name, torch.float32), images, [0, 1, 2], preprocess=preprocess)
    assert len(set(queried)) == len(queried) == 3 * exact
    for image, x, y, *colour in queried:
        assert 0 <= x < width
        assert 0 <= y < height
        assert set(colour) <= {0, 255}
        assert images[image, :, y, x].tolist() != colour
    for image in range(3):
        assert len({place[1:3] for place in queried if place[0] == image}) >= points
        assert len({tuple(place) for place in found.xy[image].tolist()}) == points


class Halfway(nn.Module):
    """Rectifies once; behind that all is linear."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.front = nn.Sequential(conv(channels, 6), nn.BatchNorm2d(6), nn.ReLU())
        self.back = nn.Sequential(
            conv(6, 8, stride=2),
            nn.AvgPool2d(3, 1, 1),
            conv(8, 8),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(32, 4),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.back(self.front(x))


def logit(logits: Tensor, target: Tensor) -> Tensor:
    return logits.gather(1, target[:, None])[:, 0]


@pytest.mark.parametrize("channels", [1, 3])
def test_one_exact_query_is_enough_where_the_rest_is_linear(channels: int) -> None:
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        model = settle(Halfway(channels))
    images, labels = random_images(4, (11, 14), channels), np.arange(4)
    options = {"objective": logit, "points": 1}
    best = PointSearch("exhaustive", **options).run(model, images, labels, preprocess=scaled)
    found = PointSearch(candidates=1, **options).run(model, images, labels, preprocess=scaled)
    assert (found.queries == 1).all()
    np.testing.assert_allclose(found.score_point, best.score_point, atol=1e-5)
    np.testing.assert_array_equal(found.xy, best.xy)
    np.testing.assert_array_equal(found.colour, best.colour)


@pytest.mark.parametrize("channels", [1, 3])
def test_linear_scores_are_exact_where_the_rest_is_linear(channels: int) -> None:
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        model = settle(Halfway(channels)).double()

    def exact(images: Tensor) -> Tensor:
        return images.double() / 127.5 - 1

    found, images = ready(model, exact, (channels, 8, 9)), random_images(2, (8, 9), channels)
    assert found is not None
    (link,) = [layer.name for layer in found.influence.network.layers if not layer.linear]
    maps = Maps(found.influence, exact(images), None, [link], lambda logits: logits[:, 2])
    place, corners = torch.arange(72), corner_colours(channels)
    xy = torch.stack([place % 9, place // 9], dim=1)
    for corner in corners:
        values = found.values(np.tile(corner, (72, 1)))
        painted = images[1].repeat(72, 1, 1, 1)
        painted[place, :, xy[:, 1], xy[:, 0]] = torch.from_numpy(corner)
        change = model(exact(painted))[:, 2] - model(exact(images[1:]))[:, 2]
        rows = torch.ones(72, dtype=torch.int64)
        torch.testing.assert_close(maps.linear(link, rows, xy, values), change, rtol=1e-9, atol=1e-12)


IMAGES, LABELS = random_images(5, (14, 17)), np.array([0, 1, 2, 3, 0])
SEARCH = PointSearch(points=2, budget=20)


def run(search: PointSearch, images: Tensor = IMAGES, labels: np.ndarray = LABELS, name: str = "small") -> PointResult:
    return search.run(network(name, torch.float32), images, labels, preprocess=scaled)


def same(a: PointResult, b: PointResult, order: object = slice(None)) -> None:
    for field in fields(PointResult):
        x, y = getattr(a, field.name)[order], getattr(b, field.name)
        if x.dtype.kind == "f":
            np.testing.assert_allclose(x, y, atol=1e-5, err_msg=field.name)
        else:
            np.testing.assert_array_equal(x, y, err_msg=field.name)


@pytest.mark.parametrize("name", ["small", "pre-activation", "branches"])
def test_neither_batch_size_nor_order_nor_company_matters(name: str) -> None:
    expected = run(SEARCH, name=name)
    for batch_size in (1, 3):
        same(expected, run(replace(SEARCH, batch_size=batch_size), name=name))
    order = [3, 0, 4, 2, 1]
    same(expected, run(SEARCH, IMAGES[order], LABELS[order], name), order)
    for row in range(5):
        same(expected, run(SEARCH, IMAGES[row : row + 1], LABELS[row : row + 1], name), slice(row, row + 1))


@pytest.mark.parametrize("group", [1, 2, 3])
@pytest.mark.parametrize("mode", ["seeded", "exhaustive"])
def test_how_many_images_are_held_together_does_not_matter(
    group: int, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = IMAGES[:, :, :8, :8]
    expected = run(replace(SEARCH, mode=mode), images)
    monkeypatch.setattr(Incremental, "images_at_once", lambda _: group)
    same(expected, run(replace(SEARCH, mode=mode), images))


@pytest.mark.parametrize("at_once", [1, 7, 4096])
def test_how_many_candidates_are_scored_together_does_not_matter(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    images, labels = IMAGES[:2, :, :9, :8], LABELS[:2]
    expected = run(SEARCH, images, labels)
    monkeypatch.setattr(Incremental, "at_once", lambda *_: at_once)
    same(expected, run(SEARCH, images, labels))


def test_threads_do_not_matter() -> None:
    before, found = torch.get_num_threads(), []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            found.append(run(SEARCH))
    finally:
        torch.set_num_threads(before)
    same(*found)


@pytest.mark.parametrize(("name", "channels"), [("small", 1), ("small", 3), ("pre-activation", 3), ("branches", 1)])
@pytest.mark.parametrize(("budget", "candidates", "points"), [(12, None, 1), (40, None, 3), (40, 25, 2)])
def test_forwards_are_counted(name: str, channels: int, budget: float, candidates: int | None, points: int) -> None:
    """Clean forward and backward, the chain, and for each exact query its share of a forward."""
    images = random_images(3, (20, 31), channels)
    found, preprocess = prepared(name, (20, 31), channels), grey if channels == 1 else scaled
    chain = plan(found, images.shape[1:], budget, candidates, points)
    search = PointSearch(budget=budget, candidates=candidates, points=points)
    result = search.run(network(name, torch.float32), images, [0, 1, 2], preprocess=preprocess)
    assert (result.queries == chain.exact).all()
    np.testing.assert_allclose(result.forwards, spent(chain, found))
    exhaustive = PointSearch("exhaustive").run(network(name, torch.float32), images[:1], [0], preprocess=preprocess)
    np.testing.assert_allclose(exhaustive.forwards, 1 + 20 * 31 * 2**channels * found.share)


def test_more_budget_finds_more() -> None:
    images, labels = random_images(6, (20, 24), seed=4), np.arange(6) % 7
    best = run(PointSearch("exhaustive"), images, labels).score_point[:, 0]
    gaps = []
    for budget in (5, 30, 150):
        found = run(PointSearch(budget=budget), images, labels)
        gaps.append(((found.score_point[:, 0] - best) / (found.score_clean - best)).mean())
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[-1] < 0.03
