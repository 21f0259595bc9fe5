"""Accuracy under occlusion, against plain loops over images, places and pixels."""

import json
import os
import subprocess
import sys
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import Subset

from pasm_aug.core.errors import UserError
from pasm_aug.training.occluders import BANDS, FILLS, bands_of, hide, squares_of, starts
from pasm_aug.training.occlusion import evaluate_occlusion
from tests.shapes import Shapes, own_net

OPTIONS = {"sizes": (5, 0.45), "fills": ("black", "mean"), "places": 3, "device": "cpu"}


class Coloured:
    """Colour images that are not square, items (array (3, H, W), label); some of them grey."""

    def __init__(self, length=23, height=14, width=19, classes=4, channels=3):
        rng = np.random.default_rng(5)
        self.images = rng.integers(0, 256, (length, channels, height, width), dtype=np.uint8)
        self.images[::4] = self.images[::4, :1]
        self.labels = rng.integers(0, classes, length)
        self.read = 0

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        self.read += 1
        return self.images[index].copy(), int(self.labels[index])


class Pooled(nn.Module):
    """Any size of image; counts the images that it is shown."""

    def __init__(self, channels=3, classes=4, seed=0):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.convolution = nn.Conv2d(channels, 8, 3, 2)
            self.head = nn.Linear(8 * 9, classes)
        self.pool, self.shown = nn.AdaptiveAvgPool2d(3), 0

    def preprocess(self, images):
        assert images.dtype == torch.uint8
        return images.float() / 64 - 2

    def forward(self, x):
        self.shown += len(x)
        return {"logits": 10 * self.head(self.pool(self.convolution(x).relu()).flatten(1))}


def sees(model, image, label):
    logits = model(model.preprocess(torch.from_numpy(image)[None]))
    return int((logits["logits"] if isinstance(logits, dict) else logits).argmax()) == label


def plain(model, data, side, fill, places):
    """(N, rows, columns) bool, one image and one place at a time."""
    images = [np.array(data[i][0]) for i in range(len(data))]
    images = [image if image.ndim == 3 else image[None] for image in images]
    height, width = images[0].shape[1:]
    steps = [sorted({round(i * (n - side) / max(places - 1, 1)) for i in range(places)}) for n in (height, width)]
    right = np.zeros((len(images), *map(len, steps)), bool)
    for number, image in enumerate(images):
        for (row, top), (column, left) in product(*map(enumerate, steps)):
            painted = image.copy()
            for channel in range(len(image)):
                colour = {"black": 0, "grey": 128, "white": 255}.get(fill)
                if fill == "mean":
                    colour = int(np.floor(image[channel].mean() + 0.5))
                painted[channel, top : top + side, left : left + side] = colour
            right[number, row, column] = sees(model, painted, data[number][1])
    return right


@pytest.mark.parametrize("fill", ["black", "grey", "white", "mean"])
@pytest.mark.parametrize("case", ["grey", "coloured"])
def test_it_is_what_plain_loops_find(case, fill):
    model, data = (own_net(3), Shapes(17, seed=4)) if case == "grey" else (Pooled(), Coloured())
    found = evaluate_occlusion(model, data, fills=(fill,), sizes=(5, 0.45), places=3, device="cpu")
    labels = np.array([data[i][1] for i in range(len(data))])
    for scores, side in zip(found.squares, (5, 9 if case == "grey" else 6), strict=True):
        right = plain(model, data, side, fill, 3)
        assert (scores.side, scores.fill, scores.places) == (side, fill, 9)
        assert scores.mean == pytest.approx(right.mean())
        assert scores.worst == pytest.approx(right.all((1, 2)).mean())
        assert np.array_equal(scores.robust, right.all((1, 2)))
        assert np.array_equal(scores.counts, right.sum((1, 2)))
        assert np.allclose(scores.heatmap, right.mean(0))
        for label, heatmap in enumerate(scores.class_heatmaps):
            assert np.allclose(heatmap, right[labels == label].mean(0))
    images = [np.array(data[i][0]).reshape(-1, *found.size) for i in range(len(data))]
    assert np.array_equal(found.clean_right, [sees(model, *pair) for pair in zip(images, labels, strict=True)])
    assert np.array_equal(found.labels, labels)
    assert found.clean == found.clean_right.mean()


