import re

import numpy as np
import torch
import yaml

from pasm_aug.models import build_model, save_model
from pasm_aug.rounds.model_card import model_card
from pasm_aug.rounds.results import RoundResult
from pasm_aug.training.evaluation import Metrics

CONFUSION = [[50, 3, 0], [9, 41, 2], [0, 1, 19]]
INFO = {
    "architecture": "small",
    "classes": ["neutral", "anger", "happiness"],
    "mean": [0.5, 0.5, 0.5],
    "std": [0.25, 0.25, 0.25],
    "image_size": 48,
    "channels": 1,
    "weights": "none",
    "data": {"name": "fer2013", "length": 125, "digest": 123456789},
    "parent": "somewhere/round-0",
    "initial": "refine",
    "epoch": 6,
}
OPTIONS = {
    "augment": "point",
    "loss": {"alpha": 1.0, "beta": 0.1, "label_smoothing": 0.0, "class_weights": None},
    "training": {"epochs": 6, "lr": 0.01},
    "teacher_training": {},
    "data": {"train": 1},
}


def metrics(confusion):
    counts = np.array(confusion)
    recall = [int(counts[i, i]) / int(row.sum()) if row.sum() else None for i, row in enumerate(counts)]
    return Metrics(float(counts.trace() / counts.sum()), 0.5, recall, confusion, int(counts.sum()))


def student(**changes):
    options = {"test": metrics(CONFUSION), "gain": 0.012, "gain_error": 0.034, "gain_over": 0}
    options |= {"seconds": {"mine": 12.0, "train": 34.0}, "queries": 4000, "erased_share": 0.02}
    options["train"] = options["val"] = metrics([[9, 1, 0], [0, 8, 2], [0, 0, 7]])
    return RoundResult("point", 1, "out/round-1", 0, True, **(options | changes))


def front_matter(card):
    return yaml.safe_load(card.split("---\n")[1])


def test_the_head_is_what_the_hub_reads():
    head = front_matter(model_card(INFO, student()))
    assert head["pipeline_tag"] == "image-classification"
    assert "license" not in head
    (model,) = head["model-index"]
    (measured,) = model["results"]
    assert measured["dataset"] == {"name": "fer2013", "type": "fer2013", "split": "test"}
    assert measured["metrics"][0] == {"type": "accuracy", "name": "accuracy", "value": 0.88}
    assert {"accuracy", "recall"} == set(head["metrics"])


def test_it_tells_network_data_training_scores_and_mistakes():
    card = model_card(INFO, student(), options=OPTIONS)
    for told in (
        "`small`",
        "neutral, anger, happiness",
        "grey images of 48×48 pixels",
        "mean 0.500, 0.500, 0.500",
        "erased at the mined point",
        "its teacher (round 0)",
        "the best so far: +1.2 points over round 0 (standard error 3.4)",
        "123456789",
        "alpha 1.0, beta 0.1, label smoothing 0.0",
        "epochs 6, lr 0.01",
        "4,000",
        "| test | 125 | 88.0% | 81.1 to 92.6% | 89.4% |",
        "| happiness | 20 | 95.0% |",
        "- anger taken for neutral: 9 of 52 (17%)",
    ):
        assert told in card, told
    assert card.index("anger taken for neutral") < card.index("neutral taken for anger")
    assert "happiness taken for neutral" not in card
    assert "None" not in card


def test_before_the_test_split_is_scored_it_says_so():
    card = model_card(INFO, student(test=None))
    assert "The test split has not been scored" in card
    assert "| test |" not in card
    assert front_matter(card)["model-index"][0]["results"][0]["dataset"]["split"] == "validation"


def test_faces_are_warned_of_and_other_images_are_not():
    assert "contested" in model_card(INFO, student())
    assert "facial-expression-recognition" in front_matter(model_card(INFO, student()))["tags"]
    other = model_card(INFO | {"classes": ["square", "cross", "ring"]}, student())
    assert "contested" not in other
    assert "facial" not in other


def test_a_network_without_mistakes_and_a_class_without_images():
    scores = metrics([[3, 0, 0], [0, 0, 0], [0, 0, 4]])
    card = model_card(INFO, student(test=scores, train=scores, val=scores))
    assert "It makes no mistake on the test split." in card
    assert "| anger | 0 | – | no image |" in card


def test_a_first_teacher_and_a_network_of_ones_own():
    scores = metrics(CONFUSION)
    first = RoundResult("teacher", 0, "out/round-0", None, True, scores, scores)
    assert "trained on the labels alone" in model_card(INFO | {"parent": None}, first)
    assert "taken over from `round-0`" in model_card(INFO, first)
    bare = model_card({"sha256": "x"}, first)
    assert "model=network" in bare
    assert "pasm-aug predict" not in bare
    assert "| 2 | 20 |" in bare  # classes by number


def test_a_class_name_cannot_break_the_table():
    card = model_card(INFO | {"classes": ["a|b", "anger", "c"]}, student())
    row = next(line for line in card.splitlines() if line.startswith("| a"))
    assert len(re.split(r"(?<!\\)\|", row)) == 6


def test_the_code_that_it_shows_loads_the_network(tmp_path, monkeypatch):
    network = build_model("small", 3, seed=3)
    save_model(tmp_path, network, INFO)
    code = re.search(r"```python\n(.*?)```", model_card(INFO, student()), re.S).group(1)
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(code, names)
    assert names["probabilities"].shape == (1, 3)
    images = torch.zeros(1, 3, 48, 48, dtype=torch.uint8)
    with torch.no_grad():
        own = network.eval()((images / 255 - 0.5) / 0.25).softmax(1)
    assert torch.allclose(names["probabilities"], own, atol=1e-5)
