import re

import numpy as np
import torch
import yaml

from pasm_aug.asm.options import AsmOptions
from pasm_aug.core.options import identity
from pasm_aug.models import build_model, save_model
from pasm_aug.rounds.model_card import model_card
from pasm_aug.rounds.results import RoundResult
from pasm_aug.training.metrics import Metrics

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
    options |= {"arm": "point"} | changes
    return RoundResult(round=1, folder="out/round-1", teacher_round=0, improved=True, **options)


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


ASM_OPTIONS = OPTIONS | {"method": "asm", "asm": {**identity(AsmOptions()), "low": 0.1, "rule": "fixed"}}


def test_a_network_whose_labels_were_sorted_says_so_with_the_options_that_differ():
    info = INFO | {"architecture": "pair:small"}
    card = model_card(info, student(), options=ASM_OPTIONS)
    assert "trained by Adaptive Sample Mining (Zhang et al., arXiv 2310.05618): two networks" in card
    assert "- asm: low 0.1, rule fixed\n" in card
    assert "must be importable" not in card
    assert {"asm", "noisy-labels"} < set(front_matter(card)["tags"])
    card = model_card(info, student(), options=ASM_OPTIONS | {"asm": identity(AsmOptions())})
    assert "- asm: all options as by default\n" in card
    factory = model_card(INFO | {"architecture": "pair:own.code:net"}, student())
    assert "`own.code:net` must be importable" in factory


def test_networks_that_sorted_no_labels_do_not_say_that_they_did():
    first = RoundResult("teacher", 0, "out/round-0", None, True, *[metrics(CONFUSION)] * 2)
    assert "Labels sorted out" in model_card(INFO | {"parent": None}, first, options=ASM_OPTIONS)
    for card in (
        model_card(INFO, first, options=ASM_OPTIONS),  # taken over from elsewhere
        model_card(INFO, student(), options=OPTIONS | {"method": "pasm"}),
        model_card(INFO, student()),
    ):
        assert "Labels sorted out" not in card
        assert "noisy-labels" not in front_matter(card)["tags"]


def test_the_arms_that_erase_nothing_learned_from_whole_images():
    card = model_card(INFO, student(arm="asm"), options=ASM_OPTIONS | {"augment": "asm"})
    assert "of a run of Adaptive Sample Mining (arXiv 2310.05618); arm: ASM: wrong labels sorted out" in card
    assert "learned from the images and from the predictions of its teacher (round 0) to them" in card
    assert "erased images" not in card
    plain = model_card(INFO, student(arm="plain"), options=OPTIONS | {"method": "pasm", "augment": "plain"})
    assert "arm: plain training: all labels believed" in plain
    assert "Labels sorted out" not in plain


def test_labels_that_were_made_wrong_are_told_with_their_number():
    data = INFO["data"] | {"noise": "symmetric:0.3", "flipped": 9}
    card = model_card(INFO | {"data": data}, student())
    assert "9 of the 27 training labels were made wrong on purpose (`--noise symmetric:0.3`)" in card
    listed = model_card(INFO | {"data": data | {"noise": "/home/me/lists/noise03.txt"}}, student())
    assert "`--noise noise03.txt`" in listed
    assert "made wrong" not in model_card(INFO, student())


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