def test_bands_are_black_rows():
    model, data = Pooled(), Coloured()
    found = evaluate_occlusion(model, data, sizes=(1,), places=1, device="cpu")
    for name, (low, high) in BANDS.items():
        band, images = found.bands[name], data.images.copy()
        assert (band.top, band.bottom) == (round(14 * low), round(14 * high))
        images[:, :, band.top : band.bottom] = 0
        right = [sees(model, *pair) for pair in zip(images, data.labels.tolist(), strict=True)]
        assert np.array_equal(band.right, right)
        assert band.accuracy == np.mean(right)
    assert not evaluate_occlusion(model, data, sizes=(1,), places=1, bands=False, device="cpu").bands
    for left, top, right, bottom in (box for n in range(1, 60) for box in bands_of(n, 7).values()):
        assert (left, right) == (0, 7)
        assert 0 <= top < bottom


REFERENCE = evaluate_occlusion(Pooled(), Coloured(), **(OPTIONS | {"fills": FILLS, "seed": 3}))


def same(found, wanted):
    assert found.forwards == wanted.forwards
    assert np.array_equal(found.clean_right, wanted.clean_right)
    assert all(np.array_equal(found.bands[name].right, band.right) for name, band in wanted.bands.items())
    for one, other in zip(found.squares, wanted.squares, strict=True):
        assert np.array_equal(one.counts, other.counts)
        assert np.array_equal(one.class_heatmaps, other.class_heatmaps, equal_nan=True)
    assert found.asdict() == wanted.asdict()


@settings(max_examples=12)
@given(batch=st.integers(1, 40), read=st.integers(1, 40))
def test_batches_change_nothing(batch, read):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pasm_aug.training.occlusion._READ", read)
        found = evaluate_occlusion(Pooled(), Coloured(), **(OPTIONS | {"fills": FILLS, "seed": 3}), batch_size=batch)
    same(found, REFERENCE)


def test_workers_change_nothing():
    options = OPTIONS | {"fills": FILLS, "seed": 3}
    same(evaluate_occlusion(Pooled(), Coloured(), **options, workers=1, batch_size=4), REFERENCE)


def test_the_worst_case_alone_is_the_same_for_fewer_forwards():
    model, data = Pooled(), Coloured()
    whole = evaluate_occlusion(model, data, **OPTIONS)
    assert whole.forwards == model.shown == len(data) * (1 + 2 + 4 * 9)
    model.shown = 0
    found = evaluate_occlusion(model, data, **OPTIONS, worst_only=True)
    assert found.forwards == model.shown
    tries = 0
    for one, scores in zip(found.squares, whole.squares, strict=True):
        assert one.worst == scores.worst
        assert np.array_equal(one.robust, scores.robust)
        assert (one.mean, one.counts, one.heatmap, one.class_heatmaps) == (None,) * 4
        square = squares_of([scores.side], [scores.fill], 3, height=14, width=19)[0]
        order = [place for place, _ in square.boxes(centre_first=True)]
        assert order[0] == 4
        right = plain(model, data, scores.side, scores.fill, 3).reshape(len(data), 9)[:, order]
        tries += int(np.where(right.all(1), 9, right.argmin(1) + 1).sum())
    assert found.forwards == len(data) * 3 + tries < whole.forwards


def test_places_are_spread_evenly_from_corner_to_corner():
    (square,) = squares_of([13 / 48], ["black"], 6, height=48, width=60)
    assert square.tops.tolist() == [0, 7, 14, 21, 28, 35]
    assert square.lefts.tolist() == [0, 9, 19, 28, 38, 47]
    boxes = [box for _, box in square.boxes()]
    assert (boxes[0], boxes[1], boxes[-1]) == ((0, 0, 13, 13), (9, 0, 22, 13), (47, 35, 60, 48))
    assert [place for place, _ in square.boxes()] == list(range(36))
    assert sorted(square.boxes(centre_first=True)) == list(square.boxes())
    assert starts(3, 9).tolist() == [0, 1, 2, 3]
    assert starts(0, 5).tolist() == starts(7, 1).tolist() == [0]
    assert squares_of([1.0], ["black"], 4, height=9, width=9)[0].places == 1
    assert [square.side for square in squares_of([7, 7 / 48, 9], ["black"], 4, height=48, width=48)] == [7, 9]


