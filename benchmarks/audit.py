"""Which labels are wrong? Rankings of suspects against the truth, under noise that is known.

    python benchmarks/audit.py --data synthetic [--folds 4] [--epochs 20] [--seeds 1]
    python benchmarks/audit.py --data fer2013 --root FER2013 [--limit 8000]

A share of the training labels turns into other classes, each as likely (``--noise``, 30 %). Networks of k folds judge
all images (``judge_by_folds``: what ``pasm-aug audit`` does), one more network judges those that it was trained on. By
the network that has not seen the image:

- ours: the label's probability raw, less the likeliest other's, over its mean by class; with the rule of the flag;
- cleanlab's label quality scores, and `find_label_issues`: what it finds first, then the rest, each by self-confidence;
- a mined pixel (``PointSearch``, ``--budget`` forwards an image): what it leaves of the label's probability, and how
  far it lowers its logarithm ("how little a pixel must do").

By that network and those that have seen it, half of the logits each (``FoldJudgements.together``): what the command
ranks by.

*Area* is that under precision-recall (average precision) of the wrong labels, over all images and within each class of
given labels; by chance it is the share of wrong labels.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from common import Meter, machine, table, versions
from torch import nn
from torch.utils.data import Subset
from torchvision.transforms import v2

from pasm_aug.asm.judgements import FoldJudgements
from pasm_aug.asm.out_of_sample import judge_by_folds
from pasm_aug.asm.suspects import SCORES, average_precision, label_probability, probably_wrong, suspicion
from pasm_aug.core.files import write_json
from pasm_aug.data.fer2013 import FER2013
from pasm_aug.data.in_memory import InMemory
from pasm_aug.data.noisy_labels import NoisyLabels
from pasm_aug.data.synthetic.dataset import SyntheticExpressions
from pasm_aug.models import build_model
from pasm_aug.search.mine import mine_positions
from pasm_aug.search.point_search import PointSearch
from pasm_aug.training.evaluation import logits_of
from pasm_aug.training.trainer import train

LR = 0.05
FLIP = v2.RandomHorizontalFlip()
NAMES = {"self-confidence": "raw p(label)", "margin": "likeliest other − p(label)"}
NAMES |= {"class-normalised": "p(label) ÷ its class's mean"}


def rankings(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    """Name → (N,) suspicion of every ranking that needs the probabilities alone."""
    found = {NAMES[name]: suspicion(probabilities, labels, name) for name in SCORES}
    methods = {"normalized margin": "normalized_margin", "confidence-weighted entropy": "confidence_weighted_entropy"}
    for name, method in {"self-confidence": "self_confidence", **methods}.items():
        found[f"cleanlab, {name}"] = -get_label_quality_scores(labels, probabilities, method=method)
    for name, method in {"self-confidence": "self_confidence", "normalized margin": "normalized_margin"}.items():
        scores = get_label_quality_scores(labels, probabilities, method=method, adjust_pred_probs=True)
        found[f"cleanlab, {name}, adjusted"] = -scores
    issues = find_label_issues(labels, probabilities, n_jobs=1)
    found["cleanlab, find_label_issues first"] = issues - label_probability(probabilities, labels)
    return found


def rules(judged: FoldJudgements, labels: np.ndarray) -> dict[str, np.ndarray]:
    """Name → (N,) bool, what is called wrong."""
    probabilities, by = judged.out_of_sample.astype(np.float64), "confident_learning"
    alone = probably_wrong(probabilities, labels)
    found = {"**ours, and together another class is likelier**": alone & (judged.together.argmax(1) != labels)}
    found["ours, by the network alone that has not seen it"] = alone
    found["cleanlab, find_label_issues"] = find_label_issues(labels, probabilities, n_jobs=1)
    found[f"cleanlab, filter_by={by}"] = find_label_issues(labels, probabilities, n_jobs=1, filter_by=by)
    found["that network sees another class"] = probabilities.argmax(1) != labels
    return found


def mined(networks: list[nn.Module], data: NoisyLabels, fold: np.ndarray, budget: float) -> dict[str, np.ndarray]:
    """Suspicion by what one pixel does to each image, mined with the network that has not seen it."""
    left, drop = np.empty(len(data)), np.empty(len(data))
    search = PointSearch(budget=budget)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "the teacher has")  # few right: many of the labels are wrong
        for number, network in enumerate(networks):
            part = np.flatnonzero(fold == number)
            images = Subset(data, part.tolist())
            points = mine_positions(network, images, Path(folder) / f"{number}", search=search, progress=False)
            found = points.lookup(indices=np.arange(len(part)))
            clean, point = (np.maximum(p.astype(np.float64), 1e-30) for p in (found.p_clean, found.p_point[:, 0]))
            left[part], drop[part] = point, np.log(clean / point)
    return {"p(label) that one pixel leaves": -left, "mined drop of log p(label)": drop}


def one_seed(data: InMemory, seed: int, args: argparse.Namespace) -> dict[str, Any]:
    """Areas of every ranking, and what every rule finds."""
    noisy = NoisyLabels(data, args.noise, seed=seed)
    options = {"epochs": args.epochs, "lr": LR, "seed": seed, "augment": FLIP, "device": "cpu", "progress": False}
    networks: list[nn.Module] = []

    def network() -> nn.Module:
        networks.append(build_model("small", len(data.classes), seed=None))
        return networks[-1]

    with Meter() as training:
        judged = judge_by_folds(network, noisy, folds=args.folds, **options)
    probabilities = judged.out_of_sample.astype(np.float64)
    with Meter() as mining:
        by_pixel = mined(networks, noisy, judged.fold, args.budget)
    seen = build_model("small", len(data.classes), seed=seed)
    train(seen, noisy, **options)
    remembered = logits_of(seen, noisy, device="cpu").double().softmax(1).numpy()
    scores = {"**raw p(label) together, the default**": suspicion(judged.together, noisy.labels)}
    scores |= rankings(probabilities, noisy.labels) | by_pixel
    scores["raw p(label) of a network trained on it"] = suspicion(remembered, noisy.labels)
    areas = {}
    for name, score in scores.items():
        members = [noisy.labels == label for label in range(len(data.classes))]
        own = [average_precision(noisy.flipped[part], score[part]) for part in members]
        areas[name] = {"all": average_precision(noisy.flipped, score), **dict(zip(data.classes, own, strict=True))}
    found = {}
    for name, called in rules(judged, noisy.labels).items():
        hits = int((called & noisy.flipped).sum())
        share = {"precision": hits / max(1, int(called.sum())), "recall": hits / int(noisy.flipped.sum())}
        found[name] = {"called": float(called.mean()), **share}
    right = {"given": noisy.labels, "true": noisy.true_labels}
    agreed = {name: float((probabilities.argmax(1) == labels).mean()) for name, labels in right.items()}
    shares = [float(noisy.flipped[noisy.labels == label].mean()) for label in range(len(data.classes))]
    wrong = {"all": float(noisy.flipped.mean()), **dict(zip(data.classes, shares, strict=True))}
    seconds = {"training": training.cpu, "mining": mining.cpu}
    return {"seed": seed, "areas": areas, "rules": found, "wrong": wrong, "agreed": agreed, "cpu_seconds": seconds}


def averaged(runs: list[dict[str, Any]], part: str) -> list[dict[str, Any]]:
    """Rows of a table: each figure's mean over the seeds."""
    names = runs[0][part]
    return [
        {"name": name} | {key: float(np.mean([run[part][name][key] for run in runs])) for key in names[name]}
        for name in names
    ]


