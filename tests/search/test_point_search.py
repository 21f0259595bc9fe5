"""The search as a whole: against brute force, its laws, its policies and its costs."""

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pasm_aug.core.geometry import patch_box
from pasm_aug.core.painting import erase_patch
from pasm_aug.search.point_search import PointSearch
from pasm_aug.search.result import PointResult
from tests.small_teachers import conv_net, random_images, scaled

TEACHER = conv_net()
IMAGES = random_images(5, 10)
LABELS = np.array([0, 1, 2, 3, 0])
SMALL_PAPER = PointSearch("paper", population_size=30, generations=6)
SEARCHES = {
    "seeded": PointSearch("seeded", candidates=20, points=2),
    "evolved": PointSearch("seeded", candidates=12, population_size=16, generations=3, points=2),
    "paper": replace(SMALL_PAPER, points=2),
    "exhaustive": PointSearch("exhaustive", points=2),
}


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """These networks are too small for threads to help."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def run(search: PointSearch, images: Tensor = IMAGES, labels: object = LABELS, teacher: nn.Module = TEACHER, **options):
    options.setdefault("preprocess", scaled)
    return search.run(teacher, images, labels, **options)


def same(a: PointResult, b: PointResult) -> None:
    """Equal winners and costs, and equal scores but for rounding."""
    for field in fields(PointResult):
        x, y = getattr(a, field.name), getattr(b, field.name)
        if x.dtype.kind == "f":
            np.testing.assert_allclose(x, y, atol=1e-6, err_msg=field.name)
        else:
            np.testing.assert_array_equal(x, y, err_msg=field.name)


def rows(result: PointResult, index: slice) -> PointResult:
    return PointResult(**{field.name: getattr(result, field.name)[index] for field in fields(PointResult)})


def brute_force(image: Tensor, label: int, teacher: nn.Module = TEACHER) -> list[tuple[float, int, int, list[int]]]:
    """(probability, y, x, colour) of every position with its best corner colour, best first."""
    channels, height, width = image.shape
    best = {}
    teacher.eval()
    for corner in np.ndindex(*[2] * channels):
        colour = [255 * bit for bit in corner]
        for y in range(height):
            painted = image.repeat(width, 1, 1, 1)
            painted[torch.arange(width), :, y, torch.arange(width)] = torch.tensor(colour, dtype=torch.uint8)
            with torch.no_grad():
                p = teacher(scaled(painted)).double().softmax(1)[:, label].tolist()
            for x in range(width):
                best[y, x] = min(best.get((y, x), (2.0,)), (p[x], y, x, colour))
    return sorted(best.values())


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("incremental", [False, True])
def test_exhaustive_is_brute_force(channels: int, incremental: bool) -> None:
    teacher, images = conv_net(channels), random_images(2, (7, 9), channels)
    found = run(PointSearch("exhaustive", points=4, incremental=incremental), images, [1, 2], teacher)
    for b, label in enumerate([1, 2]):
        expected = brute_force(images[b], label, teacher)[:4]
        np.testing.assert_allclose(found.p_point[b], [row[0] for row in expected], atol=1e-6)
        assert found.xy[b].tolist() == [[x, y] for _, y, x, _ in expected]
        assert found.colour[b].tolist() == [row[3] for row in expected]
    assert (found.queries == 7 * 9 * 2**channels).all()
    whole = 7 * 9 * 2**channels + 1
    assert (found.forwards < 0.4 * whole if incremental else found.forwards == whole).all()


@pytest.mark.parametrize("name", SEARCHES)
def test_reported_probabilities_are_those_of_the_changed_image(name: str) -> None:
    found = run(SEARCHES[name])
    TEACHER.eval()
    for b in range(len(IMAGES)):
        for k in range(2):
            painted = IMAGES[b : b + 1].clone()
            x, y = found.xy[b, k]
            painted[0, :, y, x] = torch.from_numpy(found.colour[b, k])
            with torch.no_grad():
                p = TEACHER(scaled(painted)).softmax(1)[0, LABELS[b]].item()
            assert found.p_point[b, k] == pytest.approx(p, abs=1e-6)
    assert (found.p_point[:, 0] < found.p_clean).all()
    assert (np.diff(found.p_point) >= 0).all()


def test_the_gap_to_exhaustive_closes_with_generations() -> None:
    images, labels = random_images(6, 12, seed=3), np.arange(6) % 4
    clean = run(PointSearch("exhaustive"), images, labels)
    possible = clean.p_clean - clean.p_point[:, 0]
    captured = []
    for generations in (0, 5, 20, 60):
        found = run(PointSearch("paper", population_size=60, generations=generations), images, labels)
        captured.append(((found.p_clean - found.p_point[:, 0]) / possible).mean())
    assert captured == sorted(captured)
    assert captured[0] < 0.9
    assert captured[-1] > 0.97


def test_seeded_comes_near_exhaustive_and_evolution_nearer() -> None:
    images, labels = random_images(8, 12, seed=5), np.arange(8) % 4
    best = run(PointSearch("exhaustive"), images, labels).score_point[:, 0]
    seeded = run(PointSearch(candidates=64), images, labels)
    evolved = run(PointSearch(candidates=64, generations=10), images, labels)
    possible = seeded.score_clean - best
    captured = (seeded.score_clean - seeded.score_point[:, 0]) / possible
    assert captured.mean() > 0.9
    assert (evolved.score_point <= seeded.score_point).all()


@pytest.mark.parametrize("name", SEARCHES)
@pytest.mark.parametrize("batch_size", [3, 50])
def test_batch_size_does_not_matter(name: str, batch_size: int) -> None:
    part = IMAGES[:3, :, :8, :8]
    whole = run(SEARCHES[name], part, LABELS[:3])
    same(whole, run(replace(SEARCHES[name], batch_size=batch_size), part, LABELS[:3]))


@pytest.mark.parametrize("name", SEARCHES)
def test_splitting_the_batch_does_not_matter(name: str) -> None:
    whole = run(SEARCHES[name])
    for part in (slice(0, 2), slice(2, 3), slice(3, 5)):
        same(rows(whole, part), run(SEARCHES[name], IMAGES[part], LABELS[part]))


def test_threads_do_not_matter() -> None:
    threads = torch.get_num_threads()
    try:
        found = []
        for count in (1, 2):
            torch.set_num_threads(count)
            found.append(run(SEARCHES["evolved"]))
    finally:
        torch.set_num_threads(threads)
    same(*found)


SCRIPT = """
import json, sys
from tests.small_teachers import conv_net, random_images, scaled
from pasm_aug.search.point_search import PointSearch
part = slice(*json.loads(sys.argv[1]))
search = PointSearch("paper", population_size=30, generations=6, points=2)
found = search.run(conv_net(), random_images(5, 10)[part], [0, 1, 2, 3, 0][part], preprocess=scaled)
print(json.dumps([found.xy.tolist(), found.colour.tolist(), found.queries.tolist()]))
"""


def test_one_process_or_two_find_the_same() -> None:
    root = str(Path(__file__).parents[2])
    jobs = []
    for part, threads in (((0, 3), "1"), ((3, 5), "2")):
        environment = {**os.environ, "PYTHONPATH": root}
        environment |= {"OMP_NUM_THREADS": threads, "NUMBA_NUM_THREADS": threads}
        command = [sys.executable, "-c", SCRIPT, json.dumps(part)]
        jobs.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment))
    first, second = (json.loads(job.communicate()[0]) for job in jobs)
    found = run(SEARCHES["paper"])
    assert [a + b for a, b in zip(first, second, strict=True)] == [
        found.xy.tolist(),
        found.colour.tolist(),
        found.queries.tolist(),
    ]


def test_streams_follow_seed_and_key() -> None:
    search = replace(SMALL_PAPER, population_size=8, generations=0)
    first = run(search, keys=[1, 2, 3, 4, 5])
    same(first, run(search, keys=[1, 2, 3, 4, 5]))
    assert not np.array_equal(first.xy, run(search, keys=[6, 7, 8, 9, 10]).xy)
    assert not np.array_equal(first.xy, run(replace(search, seed=1), keys=[1, 2, 3, 4, 5]).xy)
    twins = run(search, IMAGES[[0, 0]], [0, 0])  # without keys, the content names the stream
    assert twins.xy[0].tolist() == twins.xy[1].tolist()


@pytest.mark.parametrize(
    ("search", "queries", "backward"),
    [
        (PointSearch("paper", population_size=20, generations=7), 20 * 8, 0),
        (PointSearch(candidates=24), 24, 2),
        (PointSearch(candidates=24, generations=5), 24 * 6, 2),
        (PointSearch(candidates=24, population_size=40, generations=5), 40 * 6, 2),
        (PointSearch(candidates=24, population_size=10, generations=5), 24 + 10 * 5, 2),
        (PointSearch("exhaustive"), 800, 0),
    ],
)
def test_costs_are_exact(search: PointSearch, queries: int, backward: int) -> None:
    seen = []
    teacher = conv_net()
    teacher.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    found = run(replace(search, incremental=False), teacher=teacher)
    assert (found.queries == queries).all()
    assert found.forwards.sum() == sum(seen) + backward * len(IMAGES)
    assert (found.forwards <= 1 + backward + queries).all()


def test_paper_mode_has_the_published_defaults() -> None:
    assert PointSearch("paper").settings() == {
        "mode": "paper",
        "points": 1,
        "objective": "true_prob",
        "misclassified": "mine",
        "min_distance": 1,
        "population_size": 400,
        "generations": 100,
        "mutation": 0.5,
        "strategy": "rand1",
        "seed": 0,
    }


def test_settings_are_json_and_name_what_matters() -> None:
    def objective(logits: Tensor, target: Tensor) -> Tensor:
        return logits[:, 0]

    settings = PointSearch(objective=objective, batch_size=3, device="cpu").settings()
    assert json.loads(json.dumps(settings)) == settings
    assert settings["objective"].endswith("test_settings_are_json_and_name_what_matters.<locals>.objective")
    assert settings == PointSearch(objective=objective, batch_size=4).settings()
    assert settings != PointSearch(objective=objective, candidates=65).settings()


def test_margin_and_callable_objectives() -> None:
    def logit(logits: Tensor, target: Tensor) -> Tensor:
        return logits.gather(1, target[:, None])[:, 0]

    for objective in ("margin", logit):
        best = run(PointSearch("exhaustive", objective=objective))
        near = run(PointSearch(objective=objective))
        assert (near.score_point >= best.score_point - 1e-6).all()
        assert (near.score_point[:, 0] < near.score_clean).all()
        assert ((best.p_point > 0) & (best.p_point < 1)).all()


@pytest.mark.parametrize(("channels", "patch"), [(1, 3), (3, 4), (3, 0.3)])
def test_the_patch_objective_is_brute_force_over_squares(channels: int, patch: float) -> None:
    teacher, images = conv_net(channels), random_images(2, (7, 9), channels)
    found = run(PointSearch("exhaustive", objective="patch", patch=patch), images, [1, 2], teacher)
    side = patch if isinstance(patch, int) else 2
    teacher.eval()
    for b, label in enumerate([1, 2]):
        scores = {}
        for y, x, *corner in np.ndindex(7, 9, *[2] * channels):
            colour = [255 * bit for bit in corner]
            painted = erase_patch(images[b], patch_box(x, y, side, 9, 7), colour)
            with torch.no_grad():
                scores[x, y, *colour] = teacher(scaled(painted[None])).double().softmax(1)[0, label].item()
        best = min(scores.values())
        assert found.p_point[b, 0] == pytest.approx(best, abs=1e-6)
        assert scores[*found.xy[b, 0].tolist(), *found.colour[b, 0].tolist()] == pytest.approx(best, abs=1e-6)


def test_the_patch_objective_finds_harder_squares_than_the_pixel_does() -> None:
    images, labels = random_images(6, 12, seed=3), np.arange(6) % 4
    best = run(PointSearch("exhaustive", objective="patch", patch=5), images, labels)
    square = run(PointSearch(objective="patch", patch=5, budget=40), images, labels)
    pixel = run(PointSearch("exhaustive"), images, labels)
    under = [erase_patch(i, patch_box(*xy, 5, 12, 12), c) for i, (xy,), (c,) in zip(
        images, pixel.xy.tolist(), pixel.colour.tolist(), strict=True
    )]  # fmt: skip
    pixel_score = run(PointSearch("exhaustive"), torch.stack(under), labels).score_clean
    drop = best.score_clean - best.score_point[:, 0]
    assert (square.forwards == 40).all()
    assert ((square.score_clean - square.score_point[:, 0]) / drop).mean() > 0.9
    assert ((pixel.score_clean - pixel_score) / drop).mean() < 0.7
    assert PointSearch(objective="patch", patch=5).settings()["patch"] == 5


def split_by_correctness() -> tuple[Tensor, np.ndarray, np.ndarray]:
    """Images with labels of which some are wrong on purpose, and the teacher's predictions."""
    TEACHER.eval()
    with torch.no_grad():
        predicted = TEACHER(scaled(IMAGES)).argmax(1).numpy()
    labels = predicted.copy()
    labels[[1, 3]] = (labels[[1, 3]] + 1) % 4
    return IMAGES, labels, predicted


