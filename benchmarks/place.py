"""Is the mined point the right place to erase?

    python benchmarks/place.py --root FER2013 --teachers teachers [--pair DIR DIR] [--faces 64]

The small network on FER2013, faces of four groups: of the test split as they come, and of the training split those that
it has right with p ≤ 0.99, right with p > 0.99 (saturated), and wrong. A square of 7 or 13 of 48 pixels is tried at
*every* place of each face in black, in white and in the face's mean grey; what a mined point, a peak or a cheap score
picks is then looked up. Mined colours are black or white, so the tables hold them all; places that bring no colour of
their own take the mined point's.

The rise is that of the teacher's cross-entropy, in nats. "Captured" is the mean rise divided by the mean rise at the
best place (and colour, where the fill is a point's), "beats" the share of the face's squares that hurt less, "over
random" the mean gain on a random place, with its standard error. A forward of one image costs 1, a backward 2; behind
a slash: what is spent where only windows around the square are computed.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from common import Kind, draw, machine, versions
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from pasm_aug.core.geometry import patch_box, side_in_pixels
from pasm_aug.data.fer2013 import FER2013
from pasm_aug.models import load_model
from pasm_aug.search.incremental.graph import Network, trace
from pasm_aug.search.ledger import spread
from pasm_aug.search.objectives import log_odds
from pasm_aug.search.point_search import PointSearch
from pasm_aug.search.result import PointResult
from pasm_aug.transforms.fill import mean_fill

SIZE, SIDES = 48, [side_in_pixels(share, 48) for share in (31 / 224, 62 / 224)]
PLACES = np.stack(np.meshgrid(np.arange(SIZE), np.arange(SIZE)), axis=-1).reshape(-1, 2)  # (x, y), row by row
TOTAL = len(PLACES)
FILLS = {"mined colour": (0, 1), "grey": (2,)}  # the tables that a square may come from: black, white, grey
STEM, FIRST, LAST = "relu", "layer1_relu_1", "layer3_relu_1"  # feature maps of the small network
GROUPS: dict[str, dict[str, Kind]] = {
    "test": {"test": lambda right, p: p >= 0},
    "train": {
        "p ≤ 0.99": lambda right, p: right & (p <= 0.99),
        "saturated": lambda right, p: right & (p > 0.99),
        "wrong": lambda right, p: ~right,
    },
}
NAMES = [name for kinds in GROUPS.values() for name in kinds]
Codes = NDArray[np.int64]  # squares: table · TOTAL + place


def draw_faces(root: Path, teacher: nn.Module, count: int, seed: int) -> tuple[Tensor, Tensor, Codes]:
    """``count`` random faces of each group: images (4 · count, 1, 48, 48) uint8, labels, and each one's group."""
    found = {}
    for split, kinds in GROUPS.items():
        data = FER2013(root, split)
        order = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))
        found |= draw(teacher, data, order.tolist(), count, kinds)
    images, labels = zip(*(found[name] for name in NAMES), strict=True)
    groups = np.repeat(np.arange(len(NAMES)), [len(part) for part in labels])
    return torch.cat(images), torch.from_numpy(np.concatenate(labels)), groups


def squares(side: int) -> Tensor:
    """(places, 48, 48) bool: the square around each place."""
    masks = torch.zeros(TOTAL, SIZE, SIZE, dtype=torch.bool)
    for mask, (x, y) in zip(masks, PLACES.tolist(), strict=True):
        left, top, right, bottom = patch_box(x, y, side, SIZE, SIZE)
        mask[top:bottom, left:right] = True
    return masks


def shares(network: Network, masks: Tensor) -> dict[str, tuple[float, float]]:
    """Share of a forward's operations up to each feature map: of the whole map, and of what a square reaches alone."""
    reached, found, whole, windows = {network.source: masks[:, None].float()}, {}, 0.0, 0.0
    for layer in network.layers:
        inputs = [F.max_pool2d(reached[name], layer.kernel, layer.stride, layer.padding) for name in layer.inputs]
        reached[layer.name] = torch.stack(inputs).amax(0)
        area = reached[layer.name][0].numel()
        whole += layer.flops * area / network.flops
        windows += layer.flops * area * float(reached[layer.name].mean()) / network.flops
        found[layer.name] = whole, windows
    return found


