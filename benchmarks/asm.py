"""What does Adaptive Sample Mining buy where labels are wrong? Arms of the same trainer at the same seconds.

    python benchmarks/asm.py --data synthetic [--noise symmetric:0.3] [--minutes 60] [--seeds 5]
    python benchmarks/asm.py --data fer2013 --root FER2013
    python benchmarks/asm.py --data fer2013 --report [--lead asm*2.5]
    python benchmarks/asm.py --data synthetic --times

Every cell (noise, seed, arm) is done once and appended to ``results/asm-DATA.jsonl``; run again, the campaign goes on
where it stopped. All arms start from the same weights and see the same wrong labels; validation and test labels are as
they are. ``asm-…`` are :data:`VARIANTS` of it; ``plain-online`` and ``asm-online`` erase hard squares in the step. One
network trains as many epochs as take the seconds of ASM's two (:data:`EPOCHS`); those are many epochs on wrong labels,
so ``plain-short`` trains as few as ASM, ``plain-smooth`` smooths its labels, and ``pair``, two networks whose logits
are averaged, as ASM's are, believes all labels: what ASM gains over it is due to sorting alone. ``ARM@LR`` trains with
another learning rate, ``ARM*N`` N times as long, ``ARM/best`` keeps the epoch that is best on the validation split.
Co-teaching and JoCoR are told the noise rate, the others are not. Intervals are of Student's t over the paired seeds,
95 %.
"""

from __future__ import annotations

import argparse
import functools
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from asm_report import report
from common import campaign, machine, table, versions
from noise_peers import CoTeaching, ErasingAttention, JoCoR
from torchvision.transforms import v2

from pasm_aug import NoisyLabels, OnlineAdversarialErase, PairedView, build_model, evaluate, train
from pasm_aug.asm.method import ASM
from pasm_aug.asm.subsets import Partition
from pasm_aug.asm.suspects import average_precision
from pasm_aug.data.fer2013 import FER2013
from pasm_aug.data.in_memory import InMemory
from pasm_aug.data.synthetic.dataset import SyntheticExpressions
from pasm_aug.training.evaluation import logits_of
from pasm_aug.training.losses import distillation_loss

EPOCHS = {"synthetic": 24, "fer2013": 12}  # of two networks
ONE = 2.7  # times as many of a single one; of EAC, which sees each image twice, half of that
LR = 0.05
ARMS = ("asm", "plain", "pair", "plain-short", "plain-smooth", "asm-agree", "asm-fixed", "co-teaching", "jocor", "eac")


