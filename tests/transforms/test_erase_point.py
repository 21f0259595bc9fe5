"""ErasePoint: goes where the image's own pixels go, and the square goes with it."""

import copy
import math
import pickle

import pytest
import torch
from torch.utils.data import DataLoader, Dataset, default_collate
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode, v2

from pasm_aug.core.image_content import dataset_digest
from pasm_aug.transforms.erase_point import ErasePoint
from pasm_aug.transforms.indexed_dataset import IndexedDataset, SampleIndex
from pasm_aug.transforms.miss_report import CacheMiss
from tests.images import box_around, erase, make_image, write

HEIGHT, WIDTH = 90, 110
PLACES = [(55.3, 45.6), (38.0, 31.5), (71.9, 62.2)]
LINEAR = {"interpolation": InterpolationMode.BILINEAR}

STEPS = {
    "horizontal flip": v2.RandomHorizontalFlip(1.0),
    "vertical flip": v2.RandomVerticalFlip(1.0),
    "resize up": v2.Resize((180, 220)),
    "resize down": v2.Resize((63, 77)),
    "resize anisotropic": v2.Resize((141, 83)),
    "resize shorter": v2.Resize(67, max_size=90),
    "scale jitter": v2.ScaleJitter((100, 100), (0.7, 1.5)),
    "crop": v2.RandomCrop((60, 70)),
    "crop padded": v2.RandomCrop((100, 95), padding=(20, 15, 10, 5)),
    "crop padded if needed": v2.RandomCrop((120, 60), pad_if_needed=True),
    "centre crop": v2.CenterCrop((71, 80)),
    "centre crop of more": v2.CenterCrop((131, 60)),
    "resized crop": v2.RandomResizedCrop((90, 90), scale=(0.4, 1.0)),
    "rotation": v2.RandomRotation(40, **LINEAR),
    "quarter": v2.RandomRotation((90, 90), **LINEAR, expand=True),
    "rotation expanded": v2.RandomRotation((-180, 180), **LINEAR, expand=True),
    "rotation about": v2.RandomRotation(20, **LINEAR, center=[40, 50]),
    "affine": v2.RandomAffine(25, (0.1, 0.1), (0.8, 1.2), (-8, 8, -8, 8), **LINEAR),
    "affine about": v2.RandomAffine(15, (0.05, 0.1), (0.9, 1.3), 8, **LINEAR, center=[60, 30]),
    "translation": v2.RandomAffine(0, (0.2, 0.2), **LINEAR),
    "perspective": v2.RandomPerspective(0.2, 1.0),
    "pad": v2.Pad((3, 7, 11, 2)),
    "pad reflect": v2.Pad((60, 40), padding_mode="reflect"),
    "pad symmetric": v2.Pad(60, padding_mode="symmetric"),
    "pad edge": v2.Pad((20, 0), padding_mode="edge"),
    "zoom out": v2.RandomZoomOut(side_range=(1.2, 2.0), p=1.0),
}
STEPS["all"] = v2.Compose(
    [STEPS["affine"], v2.RandomHorizontalFlip(), v2.RandomResizedCrop(100, (0.6, 1.0)), v2.Pad(4)]
)


def blob(x, y, height=HEIGHT, width=WIDTH):
    """uint8 (1, H, W): a bright spot whose middle is (x, y), counted from the upper left corner."""
    rows, columns = torch.arange(height)[:, None] + 0.5, torch.arange(width) + 0.5
    return (torch.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * 2.0**2))[None] * 255).round().byte()


def centroid(image, around, reach=11):
    """Middle (x, y) of the brightness within ``reach`` of a point; ``None`` where that leaves the image."""
    image = v2.functional.to_image(image).as_subclass(torch.Tensor)[0].double()
    (x, y), (height, width) = (math.floor(c) for c in around), image.shape
    if not (reach <= x < width - reach and reach <= y < height - reach):
        return None
    window = image[y - reach : y + reach + 1, x - reach : x + reach + 1]
    along = torch.arange(-reach, reach + 1) + 0.5
    total = window.sum()
    assert total > 0
    return x + (window.sum(0) @ along.double()) / total, y + (window.sum(1) @ along.double()) / total