class Tables:
    """All squares of one side on all faces; arrays (faces, 3 · places): black, white and grey squares.

    Attributes:
        rise: of the loss. right: whether the teacher is right under the square. predicted: by each cheap score, the
            fall of the log-odds: exact up to a feature map (or the input), linear behind it.
    """

    def __init__(self, teacher: nn.Module, network: Network, images: Tensor, labels: Tensor, side: int) -> None:
        masks, maps = squares(side), network.maps([STEM, FIRST])
        self.shares = shares(network, masks)
        shape = len(images), 3, TOTAL
        loss, right = torch.empty(shape, dtype=torch.float64), torch.empty(shape)
        predicted = {name: torch.empty(shape) for name in ("input", STEM, FIRST)}
        clean_loss = torch.empty(len(images), 1, dtype=torch.float64)
        for i, (image, label) in enumerate(zip(tqdm(images, desc=f"squares of {side}"), labels, strict=True)):
            pixels = image.float().requires_grad_()
            *clean, logits = maps(teacher.preprocess(pixels[None]))
            odds = log_odds(logits.double(), label[None])
            gradient, *gradients = torch.autograd.grad(odds[0], [pixels, *clean])
            clean_loss[i] = F.softplus(-odds.detach())
            for table, fill in enumerate((0, 255, int(mean_fill(image)[0]))):
                predicted["input"][i, table] = -masks.flatten(1).float() @ (gradient * (fill - image.float())).flatten()
                for part in torch.arange(TOTAL).split(64):
                    with torch.no_grad():
                        *new, logits = maps(teacher.preprocess(torch.where(masks[part, None], fill, image)))
                        loss[i, table, part] = F.softplus(-log_odds(logits.double(), label.expand(len(part))))
                        right[i, table, part] = (logits.argmax(1) == label).float()
                        for name, after, before, steep in zip((STEM, FIRST), new, clean, gradients, strict=True):
                            predicted[name][i, table, part] = -((after - before) * steep).sum((1, 2, 3))
        self.rise = (loss.flatten(1) - clean_loss).numpy()
        self.right = right.flatten(1).numpy()
        self.predicted = {name: score.flatten(1).numpy() for name, score in predicted.items()}

    def worst(self, codes: Codes) -> Codes:
        """That of the squares (faces, M) or (M,) which hurts most, (faces, 1)."""
        codes = np.broadcast_to(codes, (len(self.rise), codes.shape[-1]))
        return np.take_along_axis(codes, np.take_along_axis(self.rise, codes, 1).argmax(1)[:, None], 1)

    def likeliest(self, score: str, among: Codes, count: int, apart: int) -> Codes:
        """The ``count`` squares that a cheap score likes best, ``apart`` pixels apart, for neighbours hurt alike."""
        order = among[self.predicted[score][:, among].argsort(axis=1, kind="stable")[:, ::-1]]
        return np.stack([codes[spread(PLACES[codes % TOTAL], count, apart)] for codes in order])


def peaks(teacher: nn.Module, network: Network, images: Tensor, labels: Tensor) -> tuple[Codes, Codes]:
    """Places (faces, 1) of the peak of the true class's activation map, and of the steepest pixel."""
    pixels = images.float().requires_grad_()
    last, logits = network.maps([LAST])(teacher.preprocess(pixels))
    (gradient,) = torch.autograd.grad(log_odds(logits.double(), labels).sum(), pixels)
    cam = torch.einsum("bchw,bc->bhw", last.detach(), teacher.fc.weight.detach()[labels])
    cam = F.interpolate(cam[:, None], size=(SIZE, SIZE), mode="bilinear")
    steepest, hottest = (x.flatten(1).argmax(1, keepdim=True).numpy() for x in (gradient.abs(), cam))
    return hottest, steepest


