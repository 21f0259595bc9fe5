"""``--noise`` at work: training labels made wrong, and the list of them that a run leaves for others to repeat it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from pasm_aug.cli.options.noise import LIST, flipped_line, noise_keywords
from pasm_aug.core.errors import UserError
from pasm_aug.data.base import Split
from pasm_aug.data.noisy_labels import NoisyLabels


def with_noise(args: argparse.Namespace, split: Split, dataset: Any) -> Any:
    """The training split with the labels that ``--noise`` makes; other splits, and commands without it, as they are."""
    noise = getattr(args, "noise", None)
    if noise is None or split != "train":
        return dataset
    return NoisyLabels(dataset, seed=args.seed, **noise_keywords(noise))


def noise_record(args: argparse.Namespace, dataset: Any) -> dict[str, Any]:
    """What ``model.json`` says of it: nothing where the labels are true."""
    if not isinstance(dataset, NoisyLabels):
        return {}
    return {"noise": str(args.noise), "flipped": int(dataset.flipped.sum())}


def check_noise(out: Path, dataset: Any) -> None:
    """Compare the labels with those of a run that lies in ``out``; options alone do not tell a file that was changed.

    Raises:
        ValueError: they differ.
    """
    file = out / LIST
    if not isinstance(dataset, NoisyLabels) or not file.exists():
        return
    before = NoisyLabels(dataset.dataset, file=file).labels
    if differing := np.count_nonzero(before != dataset.labels):
        raise UserError(
            f"{file} holds other labels than --noise gives now ({differing:,} of {len(before):,} differ): choose "
            "another --out"
        )


def write_noise(out: Path, dataset: Any) -> None:
    """Write the list of the labels into a run's folder, where there is noise and no such list yet."""
    if isinstance(dataset, NoisyLabels) and not (out / LIST).exists():
        dataset.write_csv(out / LIST)


def noise_line(args: argparse.Namespace, dataset: Any) -> str:
    """How many labels were flipped, for people; empty where the labels are true."""
    if not isinstance(dataset, NoisyLabels):
        return ""
    return flipped_line(args.noise, int(dataset.flipped.sum()), len(dataset), args.out / LIST)