def report(result: dict[str, Any]) -> str:
    """The tables, as Markdown."""
    runs = result["runs"]
    columns = {"name": "ranked by", "all": "all|.3f"} | {name: f"{name}|.2f" for name in result["classes"]}
    rule = {"called": "called wrong|.1%", "precision": "of these wrong|.1%", "recall": "of the wrong ones found|.1%"}
    (chance,) = averaged([{"wrong": {"by chance": run["wrong"]}} for run in runs], "wrong")
    agreed = np.mean([run["agreed"]["true"] for run in runs])
    return "\n\n".join(
        [
            table(columns, [*averaged(runs, "areas"), chance]),
            table({"name": "rule"} | rule, averaged(runs, "rules")),
            f"the folds' networks see the true class on {agreed:.1%} of the images",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=("synthetic", "fer2013"), required=True)
    parser.add_argument("--root", type=Path, help="of FER2013")
    parser.add_argument("--limit", type=int, default=8000, help="training images")
    parser.add_argument("--noise", type=float, default=0.3)
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--budget", type=float, default=8, help="forwards an image of the search")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--out", type=Path, help="default: results/audit-DATA.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    whole = SyntheticExpressions("train") if args.data == "synthetic" else FER2013(args.root, "train")
    data = InMemory(whole.limited(args.limit), progress=False)
    settings = {name: getattr(args, name) for name in ("data", "noise", "folds", "epochs", "budget")}
    result: dict[str, Any] = {"versions": versions(), "machine": machine(), **settings, "lr": LR, "images": len(data)}
    result |= {"classes": data.classes, "runs": []}
    for seed in range(args.seeds):
        result["runs"].append(one_seed(data, seed, args))
        write_json(args.out or Path(__file__).parent / "results" / f"audit-{args.data}.json", result)
        print(f"seed {seed}: {result['runs'][-1]['cpu_seconds']}", flush=True)
    print(report(result))


if __name__ == "__main__":
    main()
