"""Labels made wrong on purpose: how many, which ones, and the same ones wherever an image stands."""

import pickle
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import DataLoader, Dataset, Subset

from pasm_aug import NoisyLabels, build_model
from pasm_aug.cache.position_cache import PositionCache
from pasm_aug.core.image_content import dataset_digest
from pasm_aug.data.decoded_store import decoded
from pasm_aug.data.fer2013 import FER2013
from pasm_aug.data.folder import ExpressionFolder
from pasm_aug.data.in_memory import InMemory
from pasm_aug.data.noisy_labels import KINDS, flip, transit
from pasm_aug.data.origin import labels_of
from pasm_aug.data.overlap import shared_images
from pasm_aug.data.synthetic.dataset import SyntheticExpressions
from pasm_aug.report.regions import region_shares
from pasm_aug.search.mine import mine_positions
from pasm_aug.training.trainer import train
from tests.shapes import Shapes, own_net


class Labels(Dataset):
    """Labels whose images must not be read."""

    def __init__(self, labels, classes):
        self.labels, self.classes = np.asarray(labels), [f"class {k}" for k in range(classes)]

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        raise AssertionError("an image was read")


kinds, rates, seeds = st.sampled_from(KINDS), st.floats(0, 1), st.integers(0, 2**62)
counts = st.integers(2, 9)


@pytest.mark.parametrize("classes", [2, 7, 10])
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("kind", KINDS)
def test_the_share_of_wrong_labels_is_what_the_convention_says(kind, rate, classes):
    truth = np.arange(20_000) % classes
    noisy = NoisyLabels(Labels(truth, classes), rate, kind=kind, seed=1)
    share = rate * (classes - 1) / classes if kind == "uniform" else rate
    assert noisy.flipped.mean() == pytest.approx(share, abs=5 * np.sqrt(share * (1 - share) / len(truth)))
    steps = (noisy.labels - truth)[noisy.flipped] % classes
    found = np.bincount(steps, minlength=classes)
    assert found[0] == 0  # never the own class
    if kind == "pair":
        assert (steps == 1).all()
    else:  # each other class as likely: chi-square beyond any doubt
        expected = len(steps) / (classes - 1)
        assert ((found[1:] - expected) ** 2 / expected).sum() < classes + 5 * np.sqrt(2 * classes)