@pytest.mark.parametrize("mode", ["seeded", "exhaustive"])
def test_misclassified_images(mode: str) -> None:
    images, labels, predicted = split_by_correctness()
    mine, predict, skip = (
        run(PointSearch(mode, misclassified=policy), images, labels) for policy in ("mine", "predicted", "skip")
    )
    assert mine.target.tolist() == labels.tolist()
    assert predict.target.tolist() == predicted.tolist()
    same(predict, run(PointSearch(mode, objective="predicted_prob"), images, labels))
    same(predict, run(PointSearch(mode), images, predicted))
    right = [0, 2, 4]
    assert np.flatnonzero(skip.mined).tolist() == right
    assert mine.mined.all()
    assert predict.mined.all()
    for b in right:
        same(rows(skip, slice(b, b + 1)), rows(mine, slice(b, b + 1)))
    assert (skip.xy[[1, 3]] == -1).all()
    assert np.isnan(skip.p_point[[1, 3]]).all()
    assert (skip.queries[[1, 3]] == 0).all()
    assert (skip.forwards[[1, 3]] == (3 if mode == "seeded" else 1)).all()


@pytest.mark.parametrize("mode", ["seeded", "paper", "exhaustive"])
def test_saturated_images_are_not_flat(mode: str) -> None:
    images, labels, _ = split_by_correctness()
    labels = labels[[0, 2, 4]]
    calm, loud = conv_net(), conv_net()
    TEACHER.eval()
    with torch.no_grad():
        gap = TEACHER(scaled(images[[0, 2, 4]])).topk(2).values.diff().abs().min().item()
        for parameter in loud[-1].parameters():
            parameter *= 60 / gap
    search = PointSearch(mode) if mode != "paper" else SMALL_PAPER
    # with the margin, scaling the logits changes nothing but the scale: the calm network's winner is the prediction
    search = replace(search, objective="margin")
    expected = run(search, images[[0, 2, 4]], labels, calm)
    found = run(search, images[[0, 2, 4]], labels, loud)
    assert (found.p_clean == 1).all()
    np.testing.assert_array_equal(found.xy, expected.xy)
    by_probability = run(replace(search, objective="true_prob"), images[[0, 2, 4]], labels, loud)
    assert (by_probability.score_point[:, 0] < by_probability.score_clean).all()
    np.testing.assert_array_equal(by_probability.xy, expected.xy)


