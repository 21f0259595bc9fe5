"""Decoded images on disk: the same pixels, two files for one set of images, and none that is half of it."""

import json
import multiprocessing
import os
import pickle
import random
import time
from functools import partial
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader, Dataset, Subset

from pasm_aug.core.image_content import content_key, dataset_digest, to_uint8_tensor
from pasm_aug.data.base import ExpressionSubset
from pasm_aug.data.decoded_format import DecodedError, sidecar, write_content
from pasm_aug.data.decoded_store import DecodedDataset, decoded, fingerprint_of
from pasm_aug.data.files import ImageError
from pasm_aug.data.folder import ExpressionFolder
from pasm_aug.data.in_memory import InMemory
from pasm_aug.data.registry import resize_square
from pasm_aug.data.synthetic.dataset import SyntheticExpressions
from tests.shapes import Shapes

quiet = partial(decoded, progress=False)


class Listed(Dataset):
    """Items (image, label) of a list."""

    def __init__(self, images, labels=None):
        self.images, self.given = images, labels or [index % 3 for index in range(len(images))]

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.images[index], self.given[index]


class Slow(Shapes):
    def __getitem__(self, index):
        time.sleep(0.004)
        return super().__getitem__(index)


def files_of(*found):
    """The names of the files of decoded sets, sorted."""
    return sorted(Path(file).name for each in found for file in (each.path, sidecar(each.path)))


def noise(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def photographs(root, count=6, suffix=".jpg", mode="RGB"):
    """Class folders of unequal images."""
    for split, number in (("train", count), ("val", 2)):
        for index in range(number):
            path = root / split / ("anger", "happy")[index % 2] / f"{index}{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            PIL.Image.fromarray(noise((30 + index, 40, 3), index)).convert(mode).save(path)
    return root


def opened(root, size=20, **options):
    return ExpressionFolder(root, "train", transform=partial(resize_square, size=size), **options)


def assert_same_items(found, dataset):
    assert len(found) == len(dataset)
    for (image, label), (source, wanted) in zip(found, (dataset[i] for i in range(len(dataset))), strict=True):
        assert image.dtype == torch.uint8
        assert torch.equal(image, to_uint8_tensor(source))
        assert content_key(image) == content_key(source)
        assert (label, type(label)) == (int(wanted), int)


@pytest.mark.parametrize(("suffix", "mode", "channels"), [(".jpg", "RGB", 3), (".png", "L", 1), (".png", "P", 3)])
@pytest.mark.parametrize("workers", [0, 2])
def test_items_are_those_of_the_data_set(tmp_path, suffix, mode, channels, workers):
    dataset = opened(photographs(tmp_path / "in", 11, suffix, mode))
    before = torch.get_rng_state()
    found = quiet(dataset, tmp_path / "out" / "deeper", name="train images", workers=workers)
    assert torch.equal(torch.get_rng_state(), before)
    assert_same_items(found, dataset)
    assert found[0][0].shape == (channels, 20, 20)
    assert torch.equal(found[-1][0], found[10][0])
    assert found.labels.dtype == np.int64
    np.testing.assert_array_equal(found.labels, dataset.labels)
    memory = InMemory(dataset, progress=False)
    assert (found.classes, found.class_to_idx) == (memory.classes, memory.class_to_idx)
    assert found.source is dataset
    assert dataset_digest(found) == dataset_digest(dataset)
    assert sorted(os.listdir(tmp_path / "out" / "deeper")) == [
        f"train images-{fingerprint_of(dataset)}{suffix}" for suffix in (".json", ".npy")
    ]
    for index in (11, -12):
        with pytest.raises(IndexError, match=f"got {index}"):
            found[index]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.data(),
    count=st.integers(1, 40),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    kind=st.sampled_from(["grey", "colour"]),
)
def test_any_images_and_labels_come_back(tmp_path_factory, data, count, height, width, kind):
    folder, shape = tmp_path_factory.mktemp("d"), (height, width) if kind == "grey" else (height, width, 3)
    labels = data.draw(st.lists(st.integers(-5, 2**40), min_size=count, max_size=count))
    dataset = Listed([PIL.Image.fromarray(noise(shape, index)) for index in range(count)], labels)
    found = quiet(dataset, folder)
    assert_same_items(found, dataset)
    assert found.classes == []
    assert json.loads(sidecar(found.path).read_text())["labels"] == labels
    np.testing.assert_array_equal(np.load(found.path), torch.stack([image for image, _ in found]).numpy())


