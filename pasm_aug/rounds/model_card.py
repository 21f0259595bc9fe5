"""The model card: what a trained network is, how good it is and what it must not be used for, beside its weights.

Sections after Mitchell et al. 2019, "Model cards for model reporting"; the head is the metadata of Hugging Face's hub.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from pasm_aug.data.base import EXPRESSIONS
from pasm_aug.rounds.arms import AUGMENTS
from pasm_aug.rounds.results import RoundResult
from pasm_aug.training.evaluation import Metrics
from pasm_aug.training.interval import wilson

MISTAKES = 5  # the most frequent ones are told
SPLITS = {"train": "training", "val": "validation", "test": "test", "apart": "test, without images also in training"}

USE = (
    "It classifies images like those it was trained on: {size}, one of {count} classes each. It always predicts "
    "one of these classes, also for an image that shows none of them, and its probabilities are not calibrated. "
    "Accuracy on images from elsewhere is usually lower: score it there first (`pasm-aug evaluate`)."
)
FACES = (
    "**Faces and feelings.** It labels the expression that a face shows in one image, as the people who labelled the "
    'data saw it. Whether feelings can be read from faces at all is contested (Barrett et al. 2019, "Emotional '
    'Expressions Reconsidered"), people show the same feeling differently, and such data sets hold some groups of '
    "people far more often than others; accuracy for each group has not been measured. It is made for research on "
    "training methods. Do not use it for decisions about people: not in hiring, teaching, policing, insurance, health "
    "care or surveillance."
)


def model_card(info: Mapping[str, Any], result: RoundResult, *, options: Mapping[str, Any] | None = None) -> str:
    """The ``README.md`` of one round's folder.

    Args:
        info: as ``model.json`` holds it; what it does not tell is left out.
        result: the scores; the test split's only when it has been scored.
        options: what the rounds were run with, as ``options.json`` holds it.
    """
    classes = list(info.get("classes") or map(str, range(len(result.val.confusion))))
    data = info.get("data") or {}
    network = info.get("architecture") or "own network"
    name = f"{data.get('name') or 'own data'}, {network}, {result.arm} round {result.round}"
    parts = [
        _front_matter(name, data, classes, result),
        f"# {name}",
        f"{_network(info, classes)}\n\n{_origin(info, result)}",
        f"## Load it\n\n{_loading(info)}",
        f"## How good it is\n\n{_scores(result)}\n\n{_classes(classes, result)}\n\n{_mistakes(classes, result)}",
        f"## What it learned from\n\n{_data(data, result)}",
        f"## How it was trained\n\n{_training(result, options or {})}",
        f"## What it is for, and what not\n\n{_use(info, classes)}",
    ]
    return "\n\n".join(parts) + "\n"


def _front_matter(name: str, data: Mapping[str, Any], classes: list[str], result: RoundResult) -> str:
    split, scores = _judged(result)
    subject = ["facial-expression-recognition"] if set(classes) & set(EXPRESSIONS) else []
    measured = [
        {"type": "accuracy", "name": "accuracy", "value": round(scores.accuracy, 6)},
        {"type": "recall", "name": "mean recall over the classes", "value": round(scores.mean_per_class, 6)},
    ]
    source = data.get("name") or "own data"
    head = {
        "library_name": "pasm_aug",
        "pipeline_tag": "image-classification",
        "tags": ["image-classification", *subject, "data-augmentation", "pasm"],
        "metrics": ["accuracy", "recall"],
        "model-index": [
            {
                "name": name,
                "results": [
                    {
                        "task": {"type": "image-classification"},
                        "dataset": {"name": source, "type": source, "split": "validation" if split == "val" else split},
                        "metrics": measured,
                    }
                ],
            }
        ],
    }
    return f"---\n{yaml.safe_dump(head, sort_keys=False, allow_unicode=True)}---"


def _network(info: Mapping[str, Any], classes: list[str]) -> str:
    text = (
        f"An image classifier (`{info.get('architecture') or 'a network of your own'}`) with {len(classes)} classes: "
    )
    text += f"{', '.join(classes)}. Input: {_size(info)}, values 0…255"
    if info.get("mean") and info.get("std"):
        mean, std = (", ".join(f"{value:.3f}" for value in info[key]) for key in ("mean", "std"))
        return f"{text}; `model.preprocess` divides them by 255 and normalises them (mean {mean}; deviation {std})."
    return f"{text}; `model.preprocess` is the network's own."


def _origin(info: Mapping[str, Any], result: RoundResult) -> str:
    if result.round == 0:
        origin = (
            f"taken over from `{Path(info['parent']).name}`" if info.get("parent") else "trained on the labels alone"
        )
        return f"It is the first teacher of Point Adversarial Self Mining (arXiv 2008.11401), {origin}."
    start = "from its teacher's weights" if info.get("initial", "refine") == "refine" else "from new weights"
    text = (
        f"It is the student of round {result.round} of Point Adversarial Self Mining (arXiv 2008.11401); way of "
        f"erasing: {AUGMENTS.get(result.arm, result.arm)}. It began {start} and learned from the erased images and "
        f"from the predictions of its teacher (round {result.teacher_round}) to the whole ones."
    )
    if result.gain_over is None:
        return text
    place = "the best so far" if result.improved else "not the best so far"
    gain, error = 100 * result.gain, 100 * result.gain_error
    return (
        f"{text} On validation it is {place}: {gain:+.1f} points over round {result.gain_over} (standard error "
        f"{error:.1f})."
    )


def _loading(info: Mapping[str, Any]) -> str:
    own = "" if info.get("architecture") else ", model=network"
    shape = f"1, {info.get('channels', 3)}, {info.get('image_size', 224)}, {info.get('image_size', 224)}"
    lines = [
        "In this folder (or with its path in place of the dot):\n",
        "```python",
        "import torch",
        "from pasm_aug import load_model",
        "",
        f'model = load_model("."{own})  # in eval mode; the weights are checked against model.json',
        f"images = torch.zeros({shape}, dtype=torch.uint8)  # your images (B, C, H, W), 0…255",
        "with torch.no_grad():",
        "    probabilities = model(model.preprocess(images)).softmax(1)",
        "```\n",
    ]
    if own:
        lines.append("`network` is an untrained network of the same architecture, made by your own code.")
    elif ":" in str(info["architecture"]) and not str(info["architecture"]).startswith("timm:"):
        lines.append(f"`{info['architecture']}` must be importable. ")
    if not own and info.get("classes"):
        lines.append("Photographs: `pasm-aug predict PHOTO --checkpoint .`")
    return "\n".join(lines).rstrip()


def _scores(result: RoundResult) -> str:
    lines = ["| split | images | right | 95 % interval | mean over the classes |", "|---|--:|--:|--:|--:|"]
    for split, name in SPLITS.items():
        scores: Metrics | None = getattr(result, split)
        if scores is None:
            continue
        right, mean = round(scores.accuracy * scores.count), scores.mean_per_class
        lines.append(f"| {name} | {scores.count:,} | {_interval(right, scores.count)} | {mean:.1%} |")
    if result.test is None:
        lines.append("\nThe test split has not been scored: that is done once, when the rounds have stopped.")
    return "\n".join(lines)


def _classes(classes: list[str], result: RoundResult) -> str:
    split, scores = _judged(result)
    lines = [f"| class ({SPLITS[split]}) | images | right | 95 % interval |", "|---|--:|--:|--:|"]
    for number, (name, row) in enumerate(zip(classes, scores.confusion, strict=True)):
        count = sum(row)
        found = _interval(row[number], count) if count else "– | no image"
        lines.append(f"| {_cell(name)} | {count:,} | {found} |")
    return "\n".join(lines)


def _mistakes(classes: list[str], result: RoundResult) -> str:
    split, scores = _judged(result)
    wrong = np.array(scores.confusion)
    counts = wrong.sum(1)
    np.fill_diagonal(wrong, 0)
    worst = [divmod(int(flat), len(classes)) for flat in np.argsort(-wrong, axis=None, kind="stable")[:MISTAKES]]
    told = [
        f"- {classes[true]} taken for {classes[other]}: {wrong[true, other]:,} of {counts[true]:,} "
        f"({wrong[true, other] / counts[true]:.0%})"
        for true, other in worst
        if wrong[true, other]
    ]
    if not told:
        return f"It makes no mistake on the {SPLITS[split]} split."
    return "\n".join([f"Its most frequent mistakes on the {SPLITS[split]} split:\n", *told])


def _data(data: Mapping[str, Any], result: RoundResult) -> str:
    parts = [f"{scores.count:,} {SPLITS[s]}" for s in ("train", "val", "test") if (scores := getattr(result, s))]
    text = f"`{data.get('name') or 'own data'}`: {', '.join(parts)} images."
    if data.get("digest") is not None:
        text += f" Fingerprint of the training split: {data['digest']}."
    return text


def _training(result: RoundResult, options: Mapping[str, Any]) -> str:
    lines = [f"- {kind}: {value:,.0f} s" for kind, value in result.seconds.items()]
    if result.queries:
        lines.append(f"- queries of the teacher in the search: {result.queries:,}")
    if result.erased_share:
        lines.append(f"- erased: {result.erased_share:.1%} of the pixels seen in the last epoch")
    if result.hit_rate is not None:
        lines.append(f"- training images that the cache of positions knows: {result.hit_rate:.1%}")
    for key, value in options.items():
        if key == "data" or value in (None, {}, ""):
            continue
        if isinstance(value, Mapping):
            value = ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in value.items() if v is not None)
        lines.append(f"- {key.replace('_', ' ')}: {value}")
    return "\n".join(lines) or "Nothing was written down."


def _use(info: Mapping[str, Any], classes: list[str]) -> str:
    text = USE.format(size=_size(info), count=len(classes))
    return f"{text}\n\n{FACES}" if set(classes) & set(EXPRESSIONS) else text


def _judged(result: RoundResult) -> tuple[str, Metrics]:
    """The split that tells most about new images, and its scores."""
    return ("val", result.val) if result.test is None else ("test", result.test)


def _size(info: Mapping[str, Any]) -> str:
    kind = {1: "grey", 3: "colour"}.get(info.get("channels", 0), "")
    size = f" of {info['image_size']}×{info['image_size']} pixels" if info.get("image_size") else ""
    return f"{kind} images{size}".strip()


def _interval(right: int, count: int) -> str:
    low, high = wilson(right, count)
    return f"{right / count:.1%} | {100 * low:.1f} to {high:.1%}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