@pytest.mark.parametrize("name", ["seeded", "evolved", "paper", "exhaustive"])
@pytest.mark.parametrize(("points", "distance"), [(5, 1), (5, 2), (12, 4), (100, 1)])
def test_several_places(name: str, points: int, distance: int) -> None:
    search = replace(SEARCHES[name], points=points, min_distance=distance, candidates=max(points, 20))
    found = run(search, IMAGES[:2], LABELS[:2])
    assert found.xy.shape == (2, points, 2)
    assert found.colour.shape == (2, points, 3)
    for xy, p in zip(found.xy, found.p_point, strict=True):
        assert len({tuple(place) for place in xy.tolist()}) == points
        assert (np.diff(p) >= 0).all()
        assert ((xy >= 0) & (xy < 10)).all()
        if distance == 2:
            apart = np.abs(xy[:, None] - xy[None]).max(axis=2)
            assert apart[np.triu_indices(points, 1)].min() >= distance
    best = run(replace(search, points=1), IMAGES[:2], LABELS[:2])
    if name == "exhaustive":
        assert found.xy[:, :1].tolist() == best.xy.tolist()


def test_tiny_images() -> None:
    for channels in (1, 3):
        teacher, image = conv_net(channels), torch.zeros(1, channels, 1, 2, dtype=torch.uint8)
        for name, search in SEARCHES.items():
            found = run(search, image, [0], teacher)
            assert sorted(found.xy[0, :, 0].tolist()) == [0, 1], name
            assert (found.xy[..., 1] == 0).all()