def off_by(step, kind):
    """The largest distance between point and image over several places and draws."""
    worst, seen = 0.0, 0
    for place in PLACES:
        for seed in range(6):
            torch.manual_seed(seed)
            image = blob(*place)
            image = v2.functional.to_pil_image(image) if kind == "pil" else tv_tensors.Image(image)
            image, point = step(image, ErasePoint([place], canvas_size=(HEIGHT, WIDTH)))
            assert type(point) is ErasePoint
            assert tuple(point.canvas_size) == tuple(v2.functional.get_size(image))
            found = centroid(image, point[0].tolist())
            if found is not None:
                seen += 1
                worst = max(worst, math.dist(found, point[0].tolist()))
    assert seen > 5
    return worst


@pytest.mark.parametrize("kind", ["tensor", "pil"])
@pytest.mark.parametrize("name", STEPS)
def test_points_go_where_the_image_goes(name, kind):
    assert off_by(STEPS[name], kind) < 0.05


def test_points_nearly_go_where_the_elastic_image_goes():
    assert off_by(v2.ElasticTransform(40.0, 8.0), "tensor") < 0.3


def test_the_measure_would_notice_half_a_pixel():
    class Shifted(v2.RandomHorizontalFlip):
        def transform(self, inpt, params):
            return tv_tensors.wrap(inpt + 0.5, like=inpt) if isinstance(inpt, ErasePoint) else inpt

    assert 0.65 < off_by(Shifted(1.0), "tensor") < 0.75


@pytest.mark.parametrize("name", [*STEPS, "elastic"])
def test_no_point_stays_none(name):
    step = STEPS.get(name) or v2.ElasticTransform(40.0, 8.0)
    points = ErasePoint([[math.nan] * 2, PLACES[0], [-9.0, 400.0]], canvas_size=(HEIGHT, WIDTH))
    for seed in range(3):
        torch.manual_seed(seed)
        _, out = step(tv_tensors.Image(blob(*PLACES[0])), points)
        assert out[0].isnan().all()
        assert out[1].isfinite().all()
        assert out.shape == (3, 2)
        torch.manual_seed(seed)
        _, alone = step(tv_tensors.Image(blob(*PLACES[0])), ErasePoint([PLACES[0]], canvas_size=(HEIGHT, WIDTH)))
        torch.testing.assert_close(out[1:2].as_subclass(torch.Tensor), alone.as_subclass(torch.Tensor))


def test_class_and_canvas_survive():
    point = ErasePoint([[1.5, 2.5], [3.0, math.nan]], canvas_size=(7, 9))
    kept = {
        "clone": point.clone(),
        "detach": point.detach(),
        "to": point.to(torch.float64),
        "copy": copy.copy(point),
        "deepcopy": copy.deepcopy(point),
        "pickle": pickle.loads(pickle.dumps(point)),
        "identity": v2.Identity()(point),
    }
    for how, out in kept.items():
        assert (how, type(out), tuple(out.canvas_size), out.shape) == (how, ErasePoint, (7, 9), (2, 2))
        assert torch.equal(out.nan_to_num(-1).double(), point.nan_to_num(-1).double())
    batch = default_collate([point, point.clone(), point])
    assert (type(batch), tuple(batch.canvas_size), batch.shape) == (ErasePoint, (7, 9), (3, 2, 2))
    _, flipped = v2.RandomHorizontalFlip(1.0)(tv_tensors.Image(torch.zeros(3, 1, 7, 9)), batch)
    assert (type(flipped), flipped[:, 0].tolist()) == (ErasePoint, [[7.5, 2.5]] * 3)
    assert ErasePoint.at_pixels([[3, 5]], (7, 9)).tolist() == [[3.5, 5.5]]
    assert ErasePoint([1, 2], canvas_size=(7, 9)).dtype == torch.float32


class Blobs(Dataset):
    """Image i has its bright spot in pixel (40 + 3 i, 50 - 2 i)."""

    def __len__(self):
        return 8

    def pixel(self, index):
        return 40 + 3 * index, 50 - 2 * index

    def __getitem__(self, index):
        x, y = self.pixel(index)
        return blob(x + 0.5, y + 0.5).expand(3, -1, -1), index % 2


@pytest.fixture(scope="module")
def mined(tmp_path_factory):
    base = Blobs()
    xy, colours = [[base.pixel(i)] for i in range(8)], [[(i, 2 * i, 3)] for i in range(8)]
    images, labels = zip(*(base[i] for i in range(8)), strict=True)
    path = tmp_path_factory.mktemp("caches") / "c"
    return write(path, images, labels, xy=xy, colour=colours, digest=dataset_digest(base))