def grid(step: int) -> Codes:
    return np.flatnonzero((PLACES % step == step // 2).all(axis=1))


def choices(
    tables: Tables,
    fill: str,
    side: int,
    points: dict[str, PointResult],
    cam: Codes,
    steepest: Codes,
    rng: np.random.Generator,
) -> dict[str, tuple[list[float], Codes]]:
    """For each way its cost (by whole maps, by windows) and the squares (faces, M) whose mean is its result."""

    def own(result: PointResult) -> Codes:
        table = np.where(result.colour[..., 0] > 127, 1, 0) if fill == "mined colour" else 2
        return result.xy[..., 1] * SIZE + result.xy[..., 0] + table * TOTAL

    mined, five = own(points["mined point"]), own(points["five points"])
    table = mined - mined % TOTAL
    inside = np.flatnonzero(np.isin(PLACES, np.arange(side // 2, SIZE - side + side // 2 + 1)).all(axis=1))
    everywhere, coarse, tiles = (
        np.add.outer(np.array(FILLS[fill]) * TOTAL, places).ravel() for places in (np.arange(TOTAL), grid(2), grid(8))
    )
    found: dict[str, tuple[list[float], Codes]] = {
        "random place": ([0.0], table + inside),  # every place that the transform draws from
        "CAM peak": ([1.0], table + cam),
        "gradient peak": ([3.0], table + steepest),
    }
    for name, result in points.items():
        found[name + (", mean" if name == "five points" else "")] = [float(result.forwards.mean())], own(result)
    found["five points, best"] = [float(points["five points"].forwards.mean()) + 5], tables.worst(five)
    scores = (
        ("input", "input", everywhere, (1, 8, 44)),
        ("stem", STEM, everywhere, (1, 8, 44)),
        ("layer1", FIRST, coarse, (1, 8)),
    )
    for words, score, among, counts in scores:
        costs = [3 + len(among) * share for share in tables.shares[score]] if score != "input" else [3.0]
        for count in counts:
            picked = tables.worst(tables.likeliest(score, among, count, side // 2))
            found[f"linear behind {words}, best of {count}"] = [c + count * (count > 1) for c in costs], picked
    for count in (8, 44):  # what querying helps without any score, the mean of 32 draws
        drawn = [rng.choice(everywhere, (len(mined), count)) for _ in range(32)]
        found[f"random squares, best of {count}"] = [float(count)], np.hstack([tables.worst(codes) for codes in drawn])
    found["every 8th place"] = [float(len(tiles))], tables.worst(tiles)
    if fill == "mined colour":
        found["oracle, mined colour"] = [float(TOTAL)], tables.worst(table + np.arange(TOTAL))
    found["oracle"] = [float(len(everywhere))], tables.worst(everywhere)
    return found


def rows_of(tables: Tables, found: dict[str, tuple[list[float], Codes]], fill: str, groups: Codes) -> list[dict]:
    """The table of one side and fill, one row for each way."""
    rise = {name: np.take_along_axis(tables.rise, codes, 1).mean(1) for name, (_, codes) in found.items()}
    others = tables.rise.reshape(len(groups), 3, TOTAL)[:, FILLS[fill]].reshape(len(groups), -1)
    rows = []
    for name, (cost, codes) in found.items():
        gain = rise[name] - rise["random place"]
        hurt = np.take_along_axis(tables.rise, codes, 1)
        beats = [(np.searchsorted(np.sort(o), h) / len(o)).mean() for o, h in zip(others, hurt, strict=True)]
        row: dict[str, Any] = {"way": name, "forwards": cost}
        for number, group in enumerate((*NAMES, "all")):
            part = groups == number if group != "all" else groups >= 0
            row[group] = {
                "rise": rise[name][part].mean(),
                "captured": rise[name][part].mean() / rise["oracle"][part].mean(),
                "accuracy": np.take_along_axis(tables.right, codes, 1)[part].mean(),
                "beats": np.mean(np.array(beats)[part]),
                "over_random": gain[part].mean(),
                "standard_error": gain[part].std(ddof=1) / part.sum() ** 0.5,
            }
        rows.append(row)
    return rows


def pixels_of(images: Tensor, points: dict[str, PointResult]) -> list[dict[str, Any]]:
    """Intensity and distance to the border of all pixels and of the mined ones, and how many are mined white."""
    values, rows = images[:, 0].numpy().astype(float), []
    for name, result in {"all pixels": None, **points}.items():
        xy = PLACES[None] if result is None else result.xy
        seen = values[np.arange(len(values))[:, None], xy[..., 1], xy[..., 0]]
        row = {"pixels": name, "from middle grey": np.abs(seen - 127.5).mean()}
        row |= {"below 64": (seen < 64).mean(), "above 192": (seen > 192).mean()}
        row |= {"to the border, median": np.median(np.minimum(xy, SIZE - 1 - xy).min(axis=-1))}
        rows.append(row | {"mined white": "" if result is None else (result.colour == 255).mean()})
    return rows


def agreement(pairs: dict[str, tuple[PointResult, PointResult]]) -> list[dict[str, Any]]:
    """Distance between what two searches found on the same face, and on any two different faces."""
    rows = []
    for name, (first, second) in pairs.items():
        one, other = first.xy[:, 0], second.xy[:, 0]
        apart = np.linalg.norm(one[:, None] - other, axis=-1)
        same = np.eye(len(one), dtype=bool)
        row: dict[str, Any] = {"of": name}
        for words, distances in (("same face", apart[same]), ("different faces", apart[~same])):
            row |= {f"{words}, median": np.median(distances), f"{words}, within 7": (distances <= 7).mean()}
        rows.append(row)
    return rows


def several(result: PointResult) -> list[dict[str, Any]]:
    """How much of the first point's drop of the log-odds the others keep, and how far they lie from it."""
    drop = result.score_clean[:, None] - result.score_point
    apart = np.linalg.norm(result.xy - result.xy[:, :1], axis=-1)
    return [
        {"point": k + 1, "drop": drop[:, k].mean(), "of the first": drop[:, k].mean() / drop[:, 0].mean(),
         "median ratio": np.median(drop[:, k] / drop[:, 0]), "pixels from the first, median": np.median(apart[:, k])}
        for k in range(drop.shape[1])
    ]  # fmt: skip


def show(rows: list[dict[str, Any]]) -> None:
    """Print rows as a Markdown table."""

    def cell(name: str, value: Any) -> str:
        if isinstance(value, dict):  # a group
            text = f"{value['rise']:.3f} ({value['captured']:.0%})"
            more = f" | {value['accuracy']:.0%} | {value['beats']:.0%} | {value['over_random']:+.3f}"
            return f"{text}{more} ± {value['standard_error']:.3f}" if name == "all" else text
        if isinstance(value, list):
            return " / ".join(f"{cost:,.0f}" for cost in value)
        return f"{value:.3g}" if isinstance(value, float) else str(value)

    names = list(rows[0])
    heads = [f"{n}: rise (captured)" if isinstance(rows[0][n], dict) else n for n in names]
    heads += ["accuracy", "beats", "over random"] if "all" in names else []
    print("\n| " + " | ".join(heads) + " |\n|" + "---|" * len(heads))
    for row in rows:
        print("| " + " | ".join(cell(name, row[name]) for name in names) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, help="folder of fer2013.csv")
    parser.add_argument("--teachers", type=Path, required=True, help="folder of small/, as teachers.py wrote it")
    parser.add_argument("--pair", type=Path, nargs=2, metavar="DIR", help="two small networks of different seeds")
    parser.add_argument("--faces", type=int, default=64, help="of each group")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/place.json"))
    args = parser.parse_args()
    if args.faces < 2:
        parser.error(f"--faces must be at least 2, got {args.faces}")
    try:
        teacher, pair = load_model(args.teachers / "small"), [load_model(folder) for folder in args.pair or ()]
        images, labels, groups = draw_faces(args.root, teacher, args.faces, args.seed)
    except (OSError, ValueError) as error:
        parser.error(str(error))

    network = trace(teacher, teacher.preprocess(images[:1]))
    assert network is not None
    searches = {
        "mined point": (teacher, PointSearch(budget=80)),
        "exhaustive point": (teacher, PointSearch("exhaustive")),
        "five points": (teacher, PointSearch(budget=80, points=5, min_distance=4)),
    }
    points = {name: search.run(model, images, labels) for name, (model, search) in tqdm(searches.items())}
    mined = {"mined point, exhaustive point": (points["mined point"], points["exhaustive point"])}
    if pair:
        seeds = [PointSearch(budget=80).run(model, images, labels) for model in pair]
        squares = [PointSearch(objective="patch", budget=80).run(model, images, labels) for model in pair]
        mined |= {"points of two seeds": tuple(seeds), "squares of two seeds": tuple(squares)}
    cam, steepest = peaks(teacher, network, images, labels)
    result: dict[str, Any] = {
        "seed": args.seed,
        "faces": {name: int((groups == number).sum()) for number, name in enumerate(NAMES)},
        "teacher": teacher.info,
        "pair": [model.info for model in pair],
        "versions": versions(),
        "machine": machine(),
        "squares": {},
    }
    for side in SIDES:
        tables = Tables(teacher, network, images, labels, side)
        squares = {
            f'objective="patch", budget {budget}': PointSearch(objective="patch", patch=side, budget=budget)
            for budget in (11, 30, 80)
        }
        queried = points | {name: search.run(teacher, images, labels) for name, search in squares.items()}
        for fill in FILLS:
            found = choices(tables, fill, side, queried, cam, steepest, np.random.default_rng(args.seed))
            result["squares"][f"{side} px, {fill}"] = rows_of(tables, found, fill, groups)
    result |= {"pixels": pixels_of(images, points), "agreement": agreement(mined)}
    result["several"] = several(points["five points"])
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result, indent=2, default=float) + "\n")
    for name, rows in result["squares"].items():
        print(f"\nSquares of {name}:")
        show(rows)
    for name in ("pixels", "agreement", "several"):
        show(result[name])


if __name__ == "__main__":
    main()
