import io

import numpy as np
import PIL.Image
import pytest
from matplotlib.container import ErrorbarContainer
from matplotlib.quiver import Quiver
from scipy.stats import binomtest

from pasm_aug.report.charts import HEAVY, Mosaic, png
from pasm_aug.report.difference import Difference
from pasm_aug.report.figures import accuracy_figure, change_figure, confusion_figure, curves_figure, gains_figure
from pasm_aug.report.maps import arrow_figure, confidence_figure, distance_figure
from pasm_aug.report.movement import Movement
from pasm_aug.rounds.results import RoundResult
from tests.made_runs import scores

LABELS = np.arange(60) % 3
RIGHT, WRONG = scores(LABELS, LABELS, 3), scores(LABELS, (LABELS + 1) % 3, 3)
BLUE, RED, GREY = (5, 48, 97), (103, 0, 31), (226, 232, 240)  # the ends of matplotlib's RdBu; a class without an image


def opened(data):
    with PIL.Image.open(io.BytesIO(data)) as image:
        assert image.width <= 700  # a phone shows it legibly
        return np.asarray(image.convert("RGB")).astype(int)


def share(image, colour):
    """Share of the pixels that are of a colour, give or take."""
    return (np.abs(image - np.array(colour)).max(-1) < 12).mean()


def test_a_change_is_blue_where_it_is_better_on_the_diagonal_and_off_it():
    better = opened(change_figure(WRONG.confusion, RIGHT.confusion, "abc"))
    worse = opened(change_figure(RIGHT.confusion, WRONG.confusion, "abc"))
    assert share(better, BLUE) > 0.1
    assert share(better, RED) == 0
    assert share(worse, RED) > 0.1
    assert share(worse, BLUE) == 0


def test_a_class_without_a_image_is_grey_and_no_change_is_pale():
    matrix = np.diag([5, 0, 5])
    for image in (confusion_figure({"": matrix}, "abc"), change_figure(matrix, matrix, "abc")):
        assert share(opened(image), GREY) > 0.05
    assert share(opened(change_figure(matrix, matrix, "abc")), BLUE) == 0
    assert share(opened(confusion_figure({"": np.eye(3, dtype=int)}, "abc")), GREY) < 0.01


def test_gains_are_blue_and_losses_red_and_of_many_classes_the_greatest_are_shown():
    blue, red = (33, 102, 172), (178, 24, 43)
    up, down = Difference(5.0, 1.0), Difference(-5.0, 1.0)
    assert share(opened(gains_figure("abc", [up, None, up], "")), red) == 0
    assert share(opened(gains_figure("abc", [down, None, down], "")), blue) == 0
    small = [Difference(0.01, 1.0)] * 80
    image = gains_figure([f"class {n}" for n in range(100)], [*small, *[down] * 20], "")
    assert share(opened(image), blue) == 0
    assert opened(image).shape[0] < 1100


@pytest.fixture
def figures(monkeypatch):
    """Charts are handed over as figures, after they have been drawn."""

    def keep(figure):
        assert opened(png(figure)).std() > 1
        return figure

    for name in ("figures.png", "maps.png", "maps.jpeg"):
        monkeypatch.setattr(f"pasm_aug.report.{name}", keep)


def points(container):
    """x, y and the two ends of each bar of an errorbar."""
    line, _, (bars,) = container
    ends = [segment[:, 1].tolist() for segment in bars.get_segments()]
    return list(line.get_xdata()), list(line.get_ydata()), ends


def test_an_interval_of_a_few_images_ends_where_differences_do(figures):
    panel = gains_figure("abc", [Difference(50.0, 80.0), Difference(-90.0, 80.0), Difference(1.0, 2.0)], "").axes[0]
    _, _, (bars,) = next(found for found in panel.containers if isinstance(found, ErrorbarContainer))
    ends = [segment[:, 0].tolist() for segment in bars.get_segments()]
    assert ends == [[-30, 100], [-100, -10], [-1, 3]]


def test_accuracy_shows_what_was_scored_with_its_interval(figures):
    fair = scores(LABELS, np.where(np.arange(60) < 45, LABELS, (LABELS + 1) % 3), 3)
    one = RoundResult("teacher", 0, "", None, True, RIGHT, WRONG, None)
    two = RoundResult("point", 1, "", 0, True, RIGHT, fair, RIGHT)
    three = RoundResult("none", 1, "", 0, True, RIGHT, WRONG, WRONG)
    panel = accuracy_figure({"point": [one, two], "none": [one, three]}, ("val",)).axes[0]
    point, none = (points(container) for container in panel.containers)
    assert point[0] == pytest.approx([-0.03, 0.97])
    assert none[0] == pytest.approx([0.03, 1.03])
    assert (point[1], none[1]) == ([0.0, 0.75], [0.0, 0.0])
    wilson = binomtest(45, 60).proportion_ci(method="wilson")
    assert point[2][1] == pytest.approx([wilson.low, wilson.high], abs=1e-4)
    _, panel = accuracy_figure({"point": [one, two]}, ("val", "test")).axes
    assert points(panel.containers[0])[:2] == ([1.0], [1.0])  # the teacher was not scored on test


