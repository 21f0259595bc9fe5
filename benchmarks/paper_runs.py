"""The runs behind the paper's tables: each is trained once, in a folder of its own, and scored where it is asked."""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import re
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from common import machine, versions
from paper_claims import Row, Run, Score
from paper_stand_ins import DRAWN, drawn
from torch.utils.data import Subset

from pasm_aug.cli.entry import parse
from pasm_aug.cli.job import check_run, round_options
from pasm_aug.cli.opening import held, model_factory, open_split
from pasm_aug.cli.recorded import config_of
from pasm_aug.core.errors import UserError
from pasm_aug.core.image_content import to_uint8_tensor
from pasm_aug.core.options import replaced
from pasm_aug.data.mapped_labels import MappedLabels
from pasm_aug.data.overlap import shared_images
from pasm_aug.data.registry import open_dataset
from pasm_aug.models import load_model
from pasm_aug.rounds.algorithm import run_rounds
from pasm_aug.rounds.arms import mines
from pasm_aug.rounds.results import RoundResult
from pasm_aug.training.evaluation import Metrics, evaluate, less

SUBSETS = ("occlusion", "pose30", "pose45")  # of RAF-DB's test split
ELSEWHERE = {"root", "augment", "baselines", "rounds", "patience", "margin"}  # each run has its own, or none


