"""PointAdversarialErase, PairedView and the identity of samples, on every kind of image and in real workers."""

import copy
import os
import pickle
import subprocess
import sys
import warnings

import numpy as np
import PIL.Image
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader, Dataset, Subset
from torchvision import transforms as v1
from torchvision import tv_tensors
from torchvision.transforms import v2

from pasm_aug.cache.format import CacheError
from pasm_aug.cache.merge import write_cache
from pasm_aug.cache.position_cache import PositionCache
from pasm_aug.cache.record import row_dtype
from pasm_aug.core.image_content import content_key, dataset_digest
from pasm_aug.transforms.erase import PointAdversarialErase
from pasm_aug.transforms.indexed_dataset import IndexedDataset, SampleIndex
from pasm_aug.transforms.miss_report import CacheMiss
from pasm_aug.transforms.paired_view import PairedView

SIDE = 24
XY, COLOUR = (5, 9), (250, 130, 10)
BOX = (slice(None), slice(7, 12), slice(3, 8))  # 5 × 5 around (x=5, y=9)


def make_image(seed=0, channels=3):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (channels, SIDE, SIDE), dtype=torch.uint8, generator=generator)


def write(path, images, labels=None, *, xy=XY, colour=COLOUR, digest=0, points=1):
    rows = np.zeros(len(images), row_dtype(points, len(colour)))
    rows["key"] = [content_key(image) for image in images]
    rows["label"] = range(len(images)) if labels is None else labels
    rows["mined"], rows["xy"], rows["colour"] = True, xy, colour
    write_cache(path, rows, rows["key"], rows["label"], {"fingerprint": {}, "dataset": {"digest": digest}})
    return path


@pytest.fixture
def path(tmp_path):
    return write(tmp_path / "c", [make_image()])


def expected(image, colour=COLOUR):
    image = image.clone()
    image[BOX] = torch.tensor(colour)[:, None, None].to(image.dtype)
    return image


def erase(cache, **options):
    return PointAdversarialErase(cache, **{"p": 1.0, "size": 5, **options})


class Images(Dataset):
    def __init__(self, count, transform=None):
        self.count, self.transform = count, transform

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        image = make_image(index)
        return (image if self.transform is None else self.transform(image)), index % 7


def test_uint8_tensor_and_input_untouched(path):
    image = make_image()
    out = erase(path)(image)
    assert torch.equal(out, expected(image))
    assert torch.equal(image, make_image())
    written = erase(path, inplace=True)(image)
    assert written is image
    assert torch.equal(image, out)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_float_tensors_hit_and_get_scaled_colours(path, dtype):
    image = (make_image().double() / 255).to(dtype)
    out = erase(path, on_miss="raise")(image)
    assert out.dtype == dtype
    assert torch.equal(out[BOX][:, 0, 0], (torch.tensor(COLOUR, dtype=torch.float64) / 255).to(dtype))
    mask = out != image
    mask[BOX] = False
    assert not mask.any()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "CMYK", "P", "HSV"])
def test_pil_modes(tmp_path, mode):
    image = v2.functional.to_pil_image(make_image()).convert(mode)
    path = write(tmp_path / "c", [image])
    before = image.tobytes()
    out = erase(path, on_miss="raise")(image)
    assert image.tobytes() == before
    assert out.mode == ("RGB" if mode == "P" else mode)
    found = np.asarray(out.convert("RGB"))[9, 5]
    np.testing.assert_allclose(found, COLOUR, atol=4 if mode == "HSV" else 0)
    if mode == "RGBA":
        assert out.getpixel(XY)[3] == 255
    outside = np.asarray(out.convert("RGB")) != np.asarray(image.convert("RGB"))
    outside[7:12, 3:8] = False
    assert not outside.any()


@pytest.mark.parametrize("mode", ["L", "LA", "1"])
def test_grey_pil(tmp_path, mode):
    image = v2.functional.to_pil_image(make_image(channels=1)).convert(mode)
    out = erase(write(tmp_path / "c", [image], colour=(200,)), on_miss="raise")(image)
    assert out.mode == ("L" if mode == "1" else mode)
    assert np.asarray(out.convert("L"))[7:12, 3:8].tolist() == [[200] * 5] * 5


