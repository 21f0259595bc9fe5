import io

import numpy as np
import PIL.Image
import pytest

from pasm_aug.report.charts import HEAVY, Mosaic
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


def test_accuracy_shows_only_what_was_scored():
    one = RoundResult("teacher", 0, "", None, True, RIGHT, WRONG, None)
    two = RoundResult("point", 1, "", 0, True, RIGHT, RIGHT, RIGHT)
    assert (
        opened(accuracy_figure({"point": [one, two]}, "val")).shape
        == opened(accuracy_figure({"point": [two]}, "test")).shape
    )


@pytest.mark.filterwarnings("error")
def test_curves_leave_gaps_for_what_a_round_does_not_tell():
    rows = [{"loss": 1.0, "val_accuracy": float("nan")}, {"loss": 0.5, "val_accuracy": 0.4}]
    arms = {"point": [rows, [{"loss": 0.3}]], "none": [rows]}
    for column in ("loss", "val_accuracy", "erased_share"):
        assert opened(curves_figure(arms, column, column)).min() < 100


def test_the_first_teacher_that_all_arms_share_is_drawn_once(monkeypatch):
    monkeypatch.setattr("pasm_aug.report.figures.png", lambda figure: figure.axes[0].lines)
    first, rows = [{"loss": 1.0}, {"loss": 0.5}], [{"loss": 0.3}]
    teacher, *arms = curves_figure({"point": [first, rows], "none": [first, rows]}, "loss", "loss")
    assert (teacher.get_label(), list(teacher.get_xdata()), list(teacher.get_ydata())) == (
        "first teacher",
        [1, 2],
        [1.0, 0.5],
    )
    assert [list(line.get_xdata()) for line in arms] == [[3, 3], [3, 3]]
    alone = curves_figure({"point": [first, rows]}, "loss", "loss")
    assert [list(line.get_xdata()) for line in alone] == [[1, 2, 2, 3, 3]]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("distance", [0, 7])
def test_movement_is_drawn_however_far_the_points_moved(distance):
    start = np.random.default_rng(0).integers(0, 30, (50, 2))
    m = Movement(1, 2, start, start + distance, np.full(50, 3.0))
    for image in (distance_figure([m]), arrow_figure(m, np.zeros((40, 40)))):
        assert opened(image).std() > 10
    few = Movement(1, 2, start[:2], start[:2] + distance, np.full(2, 3.0))
    assert opened(arrow_figure(few, np.zeros((40, 40)))).std() > 10


def test_confidence_has_a_pair_of_boxes_for_each_round():
    clean, point = np.linspace(0.5, 1, 20), np.linspace(0, 0.5, 20)
    assert opened(confidence_figure({1: (clean, point), 3: (clean, point)})).std() > 10
    assert opened(confidence_figure({1: (clean[:1], point[:1])})).std() > 10


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