@pytest.mark.parametrize("first", [0, 3, 9])
@pytest.mark.parametrize("workers", [0, 1])
def test_grey_images_among_colour_ones_get_three_equal_channels(tmp_path, first, workers):
    images = [PIL.Image.fromarray(noise((5, 6), index)) for index in range(10)]
    images[first] = PIL.Image.fromarray(noise((5, 6, 3)))
    found = quiet(Listed(images), tmp_path, workers=workers)
    for index, image in enumerate(images):
        assert torch.equal(found[index][0], to_uint8_tensor(image).expand(3, -1, -1))
        assert content_key(found[index][0]) == content_key(image)
    assert sorted(os.listdir(tmp_path)) == files_of(found)


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("shape", [(5, 7), (6, 6), (6, 5, 3)])
def test_another_size_is_named_by_its_index(tmp_path, workers, shape):
    dataset = Listed([PIL.Image.fromarray(noise(shape if index == 7 else (5, 6))) for index in range(12)])
    with pytest.raises(ValueError, match=f"image 7 is {shape[0]} high and {shape[1]} wide, the first one 5 and 6"):
        quiet(dataset, tmp_path, workers=workers)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("workers", [0, 1])
def test_a_file_that_is_no_image_leaves_nothing(tmp_path, workers):
    dataset = opened(photographs(tmp_path / "in"))
    Path(dataset.paths[5]).write_bytes(b"none")
    with pytest.raises(ImageError, match=dataset.paths[5].name):
        quiet(dataset, tmp_path / "out", workers=workers)
    assert not (tmp_path / "out").exists() or os.listdir(tmp_path / "out") == []


@pytest.mark.parametrize("name", ["", "a/b", ".hidden", "..", "../up"])
def test_names_that_are_no_files(tmp_path, name):
    with pytest.raises(ValueError, match="name must begin"):
        quiet(Shapes(3), tmp_path, name=name)
    with pytest.raises(ValueError, match="at least one image"):
        quiet(Shapes(0), tmp_path)


def test_random_transforms_are_noticed(tmp_path):
    class Restless(Shapes):
        def __getitem__(self, index):
            return torch.randint(256, (1, 4, 4), dtype=torch.uint8), 0

    class Once(Shapes):
        """Changes in the middle of being decoded."""

        readings = 0

        def __getitem__(self, index):
            self.readings += 1
            image, label = super().__getitem__(index)
            return image.rotate(90 * (self.readings > 60)), label

    for dataset in (Restless(30), Once(30)):
        with pytest.raises(ValueError, match="random transforms"):
            quiet(dataset, tmp_path)
        assert os.listdir(tmp_path) == []


def test_a_file_that_is_there_is_not_made_again(tmp_path):
    dataset = opened(photographs(tmp_path / "in", 40))
    first = quiet(dataset, tmp_path)
    before = os.stat(first.path)
    reads = []
    dataset.image = lambda index: reads.append(index) or type(dataset).image(dataset, index)
    again = quiet(dataset, tmp_path)
    after = os.stat(again.path)
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert len(reads) <= 17
    assert_same_items(again, opened(tmp_path / "in"))


def touch(paths):
    status = os.stat(paths[3])
    os.utime(paths[3], ns=(status.st_atime_ns, status.st_mtime_ns + 1))