def test_unchanged_pixels_are_no_candidates() -> None:
    white = torch.full((1, 1, 6, 6), 255, dtype=torch.uint8)
    found = run(PointSearch(candidates=36), white, [0], conv_net(1))
    assert (found.colour == 0).all()
    assert found.queries.tolist() == [36]


class NoGradient(nn.Module):
    def __init__(self, first: bool) -> None:
        super().__init__()
        self.body, self.first = conv_net(), first

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x.detach()) if self.first else self.body(x).detach()


def blurred(images: Tensor) -> Tensor:
    return scaled(nn.functional.avg_pool2d(images.float(), 3, 1, 1))


@pytest.mark.parametrize(
    ("teacher", "preprocess", "reason", "forwards"),
    [
        (NoGradient(True), scaled, "no gradient", 1),
        (NoGradient(False), scaled, "no gradient", 1),
        (TEACHER, blurred, "pixels one by one", 3),
    ],
)
def test_without_a_usable_gradient_plain_evolution_steps_in(
    teacher: nn.Module, preprocess: object, reason: str, forwards: int
) -> None:
    with pytest.warns(RuntimeWarning, match=reason) as warned:
        found = run(PointSearch(candidates=64), teacher=teacher, preprocess=preprocess)
    assert len(warned) == 1
    assert (found.queries == 64).all()
    assert (found.forwards <= 64 + forwards).all()
    expected = run(PointSearch("paper", population_size=8, generations=7), teacher=teacher, preprocess=preprocess)
    np.testing.assert_array_equal(found.xy, expected.xy)


