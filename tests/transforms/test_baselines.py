import numpy as np
import PIL.Image
import pytest
import torch
import torch.nn.functional as F
from torchvision import tv_tensors
from torchvision.transforms import v2

from pasm_aug.cache.merge import write_cache
from pasm_aug.cache.record import row_dtype
from pasm_aug.core.image_content import content_key
from pasm_aug.transforms.baselines import CamRegionErase, CountedRandomErasing, RandomPlaceErase

SIDE = 16


def make_image(seed=0, channels=3):
    return torch.from_numpy(np.random.default_rng(seed).integers(1, 200, (channels, SIDE, SIDE + 4), dtype=np.uint8))


def write(path, images, points=1, colour=(255, 0, 0), xy=(0, 0), **metadata):
    rows = np.zeros(len(images), row_dtype(points, len(colour)))
    rows["key"], rows["label"], rows["mined"] = [content_key(i) for i in images], np.arange(len(images)), True
    rows["colour"], rows["xy"] = colour, xy
    for name in ("p_point",):
        rows[name] = metadata.pop(name, 0)
    write_cache(path, rows, rows["key"], rows["label"], {"fingerprint": {}, "dataset": {}, **metadata})
    return path


def test_random_place_takes_the_mined_colour_anywhere(tmp_path):
    image = make_image()
    erase = RandomPlaceErase(write(tmp_path / "c", [image]), p=1.0, size=5)
    centres, areas = set(), []
    for seed in range(600):
        torch.manual_seed(seed)
        box = erase.make_params([image])
        assert box["colour"] == (255, 0, 0)
        left, top, right, bottom = box["box"]
        areas.append((right - left) * (bottom - top))
        centres.add((left + 2 if left else right - 3, top + 2 if top else bottom - 3))
    assert len(centres) > 0.75 * SIDE * (SIDE + 4)  # of 320 pixels, 600 draws leave 15 % out
    assert min(areas) == 9  # in a corner
    clipped = sum(
        (min(x + 3, SIDE + 4) - max(x - 2, 0)) * (min(y + 3, SIDE) - max(y - 2, 0))
        for x in range(SIDE + 4)
        for y in range(SIDE)
    ) / (SIDE * (SIDE + 4))
    assert np.mean(areas) == pytest.approx(clipped, rel=0.05)
    assert erase.erased_area() == (sum(areas), 600 * SIDE * (SIDE + 4))


def test_counted_random_erasing_is_torchvisions():
    image, counted, plain = make_image(), CountedRandomErasing(p=0.7, value=0), v2.RandomErasing(p=0.7, value=0)
    changed = 0
    for seed in range(30):
        torch.manual_seed(seed)
        ours = counted(image)
        torch.manual_seed(seed)
        assert torch.equal(ours, plain(image))
        changed += int((ours != image).any(0).sum())
    assert counted.erased_area() == (changed, 30 * SIDE * (SIDE + 4))
    assert repr(counted) == repr(plain)


def test_counted_random_erasing_takes_samples_of_any_form():
    image = make_image()
    for sample in ({"image": image, "label": 1}, [image, 1], ((image, 1), "name")):
        erase = CountedRandomErasing(p=1.0)
        erase(sample)
        assert erase.erased_area()[1] == image.shape[-1] * image.shape[-2]


@pytest.fixture
def region(tmp_path):
    grid = np.random.default_rng(3).random((2, 4 * 5)).astype(np.float32)
    images = [make_image(0), make_image(1)]
    path = write(tmp_path / "cams", images, points=20, colour=(7, 8, 9), p_point=grid, grid=[4, 5])
    masks = F.interpolate(torch.from_numpy(grid).reshape(2, 1, 4, 5), size=(SIDE, SIDE + 4), mode="bilinear")[:, 0]
    return path, images, masks >= 0.8


def test_cam_region_is_the_thresholded_map_in_the_mean_colour(region):
    path, images, masks = region
    erase = CamRegionErase(path, p=1.0)
    for image, mask in zip(images, masks, strict=True):
        wanted = torch.where(mask, torch.tensor([7, 8, 9], dtype=torch.uint8)[:, None, None], image)
        kept = image.clone()
        assert torch.equal(erase(image), wanted)
        assert torch.equal(image, kept)
        out = erase(tv_tensors.Image(image), 3)
        assert isinstance(out[0], tv_tensors.Image)
        assert torch.equal(out[0].as_subclass(torch.Tensor), wanted)
        assert out[1] == 3
        pil = PIL.Image.fromarray(image.permute(1, 2, 0).numpy())
        assert np.array_equal(np.asarray(erase(pil)), wanted.permute(1, 2, 0).numpy())
        torch.testing.assert_close(erase(image / 255), wanted / 255)
    erased, seen = erase.erased_area()
    assert (erased, seen) == (4 * int(masks.sum()), 8 * SIDE * (SIDE + 4))


def test_cam_region_goes_to_the_device_of_the_image(region):
    path, images, masks = region
    there = images[0].to("meta")  # as on a GPU, an operation with the mask left on the CPU fails there
    erased = CamRegionErase(path, p=1.0).transform(there, {"mask": masks[0], "colour": (7, 8, 9)})
    assert (erased.device, erased.shape, erased.dtype) == (there.device, there.shape, there.dtype)


def test_cam_region_breaks_a_compiled_graph_cleanly(region):
    path, images, _ = region
    erase = CamRegionErase(path, p=1.0)
    torch._dynamo.reset()
    assert torch.equal(torch.compile(erase, backend="eager")(images[0]), erase(images[0]))


def test_cam_region_leaves_what_it_does_not_know_and_draws_p(region):
    path, images, _ = region
    other = make_image(9)
    assert CamRegionErase(path, p=1.0)(other) is other
    erase = CamRegionErase(path, p=0.3)
    torch.manual_seed(0)
    assert 30 < sum(erase(images[0]) is not images[0] for _ in range(200)) < 90
    assert "threshold=0.8" in repr(erase)
    with pytest.raises(ValueError, match="probability"):
        CamRegionErase(path, p=2)