def test_grey_cache_on_rgb_and_channel_mismatch(tmp_path):
    grey = make_image(channels=1)
    path = write(tmp_path / "c", [grey], colour=(200,))
    rgb = grey.repeat(3, 1, 1)
    assert torch.equal(erase(path, on_miss="raise")(rgb), expected(rgb, (200,) * 3))
    alpha = torch.cat([rgb, torch.zeros(1, SIDE, SIDE, dtype=torch.uint8)])
    assert erase(path, on_miss="raise")(alpha)[:, 9, 5].tolist() == [200, 200, 200, 255]
    with pytest.raises(ValueError, match=r"1 channel\(s\), the image has 3"):
        erase(path, index_getter=lambda _: 0)(make_image())
    with pytest.raises(ValueError, match=r"3 channel\(s\), the image has 1"):
        erase(write(tmp_path / "d", [grey]))(grey)
    # a miss draws a colour that fits whatever the image is
    assert 1 <= (erase(path)(make_image(4)) != make_image(4)).any(0).sum() <= 25
    assert 1 <= (erase(write(tmp_path / "e", [make_image()]))(make_image(5, 1)) != make_image(5, 1)).sum() <= 25


def test_v1_and_v2_compose(path):
    image = make_image()
    pil = v2.functional.to_pil_image(image)
    transform = erase(path, on_miss="raise")
    assert torch.equal(v1.Compose([transform, v1.PILToTensor()])(pil), expected(image))
    assert torch.equal(v2.Compose([transform, v2.PILToTensor()])(pil), expected(image))
    mask = tv_tensors.Mask(torch.ones(SIDE, SIDE, dtype=torch.uint8))
    boxes = tv_tensors.BoundingBoxes([[0, 0, 5, 5]], format="XYXY", canvas_size=(SIDE, SIDE))
    sample = {
        "image": tv_tensors.Image(image),
        "more": [pil, {"label": 3, "mask": mask, "boxes": boxes}],
        "plain": image,
    }
    out = v2.Compose([transform])(sample)
    assert isinstance(out["image"], tv_tensors.Image)
    assert torch.equal(out["image"], expected(image))
    assert torch.equal(v2.functional.pil_to_tensor(out["more"][0]), expected(image))
    assert out["more"][1]["label"] == 3
    assert out["more"][1]["mask"] is mask
    assert out["more"][1]["boxes"] is boxes
    assert out["plain"] is image
    erased, label, weight = transform(image, torch.tensor(2), torch.tensor([0.5, 0.5]))
    assert torch.equal(erased, expected(image))
    assert (label.item(), weight.tolist()) == (2, [0.5, 0.5])
    label, erased = transform(torch.tensor(2), image)  # a label in front is not taken for the image
    assert torch.equal(erased, expected(image))


def test_make_params_and_transform_stay_usable(path):
    transform = erase(path)
    params = transform.make_params([make_image()])
    assert params == {"box": (3, 7, 8, 12), "colour": COLOUR}
    assert torch.equal(transform.transform(make_image(), params), expected(make_image()))


@settings(max_examples=150, deadline=None)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    size=st.one_of(st.integers(1, 60), st.floats(0.001, 1.0)),
    value=st.sampled_from(["point", "mean", "random", 7]),
    seed=st.integers(0, 2**31),
)
def test_patch_is_inside_and_all_else_unchanged(height, width, size, value, seed):
    torch.manual_seed(seed)
    image = torch.full((3, height, width), 255, dtype=torch.uint8)
    transform = PointAdversarialErase(None, p=1.0, size=size, value=value)
    left, top, right, bottom = transform.make_params([image])["box"]
    side = size if isinstance(size, int) else max(1, int(size * min(height, width) + 0.5))
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    assert (right - left, bottom - top) == (min(side, width), min(side, height))
    torch.manual_seed(seed)
    out = transform(image)
    changed = (out != image).any(0)
    changed[top:bottom, left:right] = False
    assert not changed.any()
    if value == 7:
        assert (out[:, top:bottom, left:right] == 7).all()