def test_only_images_without_a_gradient_fall_back() -> None:
    class Dead(nn.Module):
        """Constant where the first pixel is black."""

        def __init__(self) -> None:
            super().__init__()
            self.body = conv_net()

        def forward(self, x: Tensor) -> Tensor:
            return self.body(x) * (x[:, :1, 0, 0] > -1)

    images = IMAGES.clone()
    images[:, :, 0, 0] = 200
    images[2, :, 0, 0] = 0
    with pytest.warns(RuntimeWarning, match="zero or not finite on some images"):
        found = run(PointSearch(candidates=30), images, teacher=Dead())
    alive = [0, 1, 3, 4]
    same(
        rows(found, slice(0, 2)),
        run(PointSearch(candidates=30), images[:2], LABELS[:2], Dead()),
    )
    assert (found.p_point[alive, 0] < found.p_clean[alive]).all()
    assert found.mined.all()
    assert (found.queries == 30).all()


def test_teacher_is_left_as_it_was() -> None:
    teacher = conv_net()
    teacher[1].eval()
    teacher[0].weight.requires_grad_(False)
    flags = [module.training for module in teacher.modules()]
    grads = [parameter.requires_grad for parameter in teacher.parameters()]
    state = {name: tensor.clone() for name, tensor in teacher.state_dict().items()}
    random_state = torch.get_rng_state()
    images = IMAGES.clone()
    for search in SEARCHES.values():
        run(search, images, teacher=teacher)
    assert [module.training for module in teacher.modules()] == flags
    assert [parameter.requires_grad for parameter in teacher.parameters()] == grads
    assert all(torch.equal(tensor, state[name]) for name, tensor in teacher.state_dict().items())
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert torch.equal(torch.get_rng_state(), random_state)
    assert torch.equal(images, IMAGES)


