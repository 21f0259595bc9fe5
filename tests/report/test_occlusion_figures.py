import io

import numpy as np
import PIL.Image
import pytest

from pasm_aug.core.errors import UserError
from pasm_aug.report.occlusion_figures import class_occlusion_figure, occlusion_figure
from pasm_aug.training.occluders import squares_of
from pasm_aug.training.occlusion_metrics import OcclusionMetrics, square_scores

RED, BLUE = (103, 0, 31), (5, 48, 97)  # the ends of matplotlib's RdBu


def made(
    *, clean=1.0, under=0.2, sizes=(7, 13, 19), fills=("black", "mean"), places=6, size=(48, 48), classes=7, **more
):
    """Scores of 140 images: a share ``clean`` is right whole, a share ``under`` with any square."""
    rng, labels = np.random.default_rng(0), np.arange(140) % classes
    squares = squares_of(sizes, fills, places, height=size[0], width=size[1])
    right = [rng.permuted(np.arange(140)[:, None] < 140 * under + 0 * np.ones(s.places), axis=0) for s in squares]
    complete = more.get("complete", True)
    return OcclusionMetrics(
        clean=clean, clean_right=rng.permutation(140) < 140 * clean, labels=labels, bands={}, size=size,
        classes=classes, forwards=0,
        squares=tuple(
            square_scores(square, table, labels, classes, complete=complete)
            for square, table in zip(squares, right, strict=True)
        ),
    )  # fmt: skip


def opened(data):
    with PIL.Image.open(io.BytesIO(data)) as image:
        assert image.format == "PNG"
        assert image.width <= 700  # a phone shows it legibly
        assert image.height < 2200
        return np.asarray(image.convert("RGB")).astype(int)


def share(image, colour):
    return (np.abs(image - np.array(colour)).max(-1) < 12).mean()


def names(count):
    return [f"class {number}" for number in range(count)]


def test_a_place_that_costs_is_red_and_one_that_helps_blue():
    worse, better = made(clean=1.0, under=0.2), made(clean=0.2, under=1.0)
    bar = 0.001  # of the image: its ends have the scale's ends, whatever the maps show
    for figure in (occlusion_figure, class_occlusion_figure):
        assert share(opened(figure(worse, names(7))), RED) > 5 * bar
        assert share(opened(figure(worse, names(7))), BLUE) < bar
        assert share(opened(figure(better, names(7))), BLUE) > 5 * bar
        assert share(opened(figure(better, names(7))), RED) < bar


def test_no_cost_is_pale():
    even = opened(occlusion_figure(made(clean=0.5, under=0.5), names(7)))
    assert max(share(even, RED), share(even, BLUE)) < 0.001


@pytest.mark.parametrize(
    "options",
    [
        {"sizes": (7,), "fills": ("black",)},
        {"sizes": (3, 5, 7, 9, 11), "fills": ("black", "grey", "white", "mean", "random")},
        {"places": 1},
        {"places": 30, "size": (64, 224), "classes": 2},
        {"size": (224, 96), "classes": 40, "sizes": (96,)},
    ],
)
def test_any_sizes_fills_places_images_and_classes_can_be_drawn(options):
    scores = made(**options)
    for figure in (occlusion_figure, class_occlusion_figure):
        assert opened(figure(scores, names(scores.classes))).std() > 5


def test_the_worst_case_alone_has_curves_and_no_maps():
    alone = made(complete=False)
    image = opened(occlusion_figure(alone, names(7)))
    assert share(image, RED) == 0
    assert image.shape[0] < opened(occlusion_figure(made(), names(7))).shape[0]
    with pytest.raises(UserError, match="worst_only=True"):
        class_occlusion_figure(alone, names(7))


def test_a_class_without_images_has_no_map():
    known = made(classes=3)
    more = OcclusionMetrics(**(vars(known) | {"classes": 5}))
    assert more.clean_per_class[3:] == [None, None]
    drawn = [opened(class_occlusion_figure(scores, names(scores.classes))) for scores in (known, more)]
    assert np.array_equal(*drawn)