@settings(max_examples=40, deadline=None)
@given(x=st.integers(0, SIDE - 1), y=st.integers(0, SIDE - 1), size=st.integers(1, 30))
def test_mined_patch_lies_around_its_point(tmp_path_factory, x, y, size):
    path = write(tmp_path_factory.mktemp("c") / "c", [make_image()], xy=(x, y), colour=(1, 2, 3))
    image = make_image().float() / 255
    rows, columns = torch.arange(SIDE)[:, None], torch.arange(SIDE)
    inside = ((rows - y + size // 2) >= 0) & ((rows - y + size // 2) < size)
    inside = inside & ((columns - x + size // 2) >= 0) & ((columns - x + size // 2) < size)
    wanted = torch.where(inside, torch.tensor([1.0, 2.0, 3.0])[:, None, None] / 255, image)
    torch.testing.assert_close(erase(path, size=size)(image), wanted, rtol=0, atol=0)


def test_size_share_rounds_to_the_nearest_pixel():
    for side, wanted in ((224, 31), (48, 7), (3, 1), (300, 42)):
        box = PointAdversarialErase(None, p=1).make_params([torch.zeros(1, side, side + 50)])["box"]
        assert box[2] - box[0] == wanted


def test_size_range_is_drawn_per_call():
    torch.manual_seed(0)
    for size_range, wanted in (((3, 5), {3, 4, 5}), ((0.1, 0.2), {10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20})):
        transform = PointAdversarialErase(None, p=1, size_range=size_range)
        boxes = [transform.make_params([torch.zeros(1, 100, 100)])["box"] for _ in range(300)]
        assert {box[2] - box[0] for box in boxes} == wanted


def test_values(path):
    image = make_image()
    out = erase(path, value="mean")(image)
    assert out[:, 9, 5].tolist() == image.float().mean((1, 2)).round().tolist()
    pil = np.asarray(erase(path, value="mean")(v2.functional.to_pil_image(image)))
    assert pil[9, 5].tolist() == out[:, 9, 5].tolist()
    assert erase(path, value=(1, 2, 3))(image)[:, 9, 5].tolist() == [1, 2, 3]
    assert erase(path, value=0.5)(image / 255)[:, 9, 5].tolist() == [0.5] * 3
    with pytest.raises(ValueError, match=r"0…255.*300"):
        erase(path, value=300)(image)
    with pytest.raises(ValueError, match="1 or 3"):
        erase(path, value=(1, 2))(image)


@pytest.mark.parametrize("kind", ["uint8", "float", "pil"])
def test_random_value_is_uniform_over_the_range(kind):
    torch.manual_seed(0)
    image = torch.zeros(3, 200, 200, dtype=torch.uint8)
    image = {"uint8": image, "float": image / 1.0, "pil": v2.functional.to_pil_image(image)}[kind]
    out = v2.functional.to_image(PointAdversarialErase(None, p=1, size=1.0, value="random")(image)).double()
    levels = out.flatten() * (256 if kind == "float" else 1)
    counts = np.bincount(levels.long().numpy(), minlength=256)
    mean = 3 * 200 * 200 / 256
    assert len(counts) == 256
    assert ((counts - mean) ** 2 / mean).sum() < 350  # chi-square, 255 degrees of freedom: p < 1e-4 beyond


def test_miss_colour_and_place_are_uniform():
    torch.manual_seed(0)
    transform = PointAdversarialErase(None, p=1, size=4)
    params = [transform.make_params([torch.zeros(3, 11, 7)]) for _ in range(4000)]
    places = {(p["box"][0], p["box"][1]) for p in params}
    assert places == {(x, y) for x in range(4) for y in range(8)}
    assert abs(np.mean([p["colour"] for p in params]) - 127.5) < 3


def test_p_and_determinism(path):
    image = make_image()
    assert PointAdversarialErase(path, p=0)(image) is image
    half = PointAdversarialErase(path, p=0.5, size=5)
    torch.manual_seed(3)
    first = [half(image) for _ in range(50)]
    torch.manual_seed(3)
    second = [half(image) for _ in range(50)]
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert 10 < sum(a is image for a in first) < 40


def test_every_call_draws_equally_much(path):
    states = []
    for transform in (
        erase(path),
        erase(path, p=0.0),
        erase(path, size_range=(2, 9)),
        erase(None),
        erase(None, on_miss="skip"),
    ):
        torch.manual_seed(0)
        transform(make_image())
        states.append(torch.get_rng_state())
    assert all(torch.equal(state, states[0]) for state in states)


def test_several_points_one_per_call(tmp_path):
    corners = [(2, 2), (20, 3), (4, 19)]
    path = write(tmp_path / "c", [make_image()], xy=corners, points=3)
    transform = erase(path, size=1)
    torch.manual_seed(0)
    boxes = [transform.make_params([make_image()])["box"][:2] for _ in range(60)]
    assert set(boxes) == set(corners)


def test_after_normalize(path):
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
    normalize = v2.Normalize(mean, std)
    clean = make_image() / 255
    transform = erase(path, mean=mean, std=std, on_miss="raise")
    wanted = normalize(expected(make_image()) / 255)
    torch.testing.assert_close(transform(normalize(clean)), wanted)
    noise = erase(path, mean=mean, std=std, value="random")(normalize(clean))
    raw = noise * torch.tensor(std)[:, None, None] + torch.tensor(mean)[:, None, None]
    assert -1e-6 <= raw.min() <= raw.max() <= 1 + 1e-6
    with pytest.raises(TypeError, match="uint8"):
        transform(make_image())


def test_on_miss(path):
    other = make_image(1)
    assert erase(path, on_miss="skip")(other) is other
    with pytest.raises(CacheMiss, match="resize backend"):
        erase(path, on_miss="raise")(other)
    with pytest.raises(ValueError, match="no row"):
        erase(path, on_miss="raise")(other)
    transform = erase(path)
    assert (transform(other) != other).any(0).sum() <= 25
    transform(make_image())
    assert transform.stats() == {"calls": 2, "erased": 2, "hits": 1, "misses": 1, "skipped": 0}
    skipping = erase(path, on_miss="skip")
    skipping(other)
    assert skipping.stats() == {"calls": 1, "erased": 0, "hits": 0, "misses": 1, "skipped": 1}


def test_one_warning_when_misses_are_many(path, monkeypatch):
    monkeypatch.setattr("pasm_aug.transforms.miss_report.get_worker_info", lambda: "a worker's")
    transform = erase(path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for i in range(300):
            transform(make_image(i % 2))
    assert len(caught) == 1
    assert "hit rate 50%" in str(caught[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(150):
            erase(None)(make_image())
        fine = erase(path)
        for i in range(200):
            fine(make_image(1 if i % 20 == 0 else 0))


def test_label_tells_conflicting_duplicates_apart(tmp_path):
    same = [make_image(), make_image()]
    path = write(tmp_path / "c", same, labels=[4, 2], xy=[[[5, 9]], [[15, 15]]])
    transform = erase(path, size=1)

    def place(sample):
        out = transform(sample)
        out = out["image"] if isinstance(out, dict) else out[0] if isinstance(out, tuple) else out
        y, x = (out != make_image()).any(0).nonzero()[0].tolist()
        return x, y

    assert place((make_image(), 4)) == place({"image": make_image(), "label": torch.tensor(4)}) == (5, 9)
    assert place((make_image(), 2)) == (15, 15)
    assert place(make_image()) == place((make_image(), 99)) == (5, 9)  # the lowest sample index serves


def test_index_routes(tmp_path):
    base = Images(20)
    digest = dataset_digest(base)
    assert 0 <= digest < 2**63
    places = [(i, 19 - i) for i in range(20)]
    path = write(tmp_path / "c", [make_image(i) for i in range(20)], range(20), xy=[[p] for p in places], digest=digest)
    transform = erase(path, size=1, value=0, on_miss="raise")
    changed = make_image(3) // 2  # its content is unknown: only an index finds its row
    sample = SampleIndex([3, digest])
    for out in (transform(changed, 1, sample)[0], transform({"image": changed, "index": sample})["image"]):
        assert out[:, 16, 3].tolist() == [0, 0, 0]
    assert transform({"image": make_image(3), "index": 3})["image"][:, 16, 3].tolist() == [0, 0, 0]
    assert erase(path, size=1, value=0, index_getter=lambda s: s[1])(changed, 3)[0][:, 16, 3].tolist() == [0, 0, 0]
    with pytest.raises(ValueError, match="index 4 names another image"):
        transform({"image": make_image(3), "index": 4})
    with pytest.raises(ValueError, match="another data set or a Subset"):
        transform(changed, 1, SampleIndex([3, digest + 1]))
    with pytest.raises(ValueError, match="outside the 20 samples"):
        transform(changed, 1, SampleIndex([20, digest]))
    with pytest.raises(CacheMiss):
        transform(changed, 3)  # a bare int is the label
    with pytest.raises(CacheMiss):
        erase(path, index_getter=None, on_miss="raise")(changed, 1, sample)


def test_indexed_dataset(tmp_path):
    base = Images(10)
    path = write(tmp_path / "c", [make_image(i) for i in range(10)], digest=dataset_digest(base))
    indexed = IndexedDataset(base)
    image, label, index = indexed[-1]
    assert torch.equal(image, make_image(9))
    assert (label, index.tolist()) == (2, [9, dataset_digest(base)])
    assert len(indexed) == 10
    with pytest.raises(IndexError):
        indexed[10]
    steps = v2.Compose(
        [erase(path), v2.RandomHorizontalFlip(1.0), v2.ToDtype(torch.float32, scale=True), v2.Normalize([0], [1])]
    )
    image, label, index = IndexedDataset(base, steps)[4]
    torch.testing.assert_close(image, expected(make_image(4)).flip(-1) / 255)
    assert isinstance(index, SampleIndex)
    assert index.dtype == torch.int64
    with pytest.raises(ValueError, match="Subset"):
        IndexedDataset(Subset(base, range(5)), steps)[0]
    batch = next(iter(DataLoader(IndexedDataset(base, steps), batch_size=4)))
    assert batch[2][:, 0].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "step",
    [
        v2.RandomResizedCrop(16),
        v2.RandomRotation(20),
        v2.ColorJitter(0.5),
        v2.RandomErasing(1.0),
        v2.Pad(3),
        v2.Resize(9),
    ],
    ids=lambda step: type(step).__name__,
)
def test_sample_index_passes_through_transforms(step):
    index = SampleIndex([12, 2**62 + 1])
    for copied in (index, copy.deepcopy(index), pickle.loads(pickle.dumps(index))):
        _, out = step(tv_tensors.Image(make_image()), copied)
        assert isinstance(out, SampleIndex)
        assert out.tolist() == [12, 2**62 + 1]


def test_sample_index_refuses_anything_else():
    for bad in ([1], [1.0, 2.0], [[1, 2]]):
        with pytest.raises(ValueError, match="two integers"):
            SampleIndex(bad)


def test_dataset_digest_tells_data_sets_apart():
    assert dataset_digest(Images(40)) == dataset_digest(Images(40))
    others = [Images(39), Subset(Images(41), range(1, 41)), Subset(Images(40), range(39, -1, -1))]
    assert len({dataset_digest(d) for d in [Images(40), *others]}) == 4


@pytest.mark.parametrize(
    ("method", "workers"), [("fork", 2), ("spawn", 1), pytest.param("forkserver", 2, marks=pytest.mark.slow)]
)
def test_workers_share_counts_and_see_a_replaced_cache(tmp_path, method, workers):
    path = write(tmp_path / "c", [make_image(i) for i in range(10)])
    transform = erase(path)
    loader = DataLoader(
        Images(12, transform),
        num_workers=workers,
        batch_size=3,
        persistent_workers=True,
        multiprocessing_context=method,
    )
    images = torch.cat([image for image, _ in loader])
    assert all(torch.equal(images[i], expected(make_image(i))) for i in range(10))
    assert transform.stats() == {"calls": 12, "erased": 12, "hits": 10, "misses": 2, "skipped": 0}
    write(path, [make_image(i) for i in range(12)], colour=(0, 0, 1))
    images = torch.cat([image for image, _ in loader])
    assert all(torch.equal(images[i], expected(make_image(i), (0, 0, 1))) for i in range(12))
    assert transform.stats() == {"calls": 24, "erased": 24, "hits": 22, "misses": 2, "skipped": 0}


def test_replaced_and_broken_cache_in_one_process(path):
    transform = erase(path)
    transform(make_image())
    write(path, [make_image()], colour=(9, 9, 9))
    assert torch.equal(transform(make_image()), expected(make_image(), (9, 9, 9)))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CacheError, match="truncated"):
        transform(make_image())


def test_pickle_copy_repr(path):
    transform = erase(PositionCache.open(path))
    transform(make_image())
    content = pickle.dumps(transform)
    assert len(content) < 3000
    for other in (pickle.loads(content), copy.deepcopy(transform)):
        assert other.stats()["calls"] == 0
        assert torch.equal(other(make_image()), expected(make_image()))
        assert other.stats()["hits"] == 1
    assert transform.stats()["calls"] == 1
    assert repr(transform) == f"PointAdversarialErase('{path}', p=1.0, size=5, value='point', on_miss='random')"
    assert "\n" not in repr(PointAdversarialErase(None, size_range=(0.1, 0.2)))


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"p": 1.5}, ValueError, "p must.*1.5"),
        ({"p": "x"}, TypeError, "p must.*'x'"),
        ({"size": 0}, ValueError, "size must.*got 0"),
        ({"size": 1.5}, ValueError, "size must.*1.5"),
        ({"size": True}, TypeError, "size must.*True"),
        ({"size_range": (5, 3)}, ValueError, "size_range"),
        ({"size_range": (1, 0.5)}, ValueError, "size_range"),
        ({"size_range": 3}, TypeError, "size_range.*3"),
        ({"value": "grey"}, ValueError, "value must.*'grey'"),
        ({"value": None}, TypeError, "value must.*None"),
        ({"on_miss": "ignore"}, ValueError, "on_miss must.*'ignore'"),
        ({"index_getter": "index"}, TypeError, "index_getter must.*'index'"),
        ({"mean": (0.5,)}, ValueError, "mean and std"),
        ({"mean": (0.5,), "std": (0.0,)}, ValueError, "std positive"),
    ],
)
def test_bad_options(options, error, match):
    with pytest.raises(error, match=match):
        PointAdversarialErase(None, **options)


def test_bad_images(path, tmp_path):
    transform = erase(path)
    with pytest.raises(ValueError, match=r"\(24, 24\)"):
        transform(torch.zeros(24, 24))
    with pytest.raises(TypeError, match="int64"):
        transform(make_image().long())
    with pytest.raises(TypeError, match="I;16"):
        transform(PIL.Image.new("I;16", (4, 4)))
    with pytest.raises(TypeError, match="no image"):
        transform({"label": 3})
    with pytest.raises(ValueError, match="one size"):
        transform(PIL.Image.new("L", (4, 4)), PIL.Image.new("L", (4, 5)))
    with pytest.raises(CacheError, match="cannot be read"):
        PointAdversarialErase(tmp_path / "missing")


@pytest.mark.parametrize("value", ["point", "random"])
def test_floats_of_another_range_are_refused_where_no_pixel_is_looked_up(path, value):
    far = make_image().float()
    for transform in (erase(path, value=value), erase(None, value=value)):
        with pytest.raises(ValueError, match=r"image must be floating in \[0, 1\], got values in"):
            transform(far, 1, SampleIndex([0, 0]))
        with pytest.raises(ValueError, match=r"image must be floating in \[0, 1\]"):
            transform(torch.stack([far, far]), torch.arange(2))
    assert torch.equal(erase(None, value=7.0, size=1.0)(far), torch.full_like(far, 7))


def test_mean_and_std_of_other_channels_are_named(tmp_path):
    grey = write(tmp_path / "c", [make_image(channels=1)], colour=COLOUR[:1], digest=5)
    transform = erase(grey, mean=[0.5] * 3, std=[0.5] * 3)
    with pytest.raises(ValueError, match="mean and std hold 3 numbers, the image has 1 channels"):
        transform(torch.zeros(1, SIDE, SIDE), 1, SampleIndex([0, 5]))


@pytest.mark.parametrize(("mode", "becomes"), [("P", "RGB"), ("1", "L"), ("RGB", "RGB"), ("L", "L")])
def test_an_image_has_one_mode_whether_it_is_erased_or_not(mode, becomes):
    transform = PointAdversarialErase(None, p=0.5)
    assert {transform(PIL.Image.new(mode, (16, 16))).mode for _ in range(40)} == {becomes}


GEOMETRY = [
    v2.RandomResizedCrop(SIDE, antialias=True),
    v2.RandomHorizontalFlip(),
    v2.RandomRotation(30),
    v2.ColorJitter(0.5),
]


@pytest.mark.parametrize("kind", ["tensor", "image", "pil"])
@pytest.mark.parametrize("tail", [[], [v2.PILToTensor()], [v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]])
def test_paired_view_shares_all_randomness(kind, tail):
    if kind != "pil" and any(isinstance(step, v2.PILToTensor) for step in tail):
        tail = [v2.ToPureTensor()]
    image = {"tensor": lambda x: x, "image": tv_tensors.Image, "pil": v2.functional.to_pil_image}[kind](make_image())
    twins = PairedView(None, v2.Compose([*GEOMETRY, *tail, v2.RandomVerticalFlip(), v2.Compose([v2.RandomAffine(20)])]))
    for seed in range(8):
        torch.manual_seed(seed)
        erased, clean, label = twins(image, 5)
        assert label == 5
        assert type(erased) is type(clean)
        assert np.array_equal(np.asarray(erased), np.asarray(clean))


def test_paired_view_differs_only_inside_the_patch(path):
    pair = PairedView(erase(path, on_miss="raise", inplace=True), v2.Compose([v2.RandomHorizontalFlip(), v2.Pad(2)]))
    for seed in range(6):
        torch.manual_seed(seed)
        erased, clean, _ = pair((make_image(), 3))
        flipped = not torch.equal(clean, v2.functional.pad(make_image(), 2))
        mask = torch.zeros(SIDE, SIDE, dtype=torch.bool)
        mask[BOX[1:]] = True
        mask = v2.functional.pad(mask.flip(-1)[None] if flipped else mask[None], 2)[0]
        assert torch.equal((erased != clean).any(0) & ~mask, torch.zeros_like(mask))
        assert (erased != clean)[:, mask].any()
        assert type(erased) is torch.Tensor
    assert pair((make_image(), 3, SampleIndex([0, 0])))[2] == 3


def test_paired_view_without_then_with_inplace_and_with_randaugment(path):
    erased, clean, _ = PairedView(erase(path))(make_image(), 1)
    assert torch.equal(erased, expected(make_image()))
    assert torch.equal(clean, make_image())
    steps = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5] * 3, [0.5] * 3, inplace=True)])
    first, second, _ = PairedView(None, steps)(make_image(), 1)
    torch.testing.assert_close(first, make_image() / 255 * 2 - 1)
    torch.testing.assert_close(first, second)
    for step in (v2.RandAugment(), v2.TrivialAugmentWide()):
        torch.manual_seed(1)
        first, second, _ = PairedView(None, step)(make_image(), 1)
        assert torch.equal(first, second)


