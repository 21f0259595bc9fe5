"""What torchvision asks of its own transforms, asked of ours, on every kind of image and sample."""

import copy
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._pytree import tree_leaves
from torchvision import transforms as v1
from torchvision import tv_tensors
from torchvision.transforms import v2

from pasm_aug.transforms.indexed_dataset import SampleIndex
from tests.images import BOX, COLOUR, DTYPES, SIDE, box_around, erase, make_image, reference, to_dtype, write

LEVELS = torch.tensor(COLOUR, dtype=torch.uint8)
MANY = 20  # the caches of all positions in images up to this size
LAYOUTS = {
    "contiguous": lambda x: x.contiguous(),
    "channels_last": lambda x: x.movedim(-3, -1).contiguous().movedim(-1, -3),
    "transposed": lambda x: x.mT.contiguous().mT,
    "cropped": lambda x: torch.cat([x, x], -1)[..., : x.shape[-1]],
    "expanded": lambda x: x[..., :1].expand(x.shape),
}


class Photo(tv_tensors.Image):
    """A user's own kind of image."""


class Own(torch.Tensor):
    """A user's own kind of tensor."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("caches")


@pytest.fixture(scope="module")
def path(folder):
    return write(folder / "c", [make_image(), make_image()[:, :, :1].expand(-1, -1, SIDE)])


@pytest.fixture(scope="module")
def everywhere(folder):
    """Sample y · MANY + x has its point at (x, y)."""
    images = [torch.tensor([[[y, x]]], dtype=torch.uint8) for y in range(MANY) for x in range(MANY)]
    places = [[(x, y)] for y in range(MANY) for x in range(MANY)]
    return write(folder / "everywhere", images, xy=places)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("kind", [torch.Tensor, tv_tensors.Image, tv_tensors.Video, Photo, Own])
@pytest.mark.parametrize("lead", [(), (2,), (2, 3)], ids=str)
def test_tensors_of_every_kind(path, dtype, kind, lead):
    shape = (*lead, *((2,) if kind is tv_tensors.Video else ()), 3, SIDE, SIDE)
    transform, writing = erase(path, on_miss="raise"), erase(path, on_miss="raise", inplace=True)
    for name, layout in LAYOUTS.items():
        plain = layout(to_dtype(make_image(), dtype).expand(shape).clone())
        image = plain.as_subclass(kind)
        wanted = reference(plain, BOX, to_dtype(LEVELS, dtype))
        before = plain.clone()
        out = transform(image)
        assert type(out) is kind
        assert (out.dtype, out.device, out.shape) == (dtype, image.device, shape)
        assert out.stride() == plain.clone().stride()
        assert torch.equal(out.as_subclass(torch.Tensor), wanted)
        assert torch.equal(plain, before)
        if name != "expanded":
            assert writing(image) is image
            assert image.stride() == plain.stride()
            assert torch.equal(plain, wanted)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_pil_images(folder, mode):
    image = v2.functional.to_pil_image(make_image()).convert(mode)
    image.info["dpi"] = (72, 72)
    colour = {"RGB": COLOUR, "L": (77,), "RGBA": COLOUR}[mode]
    path = write(folder / mode, [image], colour=colour)
    before = image.copy()
    out = erase(path, on_miss="raise")(image)
    wanted = np.array(before)
    wanted[7:12, 3:8] = (*colour, 255) if mode == "RGBA" else colour[0] if mode == "L" else colour
    assert (type(out), out.mode, out.size, out.info) == (type(image), mode, image.size, image.info)
    assert np.array_equal(np.asarray(out), wanted)
    assert image.tobytes() == before.tobytes()
    assert erase(path, inplace=True)(image) is image
    assert np.array_equal(np.asarray(image), wanted)


@pytest.mark.parametrize("value", ["mean", "random", 3])
@pytest.mark.parametrize("kind", ["pil", *DTYPES], ids=str)
@pytest.mark.parametrize("inplace", [False, True])
def test_values_of_every_kind(path, value, kind, inplace):
    image = v2.functional.to_pil_image(make_image()) if kind == "pil" else to_dtype(make_image(), kind)
    before = copy.deepcopy(image)
    out = erase(path, value=value, inplace=inplace, on_miss="raise")(image)
    assert (out is image) is inplace
    assert inplace or np.array_equal(*[v2.functional.to_image(x).double().numpy() for x in (image, before)])
    old, new = (v2.functional.to_image(x).double() for x in (before, out))
    left, top, right, bottom = BOX
    patch = new[:, top:bottom, left:right]
    if value == "random":
        assert patch.unique().numel() > 30  # of 75 draws
        assert 0 <= patch.min() <= patch.max() <= {torch.uint8: 255, "pil": 255, torch.int16: 2**15 - 1}.get(kind, 1)
    else:
        wanted = old.mean((1, 2)) if value == "mean" else torch.full((3,), 3.0, dtype=torch.float64)
        integer = kind in ("pil", torch.uint8, torch.int16)
        exact = wanted.round() if integer else wanted.to(kind).double()
        assert torch.equal(patch, exact[:, None, None].expand_as(patch))
    new[:, top:bottom, left:right] = old[:, top:bottom, left:right]
    assert torch.equal(new, old)


def test_samples_of_every_shape(path):
    image = make_image()
    wanted = reference(image, BOX, LEVELS)
    boxes = tv_tensors.BoundingBoxes([[0, 0, 5, 5]], format="XYXY", canvas_size=(SIDE, SIDE))
    mask, points = tv_tensors.Mask(make_image(3, 1)), tv_tensors.KeyPoints([[1.0, 2.0]], canvas_size=(SIDE, SIDE))
    kept = [boxes, mask, points, torch.tensor(4), torch.rand(2, 3), "name", None, 1.5, 3, SampleIndex([0, 0])]
    pil = v2.functional.to_pil_image(image)
    samples = [
        (image, *kept),
        (tv_tensors.Image(image), *kept),
        [kept[0], [image, kept[1:]]],
        {"image": pil, "more": {"deep": (kept, [])}},
        {"image": [tv_tensors.Image(image), {"x": kept}], "twin": pil},
        (tv_tensors.Video(image[None]), kept),
    ]
    for sample in samples:
        out = erase(path, on_miss="raise")(sample)
        assert type(out) is type(sample)
        before, after = tree_leaves(sample), tree_leaves(out)
        assert len(before) == len(after)
        images = 0
        for old, new in zip(before, after, strict=True):
            if any(old is one for one in kept):
                assert new is old
            else:
                images += 1
                assert type(new) is type(old)
                assert torch.equal(v2.functional.to_image(new).squeeze(0).as_subclass(torch.Tensor), wanted)
        assert images == (2 if isinstance(sample, dict) and "twin" in sample else 1)
    several = erase(path)(image, 3, boxes)  # several arguments come back as a tuple
    assert type(several) is tuple
    assert several[2] is boxes


@pytest.mark.parametrize("value", ["point", "mean", "random", 0.5])
@pytest.mark.parametrize("lead", [(), (3,), (2, 2)], ids=str)
def test_gradients_flow_around_the_patch(path, value, lead):
    image = to_dtype(make_image(), torch.float32).expand(*lead, 3, SIDE, SIDE).clone().requires_grad_()
    weight = torch.rand_like(image)
    (erase(path, value=value)(image) * weight).sum().backward()
    assert torch.equal(image.grad, reference(weight, BOX, [0.0]))


@pytest.mark.parametrize("value", ["point", "mean", "random", 3])
def test_params_can_be_replayed(path, value):
    transform = erase(path, value=value, size_range=(2, 9))
    torch.manual_seed(5)
    params = transform.make_params([make_image()])
    torch.manual_seed(5)
    out = transform(make_image())
    torch.manual_seed(5)
    transform.make_params([make_image()])
    again = transform.transform(make_image(), pickle.loads(pickle.dumps(params)))
    assert torch.equal(again, out)
    if value == "point":
        for dtype in DTYPES[1:]:
            assert torch.equal(transform.transform(to_dtype(make_image(), dtype), params), to_dtype(out, dtype))
        pil = transform.transform(v2.functional.to_pil_image(make_image()), params)
        assert torch.equal(v2.functional.pil_to_tensor(pil), out)


def test_repr_pickle_and_deepcopy(path):
    transform = erase(path)
    for i in range(100):  # what is remembered of misses does not travel
        transform(make_image(i))
    assert "\n" not in repr(transform)
    assert repr(transform).startswith(f"PointAdversarialErase('{path}'")
    assert len(pickle.dumps(transform)) < 1024
    for other in (copy.deepcopy(transform), pickle.loads(pickle.dumps(transform))):
        assert repr(other) == repr(transform)
        assert torch.equal(other(make_image()), transform(make_image()))
        assert other.stats()["calls"] == 1


@pytest.mark.parametrize("value", ["point", 0.25, "mean"])
def test_compiles_without_a_graph_break(path, value):
    transform = erase(path, value=value)
    torch._dynamo.reset()
    for dtype in (torch.float32, torch.bfloat16) if value == 0.25 else (torch.uint8, torch.float32):
        image = to_dtype(make_image(), dtype)
        params = transform.make_params([image])
        compiled = torch.compile(lambda x, p=params: transform.transform(x, p), fullgraph=True, backend="eager")
        assert torch.equal(compiled(image), transform.transform(image, params))


PIPED = [lambda e: e, lambda e: v2.Compose([v2.Identity(), e, v2.ToDtype(torch.float32, scale=True)])]
SAMPLES = [lambda x: x, lambda x: (x, 3), lambda x: {"image": x, "label": 3}, lambda x: x[None]]


@pytest.mark.parametrize("build", PIPED, ids=["alone", "in a Compose"])
@pytest.mark.parametrize("sample", SAMPLES, ids=["image", "tuple", "dict", "batch"])
def test_a_look_up_that_hits_breaks_the_graph_cleanly(path, build, sample):
    torch._dynamo.reset()
    transform = erase(path)
    pipeline = build(transform)
    expected, found = pipeline(sample(make_image())), torch.compile(pipeline, backend="eager")(sample(make_image()))
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    assert transform.stats()["hits"] == 2


@pytest.mark.parametrize("compose", [v1.Compose, v2.Compose])
def test_both_kinds_of_compose(path, compose):
    pil, wanted = v2.functional.to_pil_image(make_image()), reference(make_image(), BOX, LEVELS)
    head, tail = compose([v1.PILToTensor(), erase(path)]), compose([erase(path), v1.ToTensor()])
    assert torch.equal(head(pil), wanted)
    assert torch.equal(tail(pil), wanted.float() / 255)
    if compose is v2.Compose:
        out = compose([v2.ToImage(), erase(path), v2.ToDtype(torch.float32, scale=True)])({"a": pil, "label": 3})
        torch.testing.assert_close(out["a"].as_subclass(torch.Tensor), wanted.float() / 255)
        assert out["label"] == 3


def test_p_at_its_ends(path):
    never, always = erase(path, p=0.0), erase(path, p=1.0)
    image, batch = make_image(), make_image()[None]
    wanted = reference(image, BOX, LEVELS)
    for seed in range(50):
        torch.manual_seed(seed)
        assert never(image) is image
        assert never(batch) is batch
        assert torch.equal(always(image), wanted)
    assert never.stats()["erased"] == 0
    assert always.stats()["erased"] == 50


@settings(max_examples=300, deadline=None)
@given(
    shape=st.tuples(st.integers(1, MANY), st.integers(1, MANY)),
    place=st.tuples(st.floats(0, 1, exclude_max=True), st.floats(0, 1, exclude_max=True)),
    size=st.integers(1, 2 * MANY + 3),
    dtype=st.sampled_from(DTYPES),
    batch=st.booleans(),
)
def test_the_patch_has_exactly_its_box(everywhere, shape, place, size, dtype, batch):
    height, width = shape
    x, y = int(place[0] * width), int(place[1] * height)
    image = to_dtype(make_image(1, 3, height, width), dtype)
    sample = image[None] if batch else image
    index = [y * MANY + x] if batch else y * MANY + x
    out = erase(everywhere, size=size, index_getter=lambda _: index)(sample)
    wanted = reference(image, box_around(x, y, size, width, height), to_dtype(LEVELS, dtype))
    assert torch.equal(out[0] if batch else out, wanted)


def test_a_label_tensor_may_come_before_the_image(path):
    label, image = erase(path)(torch.tensor(3), make_image())
    assert label == 3
    assert (image != make_image()).any()
