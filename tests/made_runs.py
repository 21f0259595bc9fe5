"""Run folders made without training: random predictions, random points, the files of a real run."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pasm_aug.asm.record import AsmRecord
from pasm_aug.asm.subsets import AMBIGUOUS, CLEAN, NOISE, Partition
from pasm_aug.cache.merge import write_cache
from pasm_aug.cache.record import row_dtype
from pasm_aug.core.files import write_csv, write_json
from pasm_aug.report.run_folder import Run
from pasm_aug.rounds.results import RoundResult
from pasm_aug.training.metrics import Metrics

MINING = ("point", "random-matched", "cam-peak")


def scores(labels, predicted, classes, *, predictions=True) -> Metrics:
    """The scores of one network that gave these predictions."""
    labels, predicted = np.asarray(labels), np.asarray(predicted)
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (labels, predicted), 1)
    rows, right = confusion.sum(1).tolist(), confusion.diagonal().tolist()
    return Metrics(
        accuracy=sum(right) / len(labels),
        loss=1.0,
        per_class=[hits / row if row else None for hits, row in zip(right, rows, strict=True)],
        confusion=confusion.tolist(),
        count=len(labels),
        predictions=np.stack([labels, predicted]) if predictions else None,
    )


def predictions(labels, accuracy, classes, seed) -> np.ndarray:
    """Predicted classes of which about ``accuracy`` are right."""
    rng = np.random.default_rng(seed)
    wrong = rng.integers(0, classes, len(labels))
    return np.where(rng.random(len(labels)) < accuracy, labels, wrong)


def network(arm, number, test, *, val=None, improved=True, known=True, teacher=None, folder="nowhere", **options):
    """A network of seven classes whose first ``test`` of a thousand predictions are right."""
    labels = np.arange(1000) % 7
    train = scores(labels, labels, 7)
    other = train if val is None else scores(labels, np.where(np.arange(1000) < val, labels, (labels + 1) % 7), 7)
    predicted = np.where(np.arange(1000) < test, labels, (labels + 1) % 7)
    tested = scores(labels, predicted, 7, predictions=known)
    return RoundResult(arm, number, folder, teacher, improved, train, other, tested, **options)


def made_record(labels, classes, *, epochs=4, start=1, flipped=None, seed=0, about=None) -> AsmRecord:
    """A record of random sortings of these labels, of which ``flipped`` (N,) bool, if given, are known to be wrong."""
    labels, rng = np.asarray(labels), np.random.default_rng(seed)
    record = AsmRecord.empty(len(labels), classes)
    record.about = about or {}
    for epoch in range(start, start + epochs):
        p = rng.uniform(0, 1, len(labels))
        bounds = np.linspace([0.2, 0.6], [0.3, 0.7], classes) + 0.01 * epoch
        subset = np.where(p >= bounds[labels, 1], CLEAN, np.where(p <= bounds[labels, 0], NOISE, AMBIGUOUS))
        record.add(epoch, Partition(subset.astype(np.uint8), p.astype(np.float32), bounds), labels, flipped)
    return record


def made_points(path, labels, *, side=20, seed=0, channels=1, points=1) -> None:
    """A cache of random points for samples with these labels; the content keys are the indices."""
    rng = np.random.default_rng(seed)
    rows = np.zeros(len(labels), row_dtype(points, channels))
    rows["key"], rows["label"], rows["mined"] = np.arange(len(labels)), labels, True
    rows["xy"] = rng.integers(0, side, (len(labels), points, 2))
    rows["colour"] = rng.integers(0, 256, (len(labels), points, channels))
    rows["p_clean"] = rng.uniform(0.5, 1, len(labels))
    rows["p_point"] = rng.uniform(0, 0.5, (len(labels), points))
    rows["queries"] = 8
    about = {"fingerprint": {}, "dataset": {"digest": 0, "length": len(labels)}}
    about["grid"] = [1, points]
    write_cache(path, rows, rows["key"], rows["label"], about)


def made_run(
    folder,
    data,
    *,
    arm="point",
    rounds=2,
    baselines=("none",),
    known=True,
    side=20,
    channels=1,
    test_labels=None,
    rise=0.08,
    seed=0,
    config=None,
) -> Run:
    """A finished run on ``data`` (with ``classes`` and ``labels``), whose accuracy rises by ``rise`` a round.

    Args:
        known: whether every prediction is in ``predictions.csv`` and ``stop.json`` is there, as older runs lack them.
        test_labels: default: those of the data.
    """
    folder, count = Path(folder), len(data.classes)
    labels = np.asarray(data.labels)
    test_labels = labels if test_labels is None else np.asarray(test_labels)

    def trained(where, name, number, teacher):
        place = where / f"round-{number}"
        place.mkdir(parents=True)
        level = 0.4 + rise * number
        train, val, test = (
            scores(own, predictions(own, level, count, (seed, number, i)), count, predictions=known)
            for i, own in enumerate((labels, labels, test_labels))
        )
        result = RoundResult(name, number, str(place), teacher, True, train, val, test)
        result.seconds = {"train": 1.0} | ({"mine": 2.0} if name in MINING and number else {})
        result.queries, result.erased_share = (8 * len(labels), 0.02) if name in MINING and number else (0, 0.0)
        result.save()
        write_json(place / "model.json", {"architecture": "small", "classes": list(data.classes), "image_size": side})
        names = ("epoch", "lr", "loss", "running_accuracy", "erased_share", "val_accuracy", "val_loss", "seconds")
        write_csv(
            place / "metrics.csv",
            [dict(zip(names, (e, 0.1, 2 / e, 0.5, 0.02, level, 1, 1), strict=True)) for e in (1, 2)],
        )
        if number and name in MINING:
            made_points(place / "positions.safetensors", labels, side=side, channels=channels, seed=number)
        if number and name == "cam-peak":
            made_points(place / "cam-peak.safetensors", labels, side=side, channels=channels, seed=number + 100)
        if number and name == "cam-region":
            made_points(place / "cams.safetensors", labels, side=side, channels=channels, seed=number, points=9)
        return result

    first = trained(folder, "teacher", 0, None)
    arms = {arm: [first, *(trained(folder, arm, n, n - 1) for n in range(1, rounds + 1))]}
    for base in baselines:
        own = folder / "baselines" / base
        arms[base] = [first, *(trained(own, base, n, n - 1) for n in range(1, rounds + 1))]
    if known:
        write_json(folder / "stop.json", {"reason": "Every round was run.", "best_round": rounds, "rounds": rounds})
    options = {"data": "synthetic", "root": None, "limit": len(labels), "image_size": side, "model": "small"}
    options |= {"augment": arm, "mask_size": 31 / 224, "seed": seed, "rounds": rounds}
    write_json(folder / "config.json", options | (config or {}))
    return Run(folder, arms, options | (config or {}))