class Bench:
    """Runs with the options of ``pasm-aug run``.

    Args:
        words: those options; without ``--out`` the folder is named after them.
        second: the network in VGG16's place; default vgg16 with ``--preset paper``, else a small one of its kind.
        other_root: of CK+ (Table 4) or FER2013 (Table 5).
    """

    def __init__(self, words: list[str], second: str | None = None, other_root: Path | None = None) -> None:
        args, usual = parse(["run", *words]), parse(["run"])
        self.args, self.other_root = args, other_root
        args.device = None if args.device == "auto" else args.device
        out = args.out
        for one in (args, usual):
            check_run(one)
        self.networks = args.model, second or ("vgg16" if args.preset == "paper" else "paper_stand_ins:small_vgg")
        before = config_of(usual)
        config = {k: v for k, v in config_of(args).items() if k not in ELSEWHERE and v != before.get(k)}
        self.settings = json.loads(json.dumps(config | {"data": args.data}))
        digest = hashlib.sha256(json.dumps(self.settings, sort_keys=True).encode()).hexdigest()[:8]
        self.out = out or Path("runs") / f"tables-{args.data}-{digest}"

    @functools.cached_property
    def splits(self) -> dict[str, Any]:
        return {name: open_split(self.args, name) for name in ("train", "val", "test")}

    @functools.cached_property
    def about(self) -> dict[str, Any]:
        commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
        return {"commit": commit, "versions": versions(), "machine": machine()}

    @functools.cache  # noqa: B019 (one bench lives as long as the process)
    def network(self, number: int) -> tuple[Any, Any]:
        """How it is made, and the options of its rounds."""
        teacher = None if number else self.args.teacher  # which is of the first network's kind
        args = argparse.Namespace(**vars(self.args) | {"model": self.networks[number], "teacher": teacher})
        train = self.splits["train"]
        return model_factory(args, len(train.classes)), round_options(args, train)

    def results(self, run: Run, rounds: int) -> list[RoundResult]:
        """Its rounds, trained where they are not on the disk; all runs of a network fork from the same first teacher
        and, where they mine with it, from the same points."""
        model, options = self.network(run.network)
        folder = self.out / slug(self.networks[run.network])
        changed: dict[str, Any] = {"augment": run.augment, "rounds": rounds, "miner": None}
        changed |= {k: v for k, v in {"beta": run.beta, "size": run.size}.items() if v is not None}
        if run == Run(run.network):
            return run_rounds(model, self.splits, out=folder / "point", options=replaced(options, **changed))
        if run.mined_by is not None:
            changed["miner"] = options.miner or load_model(self.results(Run(run.mined_by), 0)[0].folder)
        shares = mines(run.augment) and run.mined_by is None
        teacher = self.results(Run(run.network), 1 if shares and rounds else 0)[0]
        forked = replaced(options, **changed, teacher=teacher, teacher_training=None)
        return run_rounds(model, self.splits, out=folder / self.name(run), options=forked)

    def name(self, run: Run) -> str:
        """``none``, ``point-beta-0``, …"""
        given = {"beta": run.beta, "size": run.size}
        parts = [run.augment, *(f"{name}-{value:.4g}" for name, value in given.items() if value is not None)]
        return "-".join(parts if run.mined_by is None else [*parts, "mined-by", slug(self.networks[run.mined_by])])

    def has(self, on: str) -> bool:
        """Whether these images are at hand."""
        if on in SUBSETS:
            return self.args.data == "rafdb"
        if on in ("ckplus", "fer2013"):
            return self.other_root is not None
        return on == "test" or self.args.data == "synthetic"

    @functools.cache  # noqa: B019
    def other(self, on: str) -> tuple[MappedLabels, Any]:
        """Images to test on with the network's labels, and those of them that stand in the training split."""
        size, limit = self.args.image_size, self.args.limit
        data: Any
        if on in DRAWN or on == "turned":
            data = drawn(on, size)
        elif on in SUBSETS:
            data = open_dataset("rafdb", self.args.root, "test", size=size, subset=on)
        else:
            data = open_dataset(on, self.other_root, "all" if on == "ckplus" else "test", size=size)
        train = self.splits["train"]
        data = held(self.args, data.limited(limit) if limit else data, on)
        known = MappedLabels(data, train.classes, channels=len(to_uint8_tensor(train[0][0])))
        return known, Subset(known, shared_images(known, train).tolist())

    def scored(self, result: RoundResult, on: str) -> tuple[Metrics, Metrics | None, dict[str, int]]:
        """Scores on all images, on those that do not stand in the training split if some do, and what was left out."""
        if on == "test":
            assert result.test is not None
            return result.test, result.apart, {}
        known, seen = self.other(on)
        score = functools.partial(evaluate, load_model(result.folder), device=self.args.device)
        scores = score(known)
        return scores, less(scores, score(seen)) if len(seen) else None, known.dropped

    def missing(self, scores: Iterable[Score], done: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Rows of the results that are not done: one for each round of each run on each set of images."""
        have = {which(row) for row in done}
        for score in scores:
            if all(which(self.named(score, number)) in have for number in range(score.rounds + 1)):
                continue
            if score.on != "test":
                self.other(score.on)  # what cannot be read is to be known before the training
            for result in self.results(score.run, score.rounds):
                row = self.named(score, result.round)
                if which(row) not in have:
                    have.add(which(row))
                    yield row | self.measured(result, score.on) | self.about

    def named(self, score: Score, number: int) -> dict[str, Any]:
        """What a row is of; the first teacher is that of all runs of a network."""
        run = score.run if number else Run(score.run.network)
        name = f"{self.networks[run.network]} {self.name(run)}"
        return {"name": name, "on": score.on, "round": number, "run": asdict(run), "settings": self.settings}

    def measured(self, result: RoundResult, on: str) -> dict[str, Any]:
        """What a row says."""
        scores, apart, left_out = self.scored(result, on)
        return {
            "accuracy": round(scores.accuracy, 6),
            "count": scores.count,
            "apart": apart and {"accuracy": round(apart.accuracy, 6), "count": apart.count},
            "left_out": left_out,
            "val": round(result.val.accuracy, 6),
            "train": round(result.train.accuracy, 6),
            "picked": result.improved,
            "images": {name: len(split) for name, split in self.splits.items()},
            "classes": self.splits["train"].classes,
            "confusion": scores.confusion,
            "seconds": {k: round(v, 1) for k, v in result.seconds.items()},
        }

    def best(self, score: Score, rows: list[dict[str, Any]]) -> dict[str, Any] | None:
        """The row of a score: of its round, or of the one that validation picks; ``None`` if it is not done."""
        by_name = {which(row): row for row in rows}
        own = [by_name.get(which(self.named(score, number))) for number in range(score.rounds + 1)]
        if not all(own):
            return None
        return own[score.round] if score.round is not None else [row for row in own if row and row["picked"]][-1]

    def wanted(self, rows: Iterable[Row]) -> list[Score]:
        """The scores that can be had here, or a ValueError."""
        scores = [score for row in rows for score in row.ours.values() if self.has(score.on)]
        if not scores:
            raise UserError(
                f"--data {self.args.data} has none of what this table tests on: wanted --data synthetic, --data rafdb "
                "with its lists (Table 3), or --other-root with CK+ (Table 4) or FER2013 (Table 5)"
            )
        return scores


def which(row: dict[str, Any]) -> str:
    """What tells a row from the others."""
    return json.dumps({k: row[k] for k in ("name", "on", "round", "settings")}, sort_keys=True)


def slug(name: str) -> str:
    """As part of a file's name."""
    return re.sub(r"[^\w.]+", "-", name)