@pytest.mark.filterwarnings("error")
def test_curves_leave_gaps_for_what_a_round_does_not_tell(figures):
    rows = [{"loss": 1.0, "val_accuracy": float("nan")}, {"loss": 0.5, "val_accuracy": 0.4}]
    arms = {"point": [rows, [{"loss": 0.3}]]}
    losses, accuracies, shares = curves_figure(arms, {"loss": "", "val_accuracy": "", "erased_share": ""}).axes
    (loss,) = losses.lines
    np.testing.assert_array_equal(loss.get_ydata(), [1.0, 0.5, np.nan, 0.3, np.nan])
    (accuracy,) = accuracies.lines
    np.testing.assert_array_equal(accuracy.get_ydata(), [np.nan, 0.4, np.nan, np.nan, np.nan])
    (unknown,) = shares.lines
    assert np.isnan(unknown.get_ydata()).all()


def test_the_first_teacher_that_all_arms_share_is_drawn_once(monkeypatch):
    monkeypatch.setattr("pasm_aug.report.figures.png", lambda figure: figure.axes[0].lines)
    first, rows = [{"loss": 1.0}, {"loss": 0.5}], [{"loss": 0.3}]
    teacher, *arms = curves_figure({"point": [first, rows], "none": [first, rows]}, {"loss": "loss"})
    assert (teacher.get_label(), list(teacher.get_xdata()), list(teacher.get_ydata())) == (
        "first teacher",
        [1, 2],
        [1.0, 0.5],
    )
    assert [list(line.get_xdata()) for line in arms] == [[3, 3], [3, 3]]
    alone = curves_figure({"point": [first, rows]}, {"loss": "loss"})
    assert [list(line.get_xdata()) for line in alone] == [[1, 2, 2, 3, 3]]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("distance", [0, 7])
def test_movement_is_drawn_however_far_the_points_moved(figures, distance):
    start = np.random.default_rng(0).integers(0, 30, (900, 2))
    m = Movement(1, 2, start, start + np.array([distance, 0]), np.full(900, 3.0))
    moved, chance = distance_figure([m]).axes[0].patches
    values, edges, _ = moved.get_data()
    assert values.sum() == pytest.approx(1)
    assert edges[values.argmax()] <= distance <= edges[values.argmax() + 1]
    values, edges, _ = chance.get_data()
    assert edges[values.argmax()] <= 3 <= edges[values.argmax() + 1]
    arrows = next(c for c in arrow_figure(m, np.zeros((40, 40))).axes[0].collections if isinstance(c, Quiver))
    assert len(arrows.U) > 0
    assert set(arrows.U) == {distance}
    assert set(arrows.V) == {0}
    few = Movement(1, 2, start[:2], start[:2] + distance, np.full(2, 3.0))
    assert not arrow_figure(few, np.zeros((40, 40))).axes[0].collections  # no cell has five points


def test_confidence_has_a_pair_of_boxes_for_each_round(figures):
    clean, point = np.linspace(0.5, 1, 20), np.linspace(0, 0.5, 20)
    for rounds in ({1: (clean, point), 3: (point, clean)}, {1: (clean[:1], point[:1])}):
        panel = confidence_figure(rounds).axes[0]
        medians = [line for line in panel.lines if len(set(line.get_ydata())) == 1 and line.get_color() == "k"]
        found = {(round(float(np.mean(m.get_xdata())), 2), round(float(m.get_ydata()[0]), 6)) for m in medians}
        wanted = {
            (round(number + shift, 2), round(float(np.median(values)), 6))
            for number, pair in rounds.items()
            for shift, values in zip((-0.18, 0.18), pair, strict=True)
        }
        assert wanted <= found
        assert len(panel.patches) == 2 * len(rounds)


@pytest.mark.parametrize("shape", [(40, 40), (20, 40), (40, 10)])
def test_a_mosaic_keeps_the_proportions_of_its_images(shape):
    mosaic = Mosaic(2, 3, left=0.2)
    mosaic.show(1, 2, np.zeros((*shape, 3), np.uint8))
    black = opened(mosaic.jpeg()).max(-1) < 40
    rows, columns = np.flatnonzero(black.any(1)), np.flatnonzero(black.any(0))
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    assert height / width == pytest.approx(shape[0] / shape[1], rel=0.04)
    assert rows[0] > black.shape[0] / 2
    assert columns[0] > black.shape[1] / 2


def test_images_of_noise_stay_light():
    mosaic = Mosaic(5, 4)
    for row, column in np.ndindex(5, 4):
        mosaic.show(row, column, np.random.default_rng(row).integers(0, 256, (150, 150, 3), dtype=np.uint8))
    assert len(mosaic.jpeg()) < 1.5 * HEAVY