def test_erasing_last_follows_the_mined_pixel(mined):
    whole, squares = (
        IndexedDataset(Blobs(), v2.Compose([STEPS["all"], erase(mined, p=p, size=7, on_miss="raise")]), cache=mined)
        for p in (0.0, 1.0)
    )
    for index in range(8):
        for seed in range(4):
            torch.manual_seed(seed)
            clean, _, point, _ = whole[index]
            torch.manual_seed(seed)
            image, label, _, name = squares[index]
            assert (label, name.tolist()) == (index % 2, [index, dataset_digest(Blobs())])
            rows, columns = (image == torch.tensor([index, 2 * index, 3])[:, None, None]).all(0).nonzero().unbind(1)
            assert len(rows) == 49
            found = centroid(clean, point[0].tolist(), reach=8)
            middle = (columns.double().mean() + 0.5, rows.double().mean() + 0.5)
            assert max(abs(a - b) for a, b in zip(middle, found, strict=True)) < 0.55


def test_a_collated_batch_erases_last(mined):
    data = IndexedDataset(Blobs(), v2.RandomHorizontalFlip(1.0), cache=mined)
    batch = next(iter(DataLoader(data, batch_size=8, num_workers=1)))
    assert [type(part) for part in batch] == [torch.Tensor, torch.Tensor, ErasePoint, SampleIndex]
    assert tuple(batch[2].canvas_size) == (HEIGHT, WIDTH)
    out = erase(mined)(*batch)[0]
    for i, (image, clean) in enumerate(zip(out, batch[0], strict=True)):
        x, y = Blobs().pixel(i)
        left, top, right, bottom = box_around(WIDTH - 1 - x, y, 5, WIDTH, HEIGHT)
        wanted = clean.clone()
        wanted[:, top:bottom, left:right] = torch.tensor([i, 2 * i, 3])[:, None, None]
        assert torch.equal(image, wanted)
    with pytest.raises(ValueError, match=r"8 images need an ErasePoint \(8, K, 2\), got \(1, 2\)"):
        erase(mined)(batch[0], point(1.0, 1.0, canvas=(HEIGHT, WIDTH)))


def point(*xy, canvas=(24, 24)):
    return ErasePoint([xy] if not isinstance(xy[0], tuple) else list(xy), canvas_size=canvas)


def test_of_several_points_one_is_drawn():
    places = {(2, 3), (12, 20), (20, 5)}
    transform = erase(None, size=3, value="mean", on_miss="raise")
    points = point(*[(x + 0.5, y + 0.5) for x, y in places], (-9.0, 2.0), (math.nan, math.nan))  # two cannot be drawn
    found = set()
    for seed in range(40):
        torch.manual_seed(seed)
        box = transform.make_params([make_image(), points])["box"]
        found.add((box[0] + 1, box[1] + 1))
    assert found == places


def test_points_off_the_canvas():
    for x, y in [(-2.0, 10.5), (-3.99, 10.0), (23.5, 23.9), (27.9, 3.0), (10.0, 25.5)]:
        box = erase(None, size=9, value=0).make_params([make_image(), point(x, y)])["box"]
        assert box == box_around(math.floor(x), math.floor(y), 9, 24, 24)
    for gone in ((-4.01, 10.0), (28.0, 3.0), (3.0, 400.0), (math.nan, math.nan)):
        for on_miss, counts in (("random", (1, 0)), ("skip", (0, 1))):
            transform = erase(None, size=9, value=0, on_miss=on_miss)
            out, _ = transform(make_image(), point(*gone))
            assert (out == 0).all(0).sum() >= 81 * counts[0]
            assert torch.equal(out, make_image()) is (on_miss == "skip")
            assert transform.stats() == {"calls": 1, "erased": counts[0], "hits": 0, "misses": 1, "skipped": counts[1]}


def test_a_gone_point_can_raise(mined):
    for cache in (mined, None):
        with pytest.raises(CacheMiss):
            erase(cache, value=0, on_miss="raise")(make_image(), point(-30.0, 2.0))


def test_what_does_not_fit_is_named(mined):
    with pytest.raises(
        ValueError, match='an ErasePoint has no colour: value="point" needs the cache and a SampleIndex'
    ):
        erase(mined)(make_image(), point(3.0, 3.0))
    with pytest.raises(ValueError, match=r"canvas \(height, width\) = \(24, 25\), the image has \(24, 24\)"):
        erase(mined, value=0)(make_image(), point(3.0, 3.0, canvas=(24, 25)))
    for step in (v2.AutoAugment(), v2.RandAugment(), v2.TrivialAugmentWide(), v2.AugMix()):
        with pytest.raises(TypeError, match=f"ErasePoint are not supported by {type(step).__name__}"):
            step(make_image(), point(3.0, 3.0))
