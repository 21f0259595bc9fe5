"""A batch is so many images, each with its own square: equal to erasing them one by one."""

import pytest
import torch
from torch.utils.data import DataLoader, default_collate
from torchvision import tv_tensors
from torchvision.transforms import v2

from pasm_aug.core.image_content import dataset_digest
from pasm_aug.transforms.indexed_dataset import IndexedDataset, SampleIndex
from pasm_aug.transforms.miss_report import CacheMiss
from tests.images import DTYPES, SIDE, Images, box_around, erase, make_image, reference, to_dtype, write

COUNT = 6
PLACES = [(4 * i, 23 - 3 * i) for i in range(COUNT)]
COLOURS = [(40 * i, 255 - i, 7 * i) for i in range(COUNT)]
BATCH = torch.stack([make_image(i) for i in range(COUNT)])
OPTIONS = [{}, {"value": "mean"}, {"value": 1}, {"value": (0.25, 0.5, 1)}, {"size_range": (1, 11)}, {"p": 0.5}]
OPTIONS += [{"size_range": (0.05, 1.0), "value": "mean"}]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    xy, colours = [[place] for place in PLACES], [[colour] for colour in COLOURS]
    digest = dataset_digest(Images(COUNT))
    return write(tmp_path_factory.mktemp("caches") / "c", list(BATCH), xy=xy, colour=colours, digest=digest)


def square(i):
    return box_around(*PLACES[i], 5, SIDE, SIDE)


def erased(*which):
    return torch.stack([reference(BATCH[i], square(i), COLOURS[i]) for i in which])


def one_by_one(transform, batch, monkeypatch, names=None):
    """The batch, and its images singly with the rows of the same uniform numbers; ``names`` are sample indices."""
    torch.manual_seed(3)
    together = transform(batch) if names is None else transform(batch, default_collate(names))[0]
    torch.manual_seed(3)
    rows = iter(torch.rand(len(batch), 9))
    with monkeypatch.context() as patched:
        patched.setattr(
            torch, "rand", lambda *shape, **_: next(rows) if shape == (9,) else pytest.fail(f"drew {shape}")
        )
        if names is None:
            return together, torch.stack([transform(one) for one in batch])
        return together, torch.stack([transform(*pair)[0] for pair in zip(batch, names, strict=True)])


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_batch_equals_its_images(path, options, dtype, monkeypatch):
    batch = to_dtype(BATCH.clone(), dtype)
    batch[2] = batch[2] // 2 if dtype in DTYPES[:2] else batch[2] / 2  # a miss
    transform = erase(path, **options)
    names = [SampleIndex([COUNT - 1 - i, dataset_digest(Images(COUNT))]) for i in range(COUNT)]
    for layout in (batch, batch.to(memory_format=torch.channels_last), batch.mT.contiguous().mT):
        for together, singly in (one_by_one(transform, layout, monkeypatch, given) for given in (None, names)):
            assert torch.equal(together, singly)
            assert together.stride() == layout.stride()
            changed = (together != layout).flatten(1).any(1).tolist()
            assert any(changed)
            assert all(changed) is (options != {"p": 0.5})


@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("value", ["point", "mean"])
def test_channels_and_several_points(tmp_path, grey, channels, value, monkeypatch):
    """Grey and coloured colours, with and without alpha, three points each, one sample that was not mined."""
    batch = torch.stack([make_image(i, 1).repeat(channels, 1, 1) for i in range(4)])
    xy, colour = [[(2, 2), (20, 3), (4, 19)]] * 3, [[(9,)] * 3] * 3 if grey else [[(9, 9, 9)] * 3] * 3
    path = write(tmp_path / "c", list(batch[:3]), xy=xy, colour=colour, digest=1, samples=list(batch))
    transform, names = erase(path, value=value), [SampleIndex([i, 1]) for i in range(4)]
    for given in (None, names):
        together, singly = one_by_one(transform, batch, monkeypatch, given)
        assert torch.equal(together, singly)
        assert (together != batch).flatten(1).any(1).all()
    assert transform.stats() == {"calls": 16, "erased": 16, "hits": 12, "misses": 4, "skipped": 0}


@pytest.mark.parametrize("kind", [torch.Tensor, tv_tensors.Image])
def test_each_image_has_its_own_box_by_content(path, kind):
    order = [3, 0, 5, 5, 1]
    batch = BATCH[order].as_subclass(kind)
    out = erase(path, on_miss="raise")(batch)
    assert type(out) is kind
    assert torch.equal(out.as_subclass(torch.Tensor), erased(*order))
    assert torch.equal(batch.as_subclass(torch.Tensor), BATCH[order])
    writing = erase(path, on_miss="raise", inplace=True)
    assert writing(batch) is batch
    assert torch.equal(batch.as_subclass(torch.Tensor), erased(*order))
    assert writing.stats() == {"calls": 5, "erased": 5, "hits": 5, "misses": 0, "skipped": 0}


