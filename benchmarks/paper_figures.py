"""The paper's figures: what is known of their numbers, and ours, drawn in the style of the report.

Figures 5 and 7 have the paper's numbers; which of the others shows what could not be checked, their numbers are ours.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from common import table
from paper_claims import ONE_ROUND, Claim, Row, Run, Score, once
from paper_runs import Bench

from pasm_aug.core.geometry import side_in_pixels
from pasm_aug.report.charts import chart, legend, png
from pasm_aug.report.figures import accuracy_figure, confusion_figure
from pasm_aug.report.maps import heatmap_figures, mean_images
from pasm_aug.report.movement import RoundPoints, movements, open_points
from pasm_aug.report.regions import region_shares
from pasm_aug.training.interval import wilson
from pasm_aug.training.occluders import bands_of

MASKS = (23, 27, 31, 35, 39)  # pixels of 224
GUESSED = "Whether it has this number in the paper could not be checked. "
BEST = {3: {"RAF-DB": 88.68}, 2: {"FER2013": 73.59}}  # rounds of Tables 1 and 2
Found = list[tuple[str, dict[str, Any]]]  # label of a row of the claim, its result
Drawn = tuple[dict[str, bytes], str]  # images by the end of their file's name, and a table


def by_round(number: int) -> dict[str, Score]:
    """One of four rounds."""
    return {"no erasing": Score(Run(0, "none"), 4, number), "PASM": Score(Run(), 4, number)}


FIGURES: dict[int, Claim] = {
    3: Claim(
        "Confusion matrix of the whole method",
        "RAF-DB",
        (
            Row("first teacher", {"ours": Score(Run(), 0, 0)}),
            Row("PASM", {"ours": Score(Run(), 3)}, {"Table 1": 88.68, "matrix, weighted": 89.0, "its mean": 81.7}),
        ),
        GUESSED + "A matrix of the whole method weighs to 89.0 with RAF-DB's class counts: the paper's accuracies are "
        "overall ones, not means over the classes.",
    ),
    5: Claim(
        "Confusion matrices of Table 6's arms",
        "RAF-DB",
        (
            *ONE_ROUND[:2],
            Row("RandomErasing (5c)", once("random"), {"Table 6": 85.93, "matrix, RAF-DB's counts": 86.9}),
            Row(
                "Adversarial Erasing (5b)",
                once("cam-region"),
                {"Table 6": 86.57, "matrix, RAF-DB's counts": 78.7, "matrix, FER2013's counts": 73.1},
            ),
            Row("PASM without teacher", once("point"), {"Table 6": 86.86}),
        ),
        "Matrix: the figure's diagonal weighted by the class counts of a test split. 5b is FER2013's, not RAF-DB's; 5c "
        "does not weigh to what Table 6 says; on surprise the figure shows a tie, where the text has all categories "
        "gain.",
    ),
    6: Claim(
        "Accuracy by rounds",
        "RAF-DB and FER2013",
        tuple(
            Row(f"round {number}" if number else "first teacher", by_round(number), BEST.get(number, {}))
            for number in range(5)
        ),
        GUESSED + "Known are the best rounds alone: the third on RAF-DB, the second on FER2013, after which it falls.",
    ),
    7: Claim(
        "Accuracy by the size S of the square",
        "RAF-DB",
        (
            Row("first teacher", {"ours": Score(Run(), 0, 0)}),
            *(Row(f"S = {side} of 224", {"ours": Score(Run(size=side / 224), 1, 1)}) for side in MASKS),
        ),
        "The values of the paper's chart were not read; it shows that accuracy barely depends on S. Ours is one round "
        "with the teacher's logits.",
    ),
    8: Claim(
        "Where the mined points lie, round by round",
        "RAF-DB",
        (Row("PASM", {"ours": Score(Run(), 3)}),),
        GUESSED + "Nothing of what it shows was read.",
    ),
}


def found(bench: Bench, claim: Claim, rows: list[dict[str, Any]]) -> Found:
    """The results that stand under "ours"."""
    pairs = [(row.label, bench.best(row.ours["ours"], rows)) for row in claim.rows if "ours" in row.ours]
    return [(label, result) for label, result in pairs if result]


def confusions(bench: Bench, claim: Claim, rows: list[dict[str, Any]]) -> Drawn:
    """Confusion matrices of the test split side by side, and the recall of each class."""
    results = found(bench, claim, rows)
    classes = results[0][1]["classes"]
    titles = {f"{label}: {result['accuracy']:.1%} right": result["confusion"] for label, result in results}
    lines = []
    for label, result in results:
        counts = np.array(result["confusion"])
        recall = 100 * counts.diagonal() / np.maximum(counts.sum(1), 1)
        lines.append({"label": label, "mean": float(recall.mean())} | dict(zip(classes, recall.tolist(), strict=True)))
    columns = {"label": "right, % of the class", "mean": "mean|.1f"} | {name: f"{name}|.1f" for name in classes}
    return {"": confusion_figure(titles, classes)}, table(columns, lines)


def by_rounds(bench: Bench, claim: Claim, rows: list[dict[str, Any]]) -> Drawn:
    """Accuracy on validation and test over the rounds, of the whole method and of the same epochs without erasing."""
    most = max(score.rounds for row in claim.rows for score in row.ours.values())
    arms = {run.augment: bench.results(run, most) for run in (Run(), Run(0, "none"))}
    return {f"-{split}": accuracy_figure(arms, split) for split in ("val", "test")}, ""


def by_size(bench: Bench, claim: Claim, rows: list[dict[str, Any]]) -> Drawn:
    """Test accuracy over the size of the square, with the first teacher's as a line."""
    (_, first), *sizes = found(bench, claim, rows)
    sides = [round(224 * result["run"]["size"]) for _, result in sizes]
    right = np.array([result["accuracy"] for _, result in sizes])
    ends = np.array([wilson(round(r["accuracy"] * r["count"]), r["count"]) for _, r in sizes])
    figure, panel = chart("test accuracy by the size of the square", "right, %", 3.3)
    bars = 100 * np.abs(ends - right[:, None]).T
    panel.errorbar(
        sides, 100 * right, bars, marker="o", capsize=2, color="#c2410c", label="PASM, one round; 95 % intervals"
    )
    panel.axhline(100 * first["accuracy"], color="#64748b", linestyle=":", label="first teacher")
    side = bench.args.image_size
    panel.set_xticks(sides, [f"{s}\n{side_in_pixels(s / 224, side)} px" for s in sides])
    panel.set_xlabel(f"S of 224, and in pixels of {side}")
    legend(figure)
    return {"": png(figure)}, ""


