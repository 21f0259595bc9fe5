from types import SimpleNamespace

import numpy as np
import pytest
from torch.utils.data import IterableDataset, Subset

from pasm_aug import IndexedDataset, NoisyLabels, PointSearch, evaluate, evaluate_occlusion, mine_positions, train
from pasm_aug.core.image_content import dataset_digest
from pasm_aug.core.items import check_map_style, class_names, unpacked
from pasm_aug.data import InMemory
from pasm_aug.data.origin import labels_of
from tests.shapes import Shapes, own_net

QUIET = {"device": "cpu", "progress": False}


class Records:
    """The same images and labels as dicts, described as Hugging Face describes them."""

    features = {"image": None, "label": SimpleNamespace(names=list(Shapes.classes))}  # noqa: RUF012

    def __init__(self, length=30):
        self.shapes = Shapes(length)

    def __len__(self):
        return len(self.shapes)

    def __getitem__(self, index):
        image, label = self.shapes[index]
        return {"label": label, "file": f"{index}.png", "image": image}


class Stream(IterableDataset):
    def __iter__(self):
        return iter(Shapes())


def test_an_item_is_a_tuple_or_a_dict_that_holds_image_and_label():
    assert unpacked(("image", 3, "index")) == ("image", 3, "index")
    assert unpacked({"label": 3, "more": 0, "image": "image"}) == ("image", 3)
    with pytest.raises(ValueError, match=r"got one of 'img', 'label': rename them .*rename_columns"):
        unpacked({"img": 1, "label": 2})


def test_classes_are_told_by_an_attribute_or_by_the_description_of_the_label():
    assert class_names(Shapes()) == ["square", "cross", "ring"] == class_names(Records())
    assert class_names([("image", 0)]) == [] == class_names(SimpleNamespace(features={"label": None}))


def test_records_are_mined_trained_on_and_scored_as_pairs_are(tmp_path):
    found = []
    for data in (Shapes(30), Records()):
        network, search = own_net(), PointSearch(budget=8)
        cache = mine_positions(network, data, tmp_path / type(data).__name__, search=search, **QUIET)
        history = train(network, data, val=data, epochs=1, **QUIET).history
        history[0].pop("seconds")
        windows = evaluate_occlusion(network, data, sizes=(0.3,), fills=("black",), stride=5, device="cpu")
        found.append((cache.metadata["dataset"], cache.to_numpy()["xy"].tolist(), history, windows.asdict()))
        assert evaluate(network, data, device="cpu").count == 30
    assert found[0] == found[1]


def test_whatever_reads_pairs_reads_records():
    records, pairs = Records(), Shapes(30)
    assert dataset_digest(records) == dataset_digest(pairs)
    assert IndexedDataset(records)[4][1] == pairs[4][1]
    held = InMemory(records, progress=False)
    assert held.classes == list(pairs.classes)
    np.testing.assert_array_equal(held.labels, pairs.labels)
    np.testing.assert_array_equal(labels_of(Subset(records, [5, 3])), pairs.labels[[5, 3]])
    noisy = NoisyLabels(records, 0.0)
    assert (noisy.classes, noisy[7]) == (list(pairs.classes), pairs[7])


def test_a_stream_is_refused_with_a_way_out():
    check_map_style([])
    for call in (
        lambda: mine_positions(own_net(), Stream(), "unused", **QUIET),
        lambda: train(own_net(), Stream(), **QUIET),
        lambda: evaluate(own_net(), Stream(), device="cpu"),
    ):
        with pytest.raises(TypeError, match=r"got Stream: pass list\(dataset\)"):
            call()