def grow(paths):
    status = os.stat(paths[3])
    with open(paths[3], "ab") as handle:
        handle.write(b"behind the image's end")
    os.utime(paths[3], ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize("change", [touch, grow])
@pytest.mark.parametrize("subset", [None, ExpressionSubset, Subset])
def test_a_changed_file_makes_another_and_leaves_the_old(tmp_path, change, subset):
    """40 images, so that the one that changes, the fourth, is none of the 16 that are looked at."""

    def part():
        dataset = opened(tmp_path / "in")
        return dataset if subset is None else subset(ExpressionSubset(dataset, np.arange(40)), np.arange(2, 40))

    photographs(tmp_path / "in", 40)
    first = quiet(part(), tmp_path / "out")
    change(opened(tmp_path / "in").paths)
    second = quiet(part(), tmp_path / "out")
    assert first.path != second.path
    assert_same_items(second, part())
    assert sorted(os.listdir(tmp_path / "out")) == files_of(first, second)


def test_what_the_fingerprint_depends_on(tmp_path):
    root = photographs(tmp_path / "in", 40)
    whole = opened(root)
    relabelled = opened(root)
    relabelled.labels[3] = 1 - relabelled.labels[3]
    turned = opened(root)
    turned.transform = lambda image: resize_square(image, 20).rotate(90)
    grey = Listed([PIL.Image.fromarray(noise((4, 4)))] * 3)
    equal = Listed([image.convert("RGB") for image in grey.images])
    others = [relabelled, turned, opened(root, 21), opened(root, target_transform=lambda label: 1 - label)]
    others += [whole.limited(39), SyntheticExpressions(length=40, seed=1), SyntheticExpressions(length=40), grey, equal]
    renamed = opened(root)
    renamed.classes = ["anger", "joy"]
    fingerprints = [fingerprint_of(dataset) for dataset in (whole, *others, renamed)]
    assert len(set(fingerprints)) == len(fingerprints)
    assert fingerprint_of(opened(root)) == fingerprints[0]
    assert fingerprint_of(SyntheticExpressions(length=40)) == fingerprints[7]


@pytest.mark.parametrize("which", ["pixels", "sidecar"])
def test_every_flipped_or_missing_byte_is_refused(tmp_path, which):
    dataset = Shapes(4)
    pixels = Path(quiet(dataset, tmp_path).path)
    path = pixels if which == "pixels" else sidecar(pixels)
    whole = path.read_bytes()
    rng = random.Random(0)
    header = len(whole) - 4 * 400 if which == "pixels" else len(whole)
    places = [*range(header), *rng.choices(range(len(whole)), k=80), len(whole) - 1]
    corrupt = [whole[:place] + bytes([whole[place] ^ 1 << rng.randrange(8)]) + whole[place + 1 :] for place in places]
    corrupt += [whole[:length] for length in (0, 1, 7, 8, 9, header - 1, header // 2, len(whole) - 1)]
    corrupt += [whole + b"x", whole[:-1] + bytes([whole[-1] ^ 255]), b"\xff" * 64, bytes(len(whole))]
    for data in corrupt:
        path.write_bytes(data)
        with pytest.raises(DecodedError, match=path.stem):
            quiet(dataset, tmp_path)
    assert isinstance(DecodedError("x"), ValueError)
    path.write_bytes(whole)
    assert_same_items(quiet(dataset, tmp_path), dataset)


def test_foreign_files_are_refused(tmp_path):
    dataset = Shapes(4)
    path = Path(quiet(dataset, tmp_path).path)
    pixels, about = path.read_bytes(), json.loads(sidecar(path).read_text())

    def refused(match):
        with pytest.raises(DecodedError, match=match):
            quiet(dataset, tmp_path)

    for key, value, match in (
        ("format", "pasm_aug positions", "not of format"),
        ("version", 0, "not of format"),
        ("fingerprint", 5, "lacks a fingerprint"),
        ("classes", "{}", "lacks a fingerprint"),
        ("classes", [1, 2, 3], "lacks a fingerprint"),
        ("labels", None, "lacks a fingerprint"),
        ("labels", [0, 1, 2, 0.5], "lacks a fingerprint"),
        ("labels", [0, 1, 2], r"uint8 \(4, 1, 20, 20\), uint8 \(3, C, H, W\) wanted"),
        ("labels", [0, 1, 2, 1], "checksum"),
        ("checksum", None, "checksum"),
        ("more", "x", "checksum"),
    ):
        sidecar(path).write_text(json.dumps(about | {key: value}))
        refused(match)
    sidecar(path).write_text("[]")
    refused("object")
    sidecar(path).write_text(json.dumps(about))
    array = np.load(path)
    for foreign in (array[:, 0], array.astype(np.int8), array.astype(np.float32), np.asfortranarray(array), array[:3]):
        np.save(path, foreign)
        refused("wanted")
    np.save(path, array[..., ::-1])
    refused("checksum")
    np.save(path, np.array([dataset], dtype=object), allow_pickle=True)
    refused("no file of decoded images")
    other = quiet(Shapes(5), tmp_path / "other").path
    path.write_bytes(Path(other).read_bytes())
    sidecar(path).write_bytes(sidecar(other).read_bytes())
    refused("other images")
    path.write_bytes(pixels)
    sidecar(path).write_text(json.dumps(about))
    assert_same_items(DecodedDataset(path), dataset)


@pytest.mark.parametrize("gone", ["pixels", "sidecar", "both"])
def test_what_is_missing_is_made(tmp_path, gone):
    dataset = Shapes(4)
    path = Path(quiet(dataset, tmp_path).path)
    for file in {"pixels": [path], "sidecar": [sidecar(path)], "both": [path, sidecar(path)]}[gone]:
        file.unlink()
    with pytest.raises(DecodedError, match="cannot be read"):
        DecodedDataset(path)
    assert_same_items(quiet(dataset, tmp_path), dataset)
    assert sorted(os.listdir(tmp_path)) == files_of(quiet(dataset, tmp_path))


def test_the_pixels_are_whole_before_the_sidecar_is_there(tmp_path, monkeypatch):
    moved, replace = [], os.replace
    monkeypatch.setattr(os, "replace", lambda source, target: moved.append(str(target)) or replace(source, target))
    path = quiet(Shapes(4), tmp_path).path
    assert [file for file in moved if not Path(file).name.startswith(".")] == [path, str(sidecar(path))]


def test_a_file_of_the_last_version_is_left_alone(tmp_path):
    dataset = Shapes(4)
    old = tmp_path / f"images-{fingerprint_of(dataset)}.safetensors"
    old.write_bytes(b"as it was")
    assert_same_items(quiet(dataset, tmp_path), dataset)
    assert old.read_bytes() == b"as it was"


def test_a_changed_pixel_is_seen_only_when_verified(tmp_path):
    dataset = Shapes(3)
    path = Path(quiet(dataset, tmp_path).path)
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    assert quiet(dataset, tmp_path, verify=False)[2][0][0, -1, -1] == 0
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DecodedError, match="truncated"):
        quiet(dataset, tmp_path, verify=False)


def test_kill_9_leaves_nothing_that_is_taken_for_whole(tmp_path):
    dataset, rng, whole, cut = Slow(40), random.Random(0), 0, 0
    path = tmp_path / f"images-{fingerprint_of(dataset)}.npy"
    temporary = path.with_name(f".{path.stem}.tmp.npy")
    allowed = {file.name for file in (path, sidecar(path), temporary, sidecar(temporary))} | {f"{path.name}.lock"}
    for turn in range(5):
        if turn % 2:  # else what the last one left lies in the way
            temporary.unlink(missing_ok=True)
        process = multiprocessing.get_context("fork").Process(target=quiet, args=(dataset, tmp_path))
        process.start()
        while process.is_alive() and not temporary.exists():
            time.sleep(0.001)
        time.sleep(0 if turn == 0 else rng.uniform(0, 0.6))
        process.kill()
        process.join()
        cut += temporary.exists()
        assert set(os.listdir(tmp_path)) <= allowed
        if sidecar(path).exists():
            whole += 1
            assert_same_items(DecodedDataset(path), dataset)
            path.unlink()
            sidecar(path).unlink()
    assert cut > 0
    assert_same_items(quiet(dataset, tmp_path), dataset)
    assert sorted(os.listdir(tmp_path)) == [sidecar(path).name, path.name]


def _count(dataset, folder, results):
    reads, original = [], type(dataset).__getitem__
    type(dataset).__getitem__ = lambda self, index: reads.append(index) or original(self, index)
    found = quiet(dataset, folder)
    results.put((len(reads), content_key(found[3][0])))


def test_processes_that_start_together_decode_once(tmp_path):
    context, dataset = multiprocessing.get_context("fork"), Slow(60)
    results = context.Queue()
    processes = [context.Process(target=_count, args=(dataset, tmp_path, results)) for _ in range(3)]
    for process in processes:
        process.start()
    counts, keys = zip(*(results.get(timeout=60) for _ in processes), strict=True)
    for process in processes:
        process.join()
    assert sum(count >= 60 for count in counts) == 1
    assert set(keys) == {content_key(dataset[3][0])}
    assert sorted(os.listdir(tmp_path)) == files_of(DecodedDataset(next(tmp_path.glob("*.npy"))))


def test_what_a_transform_writes_reaches_neither_file_nor_next_epoch(tmp_path):
    dataset = Shapes(3)
    found = quiet(dataset, tmp_path)
    found[1][0].zero_()
    assert_same_items(found, dataset)
    assert_same_items(DecodedDataset(found.path), dataset)


def test_it_pickles_as_its_path(tmp_path):
    dataset = SyntheticExpressions(length=30)
    found = quiet(dataset, tmp_path)
    text = pickle.dumps(found)
    assert len(text) < 1000
    copy = pickle.loads(text)
    assert_same_items(copy, dataset)
    assert (copy.classes, copy.source) == (dataset.classes, None)
    np.testing.assert_array_equal(copy.labels, dataset.labels)
    other = quiet(Shapes(3), tmp_path).path
    for source, target in ((other, found.path), (sidecar(other), sidecar(found.path))):
        Path(target).write_bytes(Path(source).read_bytes())
    with pytest.raises(DecodedError, match="other images"):
        pickle.loads(text)


@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_loaders_with_workers(tmp_path, method):
    dataset = SyntheticExpressions(length=30)
    found = quiet(dataset, tmp_path)
    images, labels = zip(*DataLoader(found, 8, num_workers=2, multiprocessing_context=method), strict=True)
    assert torch.equal(torch.cat(images), torch.stack([image for image, _ in found]))
    assert torch.cat(labels).tolist() == dataset.labels.tolist()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs the memory that Linux tells")
@pytest.mark.parametrize("workers", [0, 1])
def test_memory_does_not_grow_with_the_images(tmp_path, workers, monkeypatch):
    class Large(Dataset):
        """1,500 images of 147 KB: 210 MiB."""

        def __len__(self):
            return 1500

        def __getitem__(self, index):
            return torch.full((3, 224, 224), index % 251, dtype=torch.uint8), 0

    def private():
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024

    def watched(*args):
        *others, items = args
        return write_content(*others, (seen.append(private()) or item for item in items))

    monkeypatch.setattr("pasm_aug.data.decoded_store.write_content", watched)
    seen = [private()]
    found = quiet(Large(), tmp_path, workers=workers)
    assert sum(int(image[0, 0, 0]) for image, _ in found) == sum(index % 251 for index in range(1500))
    assert len(seen) == 1501
    assert max(*seen, private()) - seen[0] < 50


def test_no_space_left_is_said_before_decoding(tmp_path, monkeypatch):
    dataset = Slow(30)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 100}))
    with pytest.raises(OSError, match="bytes are needed for decoded images, 100 are free"):
        quiet(dataset, tmp_path)
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="needs a system that reserves space")
def test_space_is_reserved_before_decoding(tmp_path):
    """Else a disk that fills up meanwhile kills the process, which writes into a map, instead of raising."""
    reserved = []

    class Watching(Shapes):
        def __getitem__(self, index):
            reserved.extend(os.stat(file).st_blocks * 512 for file in tmp_path.glob(".*.tmp.npy"))
            return torch.full((3, 200, 200), index, dtype=torch.uint8), 0

    quiet(Watching(30), tmp_path)
    assert min(reserved) >= 30 * 3 * 200 * 200