@pytest.mark.parametrize(("stride", "wanted"), [(4, [0, 4, 8, 12, 15]), (5, [0, 5, 10, 15]), (0.2, [0, 4, 8, 12, 15])])
def test_a_stride_goes_from_place_to_place_and_to_the_border(stride, wanted):
    options = {"sizes": (5,), "fills": ("black",), "stride": stride, "device": "cpu"}
    (scores,) = evaluate_occlusion(own_net(), Shapes(4), **options).squares
    assert scores.tops.tolist() == scores.lefts.tolist() == wanted
    assert scores.heatmap.shape == (len(wanted), len(wanted))


@given(st.integers(0, 300), st.integers(1, 20))
def test_places_are_different_and_as_many_as_fit(last, places):
    found = starts(last, places)
    assert len(found) == min(last + 1, places)
    assert found[0] == 0
    assert found[-1] == (last if places > 1 else 0)
    assert len(found) < 2 or np.ptp(np.diff(found)) <= 1


def test_noise_depends_on_seed_sample_and_place_alone():
    images, index = torch.full((4, 3, 9, 9), 50, dtype=torch.uint8), torch.tensor([3, 8, 2**40, 0])
    images[:, 1] = 60
    drawn = hide(images.clone(), index, (1, 2, 6, 7), "random", 5)
    patches = drawn[:, :, 2:7, 1:6]
    assert torch.equal(hide(images[[2, 0]], index[[2, 0]], (1, 2, 6, 7), "random", 5), drawn[[2, 0]])
    assert not torch.equal(patches[0], patches[1])
    for box, seed in (((1, 2, 6, 7), 6), ((2, 2, 7, 7), 5), ((1, 1, 6, 6), 5)):
        left, top, right, bottom = box
        assert not torch.equal(hide(images.clone(), index, box, "random", seed)[..., top:bottom, left:right], patches)
    drawn[:, :, 2:7, 1:6] = images[:, :, 2:7, 1:6]
    assert torch.equal(drawn, images)


def test_noise_is_uniform_and_grey_on_grey_images():
    images = torch.zeros((40, 3, 32, 32), dtype=torch.uint8)
    images[:20, 0, 31] = 1
    drawn = hide(images.clone(), torch.arange(40), (0, 0, 32, 30), "random", 0)[:, :, :30]
    counts = torch.bincount(drawn[:20].flatten(), minlength=256).double()
    assert len(counts) == 256
    assert float(((counts - counts.mean()) ** 2 / counts.mean()).sum()) < 350  # of chi², 255 degrees: once in 20,000
    assert (drawn[20:] == drawn[20:, :1]).all()
    assert (drawn[:20, 0] != drawn[:20, 1]).double().mean() > 0.9
    assert torch.equal(
        hide(images[20:, :1], torch.arange(20, 40), (0, 0, 32, 30), "random", 0)[:, :, :30], drawn[20:, :1]
    )


def test_the_network_is_as_before_and_an_image_is_read_once():
    model, data = Pooled(), Coloured()
    model.head.eval()
    random = torch.random.get_rng_state()
    evaluate_occlusion(model, data, **(OPTIONS | {"fills": FILLS}))
    assert model.training
    assert model.convolution.training
    assert not model.head.training
    assert torch.equal(torch.random.get_rng_state(), random)
    assert data.read == len(data) + 1  # the first one also tells the size
    assert all(weight.grad is None and weight.requires_grad for weight in model.parameters())


def test_painting_comes_before_a_preprocess_of_ones_own():
    data, seen = Coloured(), []

    def preprocess(images):
        seen.append(images.clone())
        return images.float()

    options = {"sizes": (14,), "places": 1, "fills": ("white",), "bands": False, "windows": False, "device": "cpu"}
    evaluate_occlusion(Pooled(), data, preprocess=preprocess, **options)
    assert len(seen) == 2
    assert np.array_equal(seen[0], data.images)
    assert (seen[1][..., :14] == 255).all()
    assert np.array_equal(seen[1][..., 14:], data.images[..., 14:])


