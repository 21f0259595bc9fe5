"""The model card: what a trained network is, how good it is and what it must not be used for, beside its weights.

Sections after Mitchell et al. 2019, "Model cards for model reporting"; the head is the metadata of Hugging Face's hub.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from pasm_aug.asm.options import AsmOptions
from pasm_aug.core.options import identity
from pasm_aug.data.base import EXPRESSIONS
from pasm_aug.rounds.arms import AUGMENTS, BARE
from pasm_aug.rounds.model_card_scores import SPLITS, judged, scores_text
from pasm_aug.rounds.results import RoundResult

ASM = (
    "**Labels sorted out.** It was trained by Adaptive Sample Mining (Zhang et al., arXiv 2310.05618): two networks "
    "together, whose logits it averages. Before every epoch each training label was called clean, ambiguous or noise "
    "by what both said of it, and learned as it is, in part, or not at all; `partition.safetensors` tells which."
)
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
    alone = info.get("alone")
    stage = alone["augment"] if alone else f"{result.arm} round {result.round}"
    name = f"{data.get('name') or 'own data'}, {network}, {stage}"
    options = options or {}
    taken_over = result.round == 0 and info.get("parent") and not alone
    sorts = options.get("method") in ("asm", "pasm+asm") and not taken_over
    parts = [
        _front_matter(name, data, classes, result, sorts),
        f"# {name}",
        f"{_network(info, classes)}\n\n{_origin(info, result, options)}",
        *([ASM] if sorts else []),
        f"## Load it\n\n{_loading(info)}",
        f"## How good it is\n\n{scores_text(classes, result)}",
        f"## What it learned from\n\n{_data(data, result)}",
        f"## How it was trained\n\n{_training(result, options)}",
        f"## What it is for, and what not\n\n{_use(info, classes)}",
    ]
    return "\n\n".join(parts) + "\n"


def _front_matter(name: str, data: Mapping[str, Any], classes: list[str], result: RoundResult, sorts: bool) -> str:
    split, scores = judged(result)
    subject = ["facial-expression-recognition"] if set(classes) & set(EXPRESSIONS) else []
    sorting = ["noisy-labels", "asm"] if sorts else []
    measured = [
        {"type": "accuracy", "name": "accuracy", "value": round(scores.accuracy, 6)},
        {"type": "recall", "name": "mean recall over the classes", "value": round(scores.mean_per_class, 6)},
    ]
    source = data.get("name") or "own data"
    head = {
        "library_name": "pasm_aug",
        "pipeline_tag": "image-classification",
        "tags": ["image-classification", *subject, "data-augmentation", "pasm", *sorting],
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


def _origin(info: Mapping[str, Any], result: RoundResult, options: Mapping[str, Any]) -> str:
    if alone := info.get("alone"):
        return _alone(info, alone)
    method = "Point Adversarial Self Mining (arXiv 2008.11401)"
    if {"asm", "plain"} & {result.arm, options.get("augment")}:
        method = "a run of Adaptive Sample Mining (arXiv 2310.05618)"
    if result.round == 0:
        origin = (
            f"taken over from `{Path(info['parent']).name}`" if info.get("parent") else "trained on the labels alone"
        )
        return f"It is the first teacher of {method}, {origin}."
    start = "from its teacher's weights" if info.get("initial", "refine") == "refine" else "from new weights"
    arm, whole = AUGMENTS.get(result.arm, result.arm), result.arm in BARE
    text = (
        f"It is the student of round {result.round} of {method}; {'arm' if whole else 'way of erasing'}: {arm}. It "
        f"began {start} and learned from the {'' if whole else 'erased '}images and from the predictions of its "
        f"teacher (round {result.teacher_round}) to {'them' if whole else 'the whole ones'}."
    )
    if result.gain_over is None:
        return text
    place = "the best so far" if result.improved else "not the best so far"
    gain, error = 100 * result.gain, 100 * result.gain_error
    return (
        f"{text} On validation it is {place}: {gain:+.1f} points over round {result.gain_over} (standard error "
        f"{error:.1f})."
    )


def _alone(info: Mapping[str, Any], how: Mapping[str, Any]) -> str:
    """Of a network that was trained by itself, in no rounds."""
    start = "new weights" if info.get("weights") in (None, "none") else f"the weights `{Path(info['weights']).name}`"
    text = f"It was trained by itself (`pasm-aug train`), from {start}; way of erasing: {AUGMENTS[how['augment']]}."
    if info.get("parent"):
        text += f" Beside the labels it learned from the predictions of `{Path(info['parent']).name}` to whole images."
    return text


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
    elif ":" in (name := str(info["architecture"]).removeprefix("pair:")) and not name.startswith("timm:"):
        lines.append(f"`{name}` must be importable. ")
    if not own and info.get("classes"):
        lines.append("Photographs: `pasm-aug predict PHOTO --checkpoint .`")
    return "\n".join(lines).rstrip()


def _data(data: Mapping[str, Any], result: RoundResult) -> str:
    parts = [f"{scores.count:,} {SPLITS[s]}" for s in ("train", "val", "test") if (scores := getattr(result, s))]
    text = f"`{data.get('name') or 'own data'}`: {', '.join(parts)} images."
    if data.get("digest") is not None:
        text += f" Fingerprint of the training split: {data['digest']}."
    if data.get("noise"):
        text += (
            f" {data.get('flipped', 0):,} of the {result.train.count:,} training labels were made wrong on purpose "
            f"(`--noise {Path(str(data['noise'])).name}`): it learned from those, and accuracy on the training split "
            "counts labels as given."
        )
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
        if key == "data" or value in (None, {}, "") or (key == "asm" and options.get("method") != "asm"):
            continue
        if key == "asm":
            usual = identity(AsmOptions())
            value = {k: v for k, v in value.items() if v != usual.get(k)} or "all options as by default"
        if isinstance(value, Mapping):
            value = ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in value.items() if v is not None)
        lines.append(f"- {key.replace('_', ' ')}: {value}")
    return "\n".join(lines) or "Nothing was written down."


def _use(info: Mapping[str, Any], classes: list[str]) -> str:
    text = USE.format(size=_size(info), count=len(classes))
    return f"{text}\n\n{FACES}" if set(classes) & set(EXPRESSIONS) else text


def _size(info: Mapping[str, Any]) -> str:
    kind = {1: "grey", 3: "colour"}.get(info.get("channels", 0), "")
    size = f" of {info['image_size']}×{info['image_size']} pixels" if info.get("image_size") else ""
    return f"{kind} images{size}".strip()