@pytest.mark.parametrize("value", ["random", "point", "mean", 0.5])
def test_random_noise_lies_in_each_box(path, value):
    for dtype in DTYPES:
        batch = to_dtype(BATCH, dtype)
        torch.manual_seed(1)
        out = erase(path, value=value, size_range=(3, 7))(batch)
        torch.manual_seed(1)
        boxes = erase(path, value=value, size_range=(3, 7)).make_params([batch])["boxes"]
        for one, clean, box in zip(out, batch, boxes, strict=True):
            left, top, right, bottom = box
            patch = one[:, top:bottom, left:right]
            assert (patch.unique().numel() > 6) is (value == "random")
            one[:, top:bottom, left:right] = clean[:, top:bottom, left:right]
            assert torch.equal(one, clean)
    assert not torch.equal(*(erase(path, value="random")(BATCH[[0, 0]])))  # its own noise for each


def test_p_leaves_some_as_they_are(path):
    torch.manual_seed(0)
    transform = erase(path, p=0.5)
    left = sum((transform(BATCH) == BATCH).flatten(1).all(1).sum().item() for _ in range(50))
    assert 110 < left < 190  # of 300
    assert transform.stats()["erased"] == 300 - left


def test_sample_indices_in_a_batch(path):
    digest = dataset_digest(Images(COUNT))
    transform = erase(path, on_miss="raise")
    images, labels, indices = default_collate([(BATCH[i] // 2, i, SampleIndex([i, digest])) for i in (4, 1)])
    out, same, also = transform(images, labels, indices)
    assert same is labels
    assert also is indices
    wanted = [reference(BATCH[i] // 2, square(i), COLOURS[i]) for i in (4, 1)]
    assert torch.equal(out, torch.stack(wanted))
    assert torch.equal(transform({"image": images, "index": indices})["image"], out)
    for bad in (default_collate([SampleIndex([4, digest])]), SampleIndex([4, digest])):
        with pytest.raises(ValueError, match=r"2 images needs a SampleIndex \(2, 2\)"):
            transform(images, labels, bad)
    with pytest.raises(ValueError, match=f"digest {digest + 1} is of another data set"):
        transform(images, labels, default_collate([SampleIndex([0, digest]), SampleIndex([1, digest + 1])]))


def test_an_index_that_is_not_for_this_image_or_data_set_is_refused(path):
    digest = dataset_digest(Images(COUNT))
    transform, images = erase(path, on_miss="raise"), BATCH[:2]
    for count in (1, 2, 3):
        several = default_collate([SampleIndex([i, digest]) for i in range(count)])
        with pytest.raises(ValueError, match=r"one image needs a SampleIndex \(2,\)"):
            transform(images[0], 0, several)
    for outside in (-1, COUNT, -COUNT, 2**40):
        pair = [SampleIndex([1, digest]), SampleIndex([outside, digest])]
        with pytest.raises(ValueError, match=f"index {outside} is outside the 6 samples"):
            transform(images, torch.arange(2), default_collate(pair))
        with pytest.raises(ValueError, match=f"index {outside} is outside the 6 samples"):
            transform(images[0], 0, pair[1])


def test_a_batch_of_another_size_than_mined_is_refused(path):
    digest = dataset_digest(Images(COUNT))
    names = default_collate([SampleIndex([i, digest]) for i in range(COUNT)])
    for width, height, point in ((20, 24, r"\(20, 8\)"), (24, 15, r"\(0, 23\)")):
        small = BATCH[..., :height, :width].contiguous()
        with pytest.raises(ValueError, match=f"point {point} .* lies outside this image of {width}x{height}"):
            erase(path)(small, torch.arange(COUNT), names)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("where", ["loop", "collate_fn"])
def test_from_a_loader(path, workers, where):
    transform = erase(path, on_miss="raise")
    base = IndexedDataset(Images(COUNT, v2.RandomInvert(1.0)), digest=dataset_digest(Images(COUNT)))
    collate = {"loop": None, "collate_fn": lambda batch: transform(*default_collate(batch))}[where]
    loader = DataLoader(base, batch_size=4, num_workers=workers, collate_fn=collate)
    batches = [transform(*batch) if where == "loop" else batch for batch in loader]
    images = torch.cat([batch[0] for batch in batches])
    wanted = [reference(255 - BATCH[i], square(i), COLOURS[i]) for i in range(COUNT)]
    assert torch.equal(images, torch.stack(wanted))
    assert [i.tolist() for batch in batches for i in batch[1]] == list(range(COUNT))
    assert all(type(batch[2]) is SampleIndex for batch in batches)
    assert transform.stats()["hits"] == COUNT


def test_dict_entries_and_getters(path):
    transform = erase(path, on_miss="raise")
    for index in (torch.tensor([2, 0]), [2, 0], BATCH.new_tensor([2, 0]).numpy()):
        assert torch.equal(transform({"image": BATCH[[2, 0]], "index": index})["image"], erased(2, 0))
    with pytest.raises(ValueError, match="index 0 names another image"):
        transform({"image": BATCH[[2, 0]], "index": [0, 2]})
    trusting = erase(path, on_miss="raise", index_getter=lambda sample: sample[1])
    out, _ = trusting(BATCH[[0, 0]], torch.tensor([5, 3]))
    wanted = [reference(BATCH[0], square(i), COLOURS[i]) for i in (5, 3)]
    assert torch.equal(out, torch.stack(wanted))
    for bad in (torch.tensor([1]), [1, 2, 3], 4, torch.tensor([0.0, 1.0]), BATCH.new_zeros(2, 1), [0, "1"]):
        with pytest.raises(ValueError, match="must be 2 integers"):
            transform({"image": BATCH[:2], "index": bad})
    with pytest.raises(ValueError, match="outside the 6 samples"):
        trusting(BATCH[:2], [0, COUNT])


def test_labels_tell_duplicates_apart(tmp_path):
    path = write(tmp_path / "c", [make_image(), make_image()], labels=[4, 2], xy=[[[5, 9]], [[15, 15]]])
    transform = erase(path, size=1)
    batch = make_image().expand(3, -1, -1, -1)
    as_dict = {"image": batch, "label": [2, 4, 2]}
    for out in (transform(batch, torch.tensor([2, 4, 2]))[0], transform(as_dict)["image"]):
        places = [tuple(place[1:]) for place in (out != batch).any(1).nonzero().tolist()]
        assert places == [(15, 15), (9, 5), (15, 15)]
    assert (transform(batch, torch.rand(3, 2))[0] != batch).any(1)[:, 9, 5].all()  # soft labels: the lowest index


def test_counts_and_shapes_that_disagree(path):
    transform = erase(path)
    params = transform.make_params([BATCH])
    assert len(params["boxes"]) == len(params["colours"]) == COUNT
    with pytest.raises(ValueError, match=r"for 6 images, the batch has shape \(5, 3, 24, 24\)"):
        transform.transform(BATCH[:5], params)
    with pytest.raises(ValueError, match="one number of images"):
        transform(tv_tensors.Image(BATCH), tv_tensors.Image(BATCH[:5]))
    for wrong in (BATCH, BATCH[0]):
        with pytest.raises(ValueError, match="1 or 3"):
            erase(path, value=(1, 2))(wrong)
    with pytest.raises(CacheMiss):
        erase(path, on_miss="raise")(BATCH // 2)
    skipping = erase(path, on_miss="skip")
    out = skipping(torch.stack([BATCH[0], BATCH[1] // 2]))
    assert torch.equal(out, torch.stack([erased(0)[0], BATCH[1] // 2]))
    assert skipping.stats() == {"calls": 2, "erased": 1, "hits": 1, "misses": 1, "skipped": 1}


def test_a_video_has_one_box(path):
    clips = BATCH[:, None].repeat(1, 4, 1, 1, 1)
    clips[:, 1:] //= 3  # only the first frame was mined
    out = erase(path, on_miss="raise")(tv_tensors.Video(clips))
    assert type(out) is tv_tensors.Video
    wanted = [reference(clips[i], square(i), COLOURS[i]) for i in range(COUNT)]
    assert torch.equal(out.as_subclass(torch.Tensor), torch.stack(wanted))
    single = erase(path, on_miss="raise")(tv_tensors.Video(clips[2]))
    assert torch.equal(single.as_subclass(torch.Tensor), wanted[2])
    noise = erase(path, value="random")(tv_tensors.Video(clips)).as_subclass(torch.Tensor)
    left, top, right, bottom = square(2)
    assert (noise[2] != clips[2])[:, :, top:bottom, left:right].any(1).float().mean() > 0.95
    with pytest.raises(CacheMiss):
        erase(path, on_miss="raise")(clips)  # so many images, if it is not said to be a video


@pytest.mark.gpu
@pytest.mark.parametrize("options", [*OPTIONS, {"value": "random"}, {"inplace": True}], ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_on_a_gpu_as_on_a_cpu(path, options, dtype):
    for cpu in (to_dtype(BATCH, dtype), to_dtype(BATCH[3], dtype)):
        results = []
        for image in (cpu.clone(), cpu.cuda()):
            torch.manual_seed(2)
            out = erase(path, **options)(image)
            assert out.device == image.device
            assert (out is image) is ("inplace" in options)
            results.append(out.cpu())
        torch.testing.assert_close(*results)  # a mean's sum runs in another order
        assert options.get("value") == "mean" or torch.equal(*results)


@pytest.mark.parametrize("value", ["point", "mean", "random", (1, 2, 3)])
def test_a_batch_compiles_without_a_graph_break(path, value):
    transform = erase(path, value=value)
    params = transform.make_params([BATCH])
    torch._dynamo.reset()
    compiled = torch.compile(lambda x: transform.transform(x, params), fullgraph=True, backend="eager")
    torch.manual_seed(0)
    wanted = transform.transform(BATCH, params)
    torch.manual_seed(0)
    assert torch.equal(compiled(BATCH), wanted)