def test_a_class_without_images_has_no_map_and_json_no_nan():
    data = Subset(Shapes(30), [i for i in range(30) if i % 3])
    found = evaluate_occlusion(own_net(), data, **OPTIONS)
    assert np.isnan(found.squares[0].class_heatmaps[0]).all()
    assert not np.isnan(found.squares[0].class_heatmaps[1:]).any()
    held = json.loads(json.dumps(found.asdict(), allow_nan=False))
    assert held["squares"][0]["class_heatmaps"][0] == [[None] * 3] * 3
    assert held["clean_per_class"][0] is None
    assert held["count"] == found.count == 20
    assert held["bands"]["eyes"]["accuracy"] == found.bands["eyes"].accuracy
    assert [list(row) for row in found.rows()] == [["side", "share", "fill", "mean", "worst"]] * 4
    assert found.rows()[2] | {"mean": 0, "worst": 0} == {
        "side": 9, "share": 0.45, "fill": "black", "mean": 0, "worst": 0,
    }  # fmt: skip
    worst = evaluate_occlusion(own_net(), data, **OPTIONS, worst_only=True)
    assert json.loads(json.dumps(worst.asdict()))["squares"][0]["heatmap"] is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sizes": ()}, r"sizes must .* 20 pixels, got \[\]"),
        ({"sizes": (5, 21)}, r"at most the image's shorter side, 20 pixels, got \[5, 21\]"),
        ({"sizes": (0,)}, "sizes must be at least 1 pixel, .* got 0"),
        ({"sizes": (1.5,)}, r"share in \(0, 1\], got 1.5"),
        ({"fills": ("black", "pink")}, "fills must be some of black, grey, .* got 'pink'"),
        ({"fills": ()}, "fills must .* got none"),
        ({"sizes": 21}, "sizes must be at most"),
        ({"fills": "pink"}, "got 'pink'"),
        ({"places": 0}, "places must be a whole number of at least 1, got 0"),
        ({"places": 2.5}, "places must .* got 2.5"),
        ({"stride": 0}, "stride must be at least 1 pixel"),
    ],
)
def test_mistakes_are_named(options, message):
    with pytest.raises(UserError, match=message):
        evaluate_occlusion(own_net(), Shapes(4), device="cpu", **options)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (Subset(Shapes(), []), "dataset must not be empty"),
        ([(np.zeros((20, 20), np.uint8), 3)] * 4, r"labels must lie in 0…2"),
        ([(np.zeros((20, 20 + i // 256), np.uint8), 0) for i in range(260)], "one size, got 20×20 and 20×21"),
        ([(np.zeros((20, 20 + i), np.uint8), 0) for i in range(2)], "images of a batch must have one shape"),
    ],
)
def test_data_that_cannot_be_scored_are_named(data, message):
    with pytest.raises(UserError, match=message):
        evaluate_occlusion(own_net(), data, sizes=(20,), places=1, device="cpu")


def test_a_bar_is_shown_on_a_terminal_if_asked_for(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    for worst_only in (False, True):
        evaluate_occlusion(own_net(), Shapes(4), **OPTIONS, worst_only=worst_only)
        assert capsys.readouterr().err == ""
        evaluate_occlusion(own_net(), Shapes(4), **OPTIONS, worst_only=worst_only, progress=True)
        assert "occluding" in capsys.readouterr().err


SCRIPT = """
import json, sys
import torch
from pasm_aug.core.processes import process_state
from pasm_aug.training import evaluate_occlusion
from tests.shapes import Shapes, own_net

state, found = process_state("cpu"), []
for length in (31, 1):
    data, options = Shapes(length, seed=4), {"fills": ("random",), "places": 3, "device": "cpu"}
    scores = evaluate_occlusion(own_net(3), data, **options, batch_size=4)
    found.append([scores.asdict(), scores.labels.tolist(), *(square.counts.tolist() for square in scores.squares)])
if state.is_main_process:
    json.dump(found, open(sys.argv[1], "w"))
state.wait_for_everyone()  # else gloo may abort the one that leaves while the other still writes
torch.distributed.destroy_process_group()
"""


def test_two_processes_find_what_one_does(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*command, str(tmp_path / "script.py"), str(tmp_path / "out.json")],
        env=os.environ | {"PYTHONPATH": os.getcwd(), "OMP_NUM_THREADS": "1"},
        timeout=120, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for length, (scores, labels, *counts) in zip((31, 1), json.loads((tmp_path / "out.json").read_text()), strict=True):
        alone = evaluate_occlusion(own_net(3), Shapes(length, seed=4), fills=("random",), places=3, device="cpu")
        assert scores == alone.asdict()
        assert labels == alone.labels.tolist()
        assert counts == [square.counts.tolist() for square in alone.squares]