def prediction_mean(probs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(K,) mean p_k of the images that are taken for k, whatever their label; of a class that none is, over all.

    Where most labels of a rare class are wrong, ``label-mean`` sinks with them and calls them clean; this does not.
    """
    best, taken = probs.max(1), probs.argmax(1)
    counts = np.bincount(taken, minlength=probs.shape[1])
    sums = np.bincount(taken, best, minlength=probs.shape[1])
    return np.divide(sums, counts, out=np.full(len(counts), best.mean(dtype=np.float64)), where=counts > 0)


def believed_mean(probs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(K,) mean p(label) of the images of each label, each counted by its p(label): Σ p² / Σ p.

    However many labels of a class are wrong, it is the confidence of those that are believed; as long as nothing is
    believed more than anything else, it is the plain mean.
    """
    own = probs[np.arange(len(labels)), labels].astype(np.float64)
    squares, sums = (np.bincount(labels, weight, minlength=probs.shape[1]) for weight in (own**2, own))
    return np.divide(squares, sums, out=np.ones(len(sums)), where=sums > 0)


VARIANTS: dict[str, dict[str, Any]] = {  # of asm
    "agree": {"combine": "agree"},  # MAN's rule
    "fixed": {"rule": "fixed"},
    "batch": {"reduction": "batch"},
    "both-sides": {"detach": False},
    "evaluation": {"probabilities": "evaluation"},
    "memory": {"memory": 0.5},
    "memory9": {"memory": 0.9},
    "max": {"rule": "label-mean-max"},
    "marginal": {"rule": "marginal-max"},
    "predicted": {"rule": prediction_mean},
    "believed": {"rule": believed_mean},
    "both": {"combine": "both"},
    "warm": {"warm_up": 0.3},
    "gentle": {"low": 0.05, "high": 0.5},
    "gentle-evaluation": {"low": 0.05, "high": 0.5, "probabilities": "evaluation"},
    "online": {},  # squares that hurt now, erased where the label is believed
    "online-all": {"erase": "all"},
    "online-noise": {"erase": "noise"},
    "online-suspect": {"erase": "suspect"},
}


def splits(data: str, root: Path | None) -> dict[str, Any]:
    """``train``, ``val`` and ``test``."""
    if data == "fer2013":
        found: dict[str, Any] = {name: FER2013(root, name) for name in ("val", "test")}
        found["train"] = FER2013(root, "train").limited(8000)
    else:
        found = {name: SyntheticExpressions(name) for name in ("train", "val", "test")}
    return {name: InMemory(split, name=name, progress=False) for name, split in found.items()}


def method_of(arm: str, rate: float) -> Any:
    """How an arm trains; ``None``: by cross-entropy."""
    name, _, variant = arm.partition("-")
    if name == "asm":
        return ASM(**VARIANTS[variant] if variant else {})
    return {"co-teaching": CoTeaching(rate), "jocor": JoCoR(rate), "eac": ErasingAttention()}.get(arm)


def cell(arm: str, noise: str, seed: int, data: dict[str, Any], epochs: int) -> dict[str, Any]:
    """Train and score one arm."""
    row: dict[str, Any] = {"noise": noise, "arm": arm, "seed": seed}
    kind, rate = noise.split(":")
    arm, _, best = arm.partition("/")
    arm, _, times = arm.partition("*")
    arm, _, given = arm.partition("@")
    epochs, lr = round(epochs * float(times or 1)), float(given or LR)
    noisy = NoisyLabels(data["train"], float(rate), kind=kind, seed=seed)
    method, single = method_of(arm, float(rate)), arm.startswith(("plain", "eac"))
    model = build_model("small" if single else "pair:small", len(noisy.classes), seed=seed)
    if single and arm != "plain-short":
        epochs = round(epochs * ONE / (2 if arm == "eac" else 1))
    erase = OnlineAdversarialErase(p=0.5) if "online" in arm else None  # EAC's erasing is its own
    view = PairedView(erase, v2.RandomHorizontalFlip())
    loss = functools.partial(distillation_loss, label_smoothing=0.1 if arm == "plain-smooth" else 0.0)
    options: dict[str, Any] = {"epochs": epochs, "lr": lr, "weight_decay": 5e-4, "seed": seed, "progress": False}
    options |= {"val": data["val"], "patience": epochs} if best else {}
    trained = train(model, noisy, augment=view, method=method, loss=loss, **options)
    row |= {"epochs": epochs, "lr": lr, "method": None if method is None else repr(method)}
    row |= {name: round(evaluate(model, data[name]).accuracy, 5) for name in ("val", "test")}
    row["train_seconds"] = round(sum(epoch["seconds"] for epoch in trained.history), 1)
    row |= found_noise(noisy, logits_of(model, noisy).softmax(1).numpy(), "end")
    if isinstance(method, ASM):
        found, right = method.partition, ~noisy.flipped
        row |= {
            "clean_share": round(float(found.clean.mean()), 4),
            "clean_purity": share(right, found.clean),
            "noise_precision": share(noisy.flipped, found.noise),
            "noise_recall": share(found.noise, noisy.flipped),
            "ap_asm": round(average_precision(noisy.flipped, -found.p_label), 4) if noisy.flipped.any() else None,
            "by_class": by_class(noisy, found),
        }
    return row


def share(of: np.ndarray, where: np.ndarray) -> float | None:
    """The mean of one mask where another is true; ``None`` where it never is."""
    return round(float(of[where].mean()), 4) if where.any() else None


def by_class(noisy: NoisyLabels, found: Partition) -> dict[str, list[float | None]]:
    """By label, as ``asm_report.BY_CLASS``: of what is called clean, of what is called noise, of what is wrong."""
    wrong, ours = noisy.flipped, [noisy.labels == label for label in range(len(noisy.classes))]
    return {
        name: [share(~wrong, here & found.clean), share(wrong, here & found.noise), share(found.noise, here & wrong)]
        for name, here in zip(noisy.classes, ours, strict=True)
    }


def found_noise(noisy: NoisyLabels, probs: np.ndarray, name: str) -> dict[str, float]:
    """Areas under precision-recall of wrong labels, by what the network says of its training images in the end."""
    from cleanlab.rank import get_label_quality_scores

    if not noisy.flipped.any():
        return {}
    own = probs[np.arange(len(probs)), noisy.labels]
    scores = {"p": own}
    for kind in ("self_confidence", "normalized_margin", "confidence_weighted_entropy"):
        scores[f"cleanlab_{kind}"] = get_label_quality_scores(noisy.labels, probs, method=kind)
    return {f"ap_{name}_{kind}": round(average_precision(noisy.flipped, -score), 4) for kind, score in scores.items()}


def run(args: argparse.Namespace, done: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The cells that are not done, until the time is over."""
    data, until = splits(args.data, args.root), time.monotonic() + 60 * args.minutes
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    about = {"commit": commit, "versions": versions(), "machine": machine()}
    have = {(row["noise"], row["seed"], row["arm"]) for row in done}
    for seed in range(args.seeds):
        for arm in args.arms.split(","):
            if (args.noise, seed, arm) in have:
                continue
            if time.monotonic() > until:
                return
            yield {"data": args.data, **cell(arm, args.noise, seed, data, EPOCHS[args.data]), **about}


def times(name: str, data: dict[str, Any]) -> str:
    """Seconds of an epoch of ASM, once it calls labels noise, ÷ those of two networks' plain epochs, taken in turn."""
    noisy, view = NoisyLabels(data["train"], 0.3), PairedView(None, v2.RandomHorizontalFlip())
    options: dict[str, Any] = {"augment": view, "lr": LR, "weight_decay": 5e-4, "progress": False}
    rows = []
    for turn in range(3):
        alone = train(build_model("small", 7, seed=turn), noisy, epochs=6, **options).history
        both = train(
            build_model("pair:small", 7, seed=turn), noisy, method=ASM(), epochs=EPOCHS[name], **options
        ).history
        plain, asm = (float(np.median([row["seconds"] for row in found[-4:]])) for found in (alone, both))
        share = float(np.mean([row["noise_share"] for row in both[-4:]]))
        rows.append({"turn": turn, "plain": plain, "asm": asm, "ratio": asm / (2 * plain), "noise": share})
    columns = {"turn": "turn", "plain": "plain epoch, s|.2f", "asm": "ASM, s|.2f", "ratio": "÷ two plain|.2f"}
    return table(columns | {"noise": "called noise|.2f"}, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=tuple(EPOCHS), default="synthetic")
    parser.add_argument("--root", type=Path, help="of FER2013")
    parser.add_argument("--noise", default="symmetric:0.3", metavar="KIND:RATE")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--arms", default=",".join(ARMS), help="also asm-… with a variant, plain-online, and as above")
    parser.add_argument("--report", action="store_true", help="print the tables of what is done")
    parser.add_argument("--lead", default="asm", metavar="ARM", help="compare this arm with the others")
    parser.add_argument("--times", action="store_true", help="measure an epoch alone")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.times:
        print(times(args.data, splits(args.data, args.root)))
        return
    out = args.out or Path(__file__).parent / "results" / f"asm-{args.data}.jsonl"
    shown = ("seed", "arm", "val", "test", "train_seconds")
    done = campaign(out, functools.partial(run, args), shown, go_on=not args.report)
    print(report([row for row in done if row["noise"] == args.noise], args.lead))


if __name__ == "__main__":
    main()
