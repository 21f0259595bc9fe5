"""Tables and forest plots of the evidence campaign: paired bootstrap over seeds and images, Holm, what can be seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from common import table
from matplotlib.figure import Figure
from scipy.stats import t as student

DRAWS = 4000
EPOCHS = 6  # of an arm that names none
Cells = dict[str, dict[int, dict[str, Any]]]  # arm → seed → row of its last round


def last_rounds(rows: Sequence[Mapping[str, Any]], regime: str) -> Cells:
    """Of every arm and seed the last round that was done."""
    found: Cells = {}
    for row in sorted((r for r in rows if r["regime"] == regime), key=lambda r: r["round"]):
        if row["round"]:
            found.setdefault(row["arm"], {})[row["seed"]] = dict(row)
    return found


def right(row: Mapping[str, Any], count: int) -> np.ndarray:
    """(count,) of 0 and 1: which test images are right."""
    return np.unpackbits(np.frombuffer(bytes.fromhex(row["right"]), np.uint8))[:count].astype(np.float64)


def paired_bootstrap(apart: np.ndarray, rng: np.random.Generator) -> tuple[float, float, float]:
    """Percentile interval (95 %) and two-sided p of the mean of (seeds, images), both drawn with replacement.

    The mean over images of a drawn sample is a weighted mean, so that one matrix product does all draws.
    """
    seeds, images = apart.shape
    weights = rng.multinomial(images, np.full(images, 1 / images), DRAWS) / images
    by_seed = weights @ apart.T  # (draws, seeds)
    chosen = rng.integers(0, seeds, (DRAWS, seeds))
    means = np.take_along_axis(by_seed, chosen, 1).mean(1)
    low, high = np.percentile(means, [2.5, 97.5])
    p = 2 * min((means <= 0).mean(), (means >= 0).mean())
    return float(low), float(high), float(min(1.0, max(p, 1 / DRAWS)))


def holm(values: Sequence[float]) -> list[float]:
    """p-values corrected for their number (Holm 1979)."""
    order, corrected, highest = np.argsort(values), np.zeros(len(values)), 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, (len(values) - rank) * values[place]))
        corrected[place] = highest
    return corrected.tolist()


def detectable(apart: np.ndarray) -> float:
    """The effect that a paired t-test over as many seeds finds with probability 0.8, at 5 %, two-sided."""
    freedom = len(apart) - 1
    return float((student.ppf(0.975, freedom) + student.ppf(0.8, freedom)) * apart.std(ddof=1) / len(apart) ** 0.5)


def gains(found: Cells, lead: str, count: int) -> list[dict[str, Any]]:
    """``lead`` minus every other arm on the same seeds."""
    rows, rng = [], np.random.default_rng(0)
    for arm, by_seed in found.items():
        seeds = sorted(by_seed.keys() & found[lead].keys())
        if arm == lead or len(seeds) < 2:
            continue
        pairs = [(found[lead][seed], by_seed[seed]) for seed in seeds]
        apart = np.stack([right(a, count) - right(b, count) for a, b in pairs])
        low, high, p = paired_bootstrap(apart, rng)
        worst = 100 * np.array([a["occluded"]["worst"] - b["occluded"]["worst"] for a, b in pairs])
        half = student.ppf(0.975, len(seeds) - 1) * worst.std(ddof=1) / len(seeds) ** 0.5
        rows.append(
            {
                "arm": f"{lead} − {arm}",
                "seeds": len(seeds),
                "test": f"{100 * apart.mean():+.2f} [{100 * low:+.2f}, {100 * high:+.2f}]",
                "p": p,
                "seen": detectable(100 * apart.mean(1)),
                "worst": f"{worst.mean():+.2f} ± {half:.2f}",
                "test_points": (100 * apart.mean(), 100 * low, 100 * high),
                "worst_points": (worst.mean(), worst.mean() - half, worst.mean() + half),
            }
        )
    for row, corrected in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["holm"] = corrected
    return rows


def forest(rows: Sequence[Mapping[str, Any]], title: str, path: Path) -> None:
    """PNG: a line for each other arm, with its interval, on whole images and in the worst case."""
    figure = Figure((9, 0.9 + 0.32 * len(rows)), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    kinds = {
        "test_points": "of test accuracy (seeds × images)",
        "worst_points": "right wherever a square stands (seeds)",
    }
    for panel, (name, told) in zip(panels, kinds.items(), strict=True):
        for place, row in enumerate(rows):
            middle, low, high = row[name]
            ends = [[middle - low], [high - middle]]
            panel.errorbar([middle], [place], xerr=ends, fmt="o", color="#c2410c", capsize=3)
        panel.axvline(0, color="#888", linewidth=1)
        panel.set_xlabel(f"points {told}, 95 %", fontsize=9)
    panels[0].set_yticks(range(len(rows)), [row["arm"] for row in rows])
    panels[0].set_ylim(len(rows) - 0.5, -0.5)
    figure.suptitle(title, fontsize=10)
    figure.savefig(path, dpi=150)


def curve(rows: Sequence[Mapping[str, Any]], lead: str, path: Path) -> str:
    """What ``lead`` gains over random-matched by training images and epochs: a table, and a PNG of it.

    Args:
        rows: of regimes ``small-…``; arms named ``ARM-EPOCHS`` train so many epochs.
    """
    found = []
    for regime in sorted({row["regime"] for row in rows if row["regime"].startswith("small-")}, key=_images):
        cells = last_rounds(rows, regime)
        for arm, by_seed in cells.items():
            base = "random-matched" + arm.removeprefix(lead)
            seeds = sorted(by_seed.keys() & cells.get(base, {}).keys())
            if not arm.startswith(lead) or len(seeds) < 2:
                continue
            epochs = int(arm.removeprefix(lead).strip("-") or EPOCHS)
            told = {"regime": regime, "images": _images(regime), "epochs": epochs, "seeds": len(seeds)}
            for name, score in (("test", _test), ("worst", _worst)):
                apart = 100 * np.array([score(by_seed[seed]) - score(cells[base][seed]) for seed in seeds])
                half = student.ppf(0.975, len(seeds) - 1) * apart.std(ddof=1) / len(seeds) ** 0.5
                told |= {name: f"{apart.mean():+.2f} ± {half:.2f}", f"{name}_points": (apart.mean(), half)}
            found.append(told)
    if len(found) < 2:
        return ""
    figure = Figure((8, 3.2), layout="constrained")
    for panel, name, title in zip(
        figure.subplots(1, 2), ("test", "worst"), ("whole images", "worst case under a square"), strict=True
    ):
        for epochs in sorted({row["epochs"] for row in found}):
            own = [row for row in found if row["epochs"] == epochs]
            points = np.array([row[f"{name}_points"] for row in own])
            panel.errorbar([row["images"] for row in own], points[:, 0], points[:, 1], fmt="o-", capsize=3,
                           label=f"{epochs} epochs")  # fmt: skip
        panel.axhline(0, color="#888", linewidth=1)
        panel.set_xscale("log")
        panel.set_xlabel("training images")
        panel.set_title(title, fontsize=10)
    figure.axes[0].set_ylabel(f"points, {lead} − random-matched")
    figure.axes[0].legend(frameon=False)
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=150)
    columns = {
        "images": "training images|,",
        "epochs": "epochs",
        "seeds": "seeds",
        "test": "test",
        "worst": "worst case",
    }
    return table(columns, found)


def _images(regime: str) -> int:
    size = regime.removeprefix("small-")
    return 28709 if size == "all" else 1000 * int(size.removesuffix("k"))


def _test(row: Mapping[str, Any]) -> float:
    return row["test"]


def _worst(row: Mapping[str, Any]) -> float:
    return row["occluded"]["worst"]


def report(rows: Sequence[Mapping[str, Any]], lead: str, folder: Path) -> str:
    """Tables of every regime that has cells; forest plots go into ``folder``."""
    parts = []
    for regime in dict.fromkeys(row["regime"] for row in rows):
        found = last_rounds(rows, regime)
        count = max(round(sum(bin(b).count("1") for b in bytes.fromhex(r["right"])) / r["test"]) for r in rows
                    if r["regime"] == regime)  # fmt: skip
        means = [
            {
                "arm": arm,
                "seeds": len(cells),
                **{name: 100 * float(np.mean([row[name] for row in cells.values()])) for name in ("val", "test")},
                **{k: 100 * float(np.mean([r["occluded"][k] for r in cells.values()])) for k in ("mean", "worst")},
                "erased": 100 * float(np.mean([row["erased_share"] for row in cells.values()])),
                "seconds": float(np.mean([sum(row["seconds"].values()) for row in cells.values()])),
            }
            for arm, cells in found.items()
        ]
        columns = {"arm": "arm", "seeds": "seeds", "val": "val|.1f", "test": "test|.1f", "mean": "under a square|.1f"}
        columns |= {"worst": "worst case|.1f", "erased": "pixels erased, %|.1f", "seconds": "seconds a round|.0f"}
        parts += [f"### {regime}", table(columns, means)]
        if lead in found and (compared := gains(found, lead, count)):
            columns = {"arm": "points", "seeds": "seeds", "test": "test, seeds × images", "holm": "p (Holm)|.3f"}
            columns |= {"seen": "detectable|.2f", "worst": "worst case"}
            parts.append(table(columns, compared))
            folder.mkdir(exist_ok=True)
            forest(compared, regime, folder / f"evidence-{regime}.png")
    grown = curve(rows, lead, folder / "evidence-curve.png")
    parts += ["### Data and epochs", grown] if grown else []
    return "\n\n".join(parts) or "no cell is done"