def test_paired_view_in_workers_and_pickled(path):
    pair = PairedView(erase(path), v2.RandomHorizontalFlip())
    assert "RandomHorizontalFlip" in repr(pair)
    assert "then=None" in repr(PairedView(erase(path)))
    data = IndexedDataset(Images(6), pickle.loads(pickle.dumps(pair)), digest=0)
    erased, clean, labels = next(iter(DataLoader(Subset(data, range(1)), batch_size=1, num_workers=1)))
    assert erased.shape == clean.shape == (1, 3, SIDE, SIDE)
    assert 1 <= (erased != clean).any(1).sum() <= 25
    assert labels.tolist() == [0]


def test_paired_view_refuses(path):
    with pytest.raises(TypeError, match=r"v2\.Lambda"):
        PairedView(None, v1.RandomHorizontalFlip())
    with pytest.raises(TypeError, match=r"torchvision\.transforms\.v2"):
        PairedView(None, v2.Compose([v2.Identity(), v1.ToTensor()]))
    with pytest.raises(TypeError, match="erase must"):
        PairedView(3)
    with pytest.raises(ValueError, match=r"\(image, label\)"):
        PairedView(None)(make_image())
    with pytest.raises(ValueError, match="tuple of 4"):
        PairedView(None)(make_image(), 1, 2, 3)


def test_importing_loads_nothing_heavy():
    code = (
        "import sys, pasm_aug.transforms\n"
        "print(*{'numba', 'torchmetrics', 'accelerate', 'matplotlib', 'facenet_pytorch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout.strip() == ""
