"""The option ``--noise``: text into what :class:`~pasm_aug.data.noisy_labels.NoisyLabels` takes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from pasm_aug.core.errors import UserError
from pasm_aug.core.parsers import path, ratio

LIST = "noise.csv"  # of a run's labels, in its folder
KINDS = {
    "symmetric": "to another class, each as likely (SCN, RUL, EAC, LA-Net)",
    "uniform": "to any class, the true one among them (DivideMix)",
    "pair": "to the next class",
}


def add_noise(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--noise",
        metavar="KIND:R",
        help="make training labels wrong, to see what a method makes of it; validation and test stay true. A share R "
        "of them turns, drawn by --seed: "
        + "; ".join(f"{kind}:R {text}" for kind, text in KINDS.items())
        + ". Or a FILE: noise.csv of another run, a list of RAF-DB's images and labels such as EAC's noise03.txt "
        "(default: none)",
    )


def settle_noise(args: argparse.Namespace) -> None:
    """Bring ``--noise`` into one form: ``None``, ``"symmetric:0.3"`` or the path of a file.

    Raises:
        ValueError: it is neither kind and share, nor a file that is there.
    """
    if args.noise is None:
        return
    kind, _, share = str(args.noise).partition(":")
    try:
        if kind in KINDS:
            args.noise = f"{kind}:{ratio(share)}"
            return
        args.noise = path(str(args.noise))
        if args.noise.is_file():
            return
    except argparse.ArgumentTypeError:
        pass
    kinds = ", ".join(f"{kind}:R" for kind in KINDS)
    raise UserError(f"--noise must be {kinds} with a share R in 0…1, or a file that is there, got {str(args.noise)!r}")


def flipped_line(noise: str | Path, count: int, length: int, file: Path) -> str:
    """How many labels were flipped, for people; ``file`` lists them."""
    return f"--noise {noise}: {count:,} of {length:,} training labels flipped ({count / length:.1%}) → {file}"


def noise_keywords(noise: str | Path) -> dict[str, Any]:
    """What of ``NoisyLabels`` a settled ``--noise`` tells."""
    if isinstance(noise, Path):
        return {"file": noise}
    kind, _, share = noise.partition(":")
    return {"kind": kind, "rate": float(share)}