def positions(bench: Bench, claim: Claim, rows: list[dict[str, Any]]) -> Drawn:
    """Where the points of each round lie in each class, and how many are in the rows of eyes and mouth."""
    faces, points = bench.splits["train"], open_points(bench.results(Run(), 3)[1:])[0]
    moved = {m.after: m for m in movements(points)}
    lines = []
    for place in points:
        line = places(faces, place, bench.args.image_size) | {"round": place.round, "teacher": place.teacher_round}
        if place.round in moved:
            line |= {"stayed": 100 * moved[place.round].stayed, "far": float(np.median(moved[place.round].distance))}
        lines.append(line)
    columns = {"round": "round", "teacher": "mined by round", "eyes": "in the eyes' rows, %|.1f"}
    columns |= {"mouth": "in the mouth's rows, %|.1f", "features": "in the features of the expression, %|.1f"}
    columns |= {"area": "their share of the face, %|.1f", "stayed": "on the pixel of the round before, %|.1f"}
    anew = list({place.teacher_round: place for place in reversed(points)}.values())[::-1]  # one of each teacher
    maps = heatmap_figures(faces, anew, mean_images(faces))
    drawn = {f"-round-{number}": as_png(image) for number, image in maps.items()}
    return drawn, table(columns | {"far": "pixels from it, median|.1f"}, lines)


def places(faces: Any, points: RoundPoints, side: int) -> dict[str, float]:
    """Shares of a round's points in percent."""
    hit, xy = points.places(np.arange(len(faces)))
    y = xy[hit, 1]
    bands = {name: (top, bottom) for name, (_, top, _, bottom) in bands_of(side, side).items()}
    line = {name: 100 * float(((y >= top) & (y < bottom)).mean()) for name, (top, bottom) in bands.items()}
    shares = region_shares(faces, points.used)
    return line | ({"features": 100 * shares[0], "area": 100 * shares[1]} if shares else {})


def as_png(image: bytes) -> bytes:
    """An image of another format."""
    buffer = io.BytesIO()
    PIL.Image.open(io.BytesIO(image)).save(buffer, format="png")
    return buffer.getvalue()


DRAW: dict[int, Callable[[Bench, Claim, list[dict[str, Any]]], Drawn]] = {
    3: confusions,
    5: confusions,
    6: by_rounds,
    7: by_size,
    8: positions,
}


def draw(number: int, bench: Bench, claim: Claim, rows: list[dict[str, Any]], folder: Path) -> str:
    """Write the images of a figure into ``folder``; returns its table and where they lie."""
    images, text = DRAW[number](bench, claim, rows)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"paper-figure-{number}-{bench.args.data}{end}.png" for end in images]
    for path, data in zip(paths, images.values(), strict=True):
        path.write_bytes(data)
    return "\n\n".join(filter(None, (text, "→ " + ", ".join(map(str, paths)))))