@given(kinds, rates, counts, st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_flipping_is_what_a_loop_does(kind, rate, classes, length, seed):
    rng = np.random.default_rng(seed)
    labels, draws = rng.integers(0, classes, length), rng.random((length, 2))
    wanted = []
    for label, (chance, which) in zip(labels.tolist(), draws, strict=True):
        others = [(label + step) % classes for step in range(1, classes)]
        new = {"pair": others[0], "uniform": int(which * classes), "symmetric": others[int(which * (classes - 1))]}
        wanted.append(new[kind] if chance < rate else label)
    assert flip(labels, draws, rate, kind, classes).tolist() == wanted


@given(counts, st.data(), st.integers(0, 2**32 - 1))
def test_a_matrix_is_followed_and_what_it_excludes_never_happens(classes, data, seed):
    weight = st.lists(st.integers(0, 5), min_size=classes, max_size=classes).filter(any)
    weights = np.array([data.draw(weight) for _ in range(classes)])
    matrix = weights / weights.sum(1, keepdims=True)
    rng = np.random.default_rng(seed)
    labels, draws = rng.integers(0, classes, 99), np.append(rng.random(97), [0.0, 1 - 2**-24])
    new = transit(labels, draws, matrix, classes)
    assert (matrix[labels, new] > 0).all()
    for label, draw, found in zip(labels, draws, new, strict=True):
        assert matrix[label, :found].sum() - 1e-9 <= draw <= matrix[label, : found + 1].sum() + 1e-9


def test_a_matrix_by_itself():
    truth = np.arange(9000) % 3
    dataset = Labels(truth, 3)
    assert not NoisyLabels(dataset, matrix=np.eye(3)).flipped.any()
    turned = NoisyLabels(dataset, matrix=[[0, 1, 0], [0, 0, 1], [1, 0, 0]])
    assert turned.labels.tolist() == NoisyLabels(dataset, 1, kind="pair").labels.tolist() == ((truth + 1) % 3).tolist()
    wanted = np.array([[0.7, 0.2, 0.1], [0, 1, 0], [0.25, 0.25, 0.5]])
    labels = NoisyLabels(dataset, matrix=wanted, seed=3).labels
    found = np.array([np.bincount(labels[truth == k], minlength=3) for k in range(3)]) / 3000
    assert found == pytest.approx(wanted, abs=5 * np.sqrt(0.25 / 3000))


@given(kinds, rates, counts, seeds, st.integers(1, 80), st.data())
def test_a_part_of_the_data_has_the_labels_that_it_has_in_the_whole(kind, rate, classes, seed, length, data):
    labels = data.draw(st.lists(st.integers(0, classes - 1), min_size=length, max_size=length))
    dataset = Labels(labels, classes)
    whole = NoisyLabels(dataset, rate, kind=kind, seed=seed)
    few = data.draw(st.integers(1, length))
    assert NoisyLabels(Labels(labels[:few], classes), rate, kind=kind, seed=seed).labels.tolist() == list(
        whole.labels[:few]
    )
    chosen = data.draw(st.lists(st.integers(-length, length - 1), min_size=1))
    part = Subset(dataset, chosen)
    part.classes = dataset.classes
    noisy = NoisyLabels(part, rate, kind=kind, seed=seed)
    assert noisy.labels.tolist() == labels_of(Subset(whole, chosen)).tolist()
    assert noisy.true_labels.tolist() == [labels[index] for index in chosen]


@given(st.sampled_from(["symmetric", "pair"]), st.tuples(rates, rates), counts, seeds)
def test_what_is_wrong_at_a_low_rate_is_as_wrong_at_a_higher_one(kind, pair, classes, seed):
    low, high = (NoisyLabels(Labels(np.arange(50) % classes, classes), r, kind=kind, seed=seed) for r in sorted(pair))
    assert (low.labels == high.labels)[low.flipped].all()
    assert not (low.flipped & ~high.flipped).any()


@given(kinds, counts, seeds)
def test_rates_of_nothing_and_of_all(kind, classes, seed):
    dataset = Labels(np.arange(40) % classes, classes)
    assert not NoisyLabels(dataset, 0, kind=kind, seed=seed).flipped.any()
    assert NoisyLabels(dataset, 1, kind=kind, seed=seed).flipped.all() or kind == "uniform"


def test_seeds_differ_and_one_seed_is_always_the_same():
    dataset = Labels(np.arange(400) % 7, 7)
    found = [NoisyLabels(dataset, 0.3, seed=seed).labels for seed in range(5)]
    # What one image's neighbour or another seed got says nothing of it: about 30 % · 30 % are wrong in both.
    for one, other in pairwise(found):
        assert 0.02 < ((one != dataset.labels) & (other != dataset.labels)).mean() < 0.18
    assert np.array_equal(found[2], NoisyLabels(dataset, 0.3, seed=2).labels)
    # Written down once: flips must stay the same from version to version, for results name them by their seed.
    assert NoisyLabels(Labels(np.zeros(12), 7), 0.5).labels.tolist() == [0, 2, 0, 0, 5, 0, 1, 0, 1, 4, 0, 0]


def folder_of_shapes(root, data):
    for index, (image, label) in enumerate(data):
        folder = root / "train" / data.classes[label]
        folder.mkdir(parents=True, exist_ok=True)
        image.save(folder / f"{index:03}.png")
    return ExpressionFolder(root)


def csv_of_faces(path, count=70):
    rng = np.random.default_rng(0)
    rows = [f"{i % 7},{' '.join(map(str, rng.integers(0, 256, 48 * 48)))},Training" for i in range(count)]
    path.write_text("\n".join(["emotion,pixels,Usage", *rows, ""]))
    return FER2013(path)


@pytest.mark.filterwarnings("ignore:FER2013:UserWarning")
@pytest.mark.parametrize("kind", ["faces", "folder", "fer2013"])
def test_data_sets_of_this_package_and_their_parts(kind, tmp_path):
    if kind == "folder":
        dataset = folder_of_shapes(tmp_path, Shapes(60))
    else:
        dataset = SyntheticExpressions(length=60) if kind == "faces" else csv_of_faces(tmp_path / "fer2013.csv")
    noisy = NoisyLabels(dataset, 0.4)
    limited = dataset.limited(20)
    places = getattr(limited, "indices", np.arange(20))
    held = InMemory(limited, progress=False)
    for part in (limited, held, decoded(limited, tmp_path / "decoded", progress=False)):
        found = NoisyLabels(part, 0.4)
        assert found.labels.tolist() == noisy.labels[places].tolist()
        assert found.true_labels.tolist() == limited.labels.tolist()
        assert (found.classes, found.class_to_idx) == (dataset.classes, dataset.class_to_idx)
        assert found.source is limited
        assert found.paths == (None if kind != "folder" else [dataset.paths[index] for index in places])
        assert [label for _, label in found] == found.labels.tolist()
        again = pickle.loads(pickle.dumps(found))
        assert np.array_equal(again.labels, found.labels)
        assert np.array_equal(np.asarray(again[3][0]), np.asarray(found[3][0]))
    assert len(shared_images(NoisyLabels(held, 1), dataset)) == 20  # images are what they were
    assert dataset_digest(NoisyLabels(held, 1)) != dataset_digest(held)
    assert dataset_digest(NoisyLabels(held, 0)) == dataset_digest(held)
    kept = decoded(NoisyLabels(limited, 0.4), tmp_path / "noisy", progress=False)
    assert kept.labels.tolist() == noisy.labels[places].tolist()
    batches = [labels for _, labels in DataLoader(NoisyLabels(held, 0.4), 7, num_workers=1)]
    assert torch.cat(batches).tolist() == noisy.labels[places].tolist()


def test_labels_are_as_the_items_have_them():
    for dataset in (SyntheticExpressions(length=14, target_transform=lambda label: 6 - label), [("x", 2), ("y", 0)]):
        noisy = NoisyLabels(dataset, 0)
        assert [label for _, label in dataset] == noisy.true_labels.tolist() == [label for _, label in noisy]
        assert labels_of(noisy).tolist() == noisy.labels.tolist()
    assert NoisyLabels([("x", 2), ("y", 0)], 0).classes == []


def test_mining_training_and_regions_take_it(tmp_path):
    faces = InMemory(SyntheticExpressions(length=14), progress=False)
    noisy = NoisyLabels(faces, 0.5)
    cache = mine_positions(build_model("small", 7), noisy, tmp_path / "points", progress=False)
    assert len(PositionCache.open(tmp_path / "points")) == 14
    assert region_shares(noisy, cache) == region_shares(faces, cache)
    shapes = NoisyLabels(Shapes(30), 1, kind="pair")
    options = {"epochs": 30, "lr": 0.05, "batch_size": 15, "device": "cpu", "progress": False}
    network = train(own_net(), shapes, sampling="balanced", **options).model
    images = torch.from_numpy(Shapes(30).images)[:, None]
    right = (network(network.preprocess(images)).argmax(1).numpy() == shapes.labels).mean()
    assert right > 0.9  # it has learned what it was told


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        ([0, 1], {"rate": 1.5}, r"rate must be a share in \[0, 1\], got 1.5"),
        ([0, 1], {"rate": float("nan")}, "rate must be a share"),
        ([0, 1], {"rate": -0.1}, "rate must be a share"),
        ([0, 1], {}, "rate must be given where there is neither matrix nor file, got None"),
        ([0, 1], {"rate": 0.1, "kind": "asymmetric"}, "kind must be one of symmetric, uniform, pair, got 'asymmetric'"),
        ([0, 3], {"rate": 0.1}, r"labels must lie in 0 .. 2, got 3 \(item 1\)"),
        ([-1, 0], {"rate": 0.1}, r"labels must lie in 0 .. 2, got -1 \(item 0\)"),
        ([], {"rate": 0.1}, "dataset must hold at least one image, got none"),
        ([0], {"matrix": [[1, 0], [0, 1]]}, r"matrix must have shape \(3, 3\), a row a class, got \(2, 2\)"),
        ([0], {"matrix": [[1, 0, 0], [0.5, 0, 0], [0, 0, 1]]}, r"rows sum to 1, got \[0.5, 0.0, 0.0\] in row 1"),
        ([0], {"matrix": [[1, 0, 0], [0, 1, 0], [-1, 1, 1]]}, r"got \[-1.0, 1.0, 1.0\] in row 2"),
        ([0], {"matrix": np.full((3, 3), np.nan)}, "in row 0"),
        ([0], {"matrix": np.eye(3), "file": "list.csv"}, "matrix and file both tell the labels"),
        ([0, 1], {"rate": 0.1, "seed": 2**70}, "a seed or key must fit into 64 bits"),
    ],
)
def test_what_cannot_be_is_named(labels, options, message):
    with pytest.raises(ValueError, match=message):
        NoisyLabels(Labels(np.array(labels, dtype=np.int64), 3), **options)


def test_one_class_has_no_other():
    with pytest.raises(ValueError, match="label noise needs two or more classes, got 1"):
        NoisyLabels(Labels([0, 0], 1), 0.3)
    with pytest.raises(TypeError, match="rate must be a number, got 'a lot'"):
        NoisyLabels(Labels([0, 1], 2), "a lot")
    with pytest.raises(TypeError, match="dataset must be a data set, got a path"):
        NoisyLabels("faces/train", 0.3)
    with pytest.raises(IndexError):
        NoisyLabels([(Image.new("L", (4, 4)), 0), (Image.new("L", (4, 4)), 1)], 0.3)[2]


def test_it_says_how_many_are_wrong():
    assert repr(NoisyLabels(Labels(np.arange(50) % 5, 5), 1)) == "NoisyLabels(50 images, 50 labels flipped)"