def test_arrays_and_tensors_are_taken_alike() -> None:
    search = SEARCHES["seeded"]
    expected = run(search)
    array = IMAGES.numpy().copy()
    array.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        same(expected, run(search, array, LABELS.tolist()))
    same(expected, run(search, IMAGES, torch.from_numpy(LABELS)))


def test_no_images_give_no_points() -> None:
    found = run(PointSearch(points=3), IMAGES[:0], [])
    assert found.xy.shape == (0, 3, 2)
    assert found.colour.shape == (0, 3, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "fast"}, "mode must be one of .* got 'fast'"),
        ({"misclassified": "drop"}, "misclassified must be one of .* got 'drop'"),
        ({"objective": "loss"}, "objective must be one of .* got 'loss'"),
        ({"strategy": "rand2"}, "strategy must be .* got 'rand2'"),
        ({"points": 0}, "points must be at least 1, got 0"),
        ({"population_size": 3}, "population_size must be at least 4, got 3"),
        ({"generations": -1}, "generations must be at least 0, got -1"),
        ({"mutation": 0}, "mutation must lie in .* got 0"),
        ({"candidates": 3, "points": 4}, "candidates must be at least points, got 3 for 4 points"),
        ({"seed": 2**64}, "64 bits"),
        ({"budget": 3}, "budget must be at least 4, got 3"),
        ({"patch": 0}, "patch must be .* got 0"),
        ({"patch": 1.5}, "patch must be .* got 1.5"),
    ],
)
def test_bad_options_are_named(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PointSearch(**options)


def test_bad_input_is_named() -> None:
    search = PointSearch()
    with pytest.raises(TypeError, match=r"uint8, got torch\.float32"):
        run(search, IMAGES.float())
    with pytest.raises(ValueError, match=r"C = 1 or 3, got \(5, 10, 10\)"):
        run(search, IMAGES[:, 0])
    with pytest.raises(TypeError, match="labels must be integers, got float64"):
        run(search, labels=LABELS + 0.5)
    with pytest.raises(ValueError, match=r"must have shape \(5,\), got \(2,\)"):
        run(search, labels=[0, 1])
    with pytest.raises(ValueError, match=r"0\.\.3, for the teacher has 4 outputs; got 6 for image 4"):
        run(search, labels=[0, 1, 2, 3, 6])
    with pytest.raises(ValueError, match="points must be at most 100 in a 10x10 image, got 101"):
        run(PointSearch(points=101, candidates=200))
    with pytest.raises(ValueError, match="pass preprocess="):
        run(search, preprocess=None)


def test_nan_under_a_change_names_the_image() -> None:
    class Fragile(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = conv_net()

        def forward(self, x: Tensor) -> Tensor:
            broken = (x[:, 0, 0, 0] == 1) & (x[:, 0, 9, 9] == 1)
            return self.body(x).masked_fill(broken[:, None], float("nan"))

    images = IMAGES.clone()
    images[:, 0, 0, 0] = 7
    images[:, 0, 9, 9] = 7
    images[3, 0, 9, 9] = 255
    with pytest.raises(ValueError, match=r"finite logits, got .*nan.* for image 3"):
        run(PointSearch("exhaustive"), images, teacher=Fragile())
