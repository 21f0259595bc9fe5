"""How good and how dear is the search for the point, against the true optimum, other libraries, and training?

    python benchmarks/mining.py --root FER2013 --teachers teachers --network small [--faces 64] [--seed 0]
                                [--out benchmarks/results/mining-small.json] [--only captured|peers|speed]

``FER2013`` is the folder of ``fer2013.csv``, ``teachers`` one that ``teachers.py`` wrote. Without them the small
network is trained on the drawn faces. "Captured" is the drop of the true class's log-probability that a search reached,
divided by the drop that the best pixel gives: every position × every corner colour is tried where an image is small
enough (``"reference": "exhaustive"``), else the best that any of the searches found counts (``"best found"``). It may
pass 1: evolution may use colours that are no corners.

A part that is run again replaces its own results in ``--out``; the others stay.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import Meter, draw, machine, medians, open_faces, stack, table, versions
from peers import Method, art_pixel_attack, ours, scipy_evolution, torchattacks_one_pixel
from torch import Tensor, nn
from torch.utils.data import Dataset, Subset
from tqdm import tqdm

from pasm_aug import PointSearch, mine_positions
from pasm_aug.core.files import read_json, write_json
from pasm_aug.models import build_model, load_model
from pasm_aug.search.candidates import corner_colours
from pasm_aug.search.teacher import TeacherObjective

PARTS = ("captured", "peers", "speed")
AFFORDABLE = 20_000  # candidates that an image may have to be searched exhaustively
SCANNED = 64  # training faces to look at, at most, for each one wanted of a kind
WORTH = 1e-4  # of log-probability: where the best pixel takes less there is nothing to share
RATIOS = ("windows_over_plain", "mining_over_training")
PACKAGES = {"scipy": "scipy", "torchattacks": "torchattacks", "art": "adversarial-robustness-toolbox"}
AT_LEAST = {"small": 3.0, "vgg16": 5.0, "resnet34": 1.4}  # times the plain forward's speed, to be had by windows

CAPTURED = {
    "search": "search", "group": "group", "queries": "queries|,.0f", "forwards": "forwards an image|,.1f",
    "counted": "images", "mean": "captured, mean|.3f", "worst": "worst image|.3f", "below": "images below 0.9|.1%",
}  # fmt: skip
PEERS = {
    "method": "method", "counted": "images", "queries": "queries|,.0f", "forwards": "forwards an image|,.0f",
    "mean": "captured, mean|.3f", "worst": "worst image|.3f", "inside": "mean, seen inside|.3f",
    "cpu": "CPU s an image|.2f", "wall": "s an image|.2f", "plain": "× a plain forward|,.0f", "mib": "memory, MiB|.0f",
}  # fmt: skip
SPEED = {
    "work": "work", "per_second": "a second|,.1f", "ms": "ms each|.3f", "cpu_ms": "CPU ms each|.3f",
    "plain": "× a plain forward|.3f",
}  # fmt: skip


@dataclass
class Subject:
    """The network under attack, with faces of the size it was trained for, and the options of the run."""

    name: str
    model: nn.Module
    train: Dataset
    test: Dataset
    pixels: int
    args: argparse.Namespace

    @property
    def small(self) -> bool:
        return self.pixels < 100


def log_probability(odds: np.ndarray) -> np.ndarray:
    """Of log-odds, without loss where the probability rounds to 1."""
    return -np.logaddexp(0, -odds)


def shares(clean: np.ndarray, found: np.ndarray, best: np.ndarray) -> dict[str, Any]:
    """What was captured, of log-odds (N,) before, with the point found, and with the best one."""
    before, drop = log_probability(clean), log_probability(clean) - log_probability(best)
    share = (before - log_probability(found))[drop > WORTH] / drop[drop > WORTH]
    if not len(share):
        return {"images": len(clean), "counted": 0, "mean": None, "worst": None, "below": None}
    figures = {"mean": share.mean(), "worst": share.min(), "below": (share < 0.9).mean()}
    return {"images": len(clean), "counted": len(share)} | {name: float(value) for name, value in figures.items()}


# ---------------------------------------------------------------------------------------------------- captured
def captured(subject: Subject) -> dict[str, Any]:
    """How much of the best drop each search captures, on test faces and on three kinds of training faces."""
    args, model = subject.args, subject.model
    order = np.random.default_rng(args.seed).permutation(len(subject.train))[: SCANNED * args.faces]
    kinds = {
        "correct": lambda right, p: right & (p <= 0.99),
        "saturated": lambda right, p: right & (p > 0.99),
        "misclassified": lambda right, p: ~right,
    }
    groups = {"test": stack(subject.test, range(min(args.faces, len(subject.test))))} | draw(
        model, subject.train, order, args.faces, kinds
    )
    channels, height, width = groups["test"][0].shape[1:]
    exhaustive = height * width * 2**channels <= AFFORDABLE
    searches = {"exhaustive": PointSearch("exhaustive")} if exhaustive else {}
    budgets = args.budgets if exhaustive else [*args.budgets, args.reference_budget]
    searches |= {f"seeded, budget {budget:g}": PointSearch(budget=budget, seed=args.seed) for budget in budgets}
    searches["seeded, budget 50, then 3 generations of 16"] = PointSearch(
        budget=50, generations=3, population_size=16, seed=args.seed
    )
    searches["input gradient alone, 64 candidates"] = PointSearch(
        budget=80, candidates=64, incremental=False, seed=args.seed
    )
    for size, generations in args.paper:
        searches[f"paper, {size} × {generations} generations"] = PointSearch(
            "paper", population_size=size, generations=generations, seed=args.seed
        )
    found = {
        (name, group): search.run(model, *(part[: args.paper_faces if search.mode == "paper" else None] for part in of))
        for name, search in tqdm(searches.items(), desc="captured")
        for group, of in groups.items()
    }
    best = {}
    for group, (_, labels) in groups.items():
        best[group] = np.full(len(labels), np.inf)
        for name in ("exhaustive",) if exhaustive else searches:
            scores = found[name, group].score_point[:, 0]
            best[group][: len(scores)] = np.minimum(best[group][: len(scores)], scores)
    rows = []
    for name in searches:
        for group in (*groups, "all"):
            parts = [
                (found[name, one], best[one][: len(found[name, one].xy)]) for one in groups if group in (one, "all")
            ]
            columns = ("score_clean", "score_point", "queries", "forwards")
            clean, point, queries, forwards = (np.concatenate([getattr(r, c) for r, _ in parts]) for c in columns)
            row = {"search": name, "group": group, "queries": queries.mean(), "forwards": forwards.mean()}
            rows.append(row | shares(clean, point[:, 0], np.concatenate([b for _, b in parts])))
    reference = "exhaustive" if exhaustive else "best found"
    return {"reference": reference, "least_drop": WORTH, "channels": channels, "rows": rows}


# ------------------------------------------------------------------------------------------------------- peers
def methods(subject: Subject, images: Tensor, classes: int) -> dict[str, tuple[Method, Method | None]]:
    """By name: the method, and the same with a tiny budget to warm up; small ones first."""
    seed, genes, large = subject.args.seed, 2 + images.shape[1], subject.args.reference_budget
    seeded, tiny = PointSearch(budget=80, seed=seed), PointSearch("paper", population_size=8, generations=1, seed=seed)
    found: dict[str, tuple[Method, Method | None]] = {"ours, seeded": (ours(seeded), ours(seeded))}
    if not subject.small:
        found[f"ours, seeded, budget {large:g}"] = ours(replace(seeded, budget=large)), None
    for module, package in PACKAGES.items():
        if find_spec(module) is None:
            print(f"{package} is not installed, its rows are left out: pip install {package}")
    for size, generations in subject.args.peer:
        name = f"{size} × {generations}"
        if find_spec("scipy") and (size, generations) == subject.args.peer[0]:
            method = scipy_evolution(size, generations, genes, seed)
            found[f"scipy differential_evolution, {name}"] = method, scipy_evolution(8 * genes, 1, genes, seed)
        if find_spec("torchattacks"):
            method = torchattacks_one_pixel(size, generations, genes, seed)
            found[f"torchattacks OnePixel, {name}"] = method, torchattacks_one_pixel(8 * genes, 1, genes, seed)
        if find_spec("art"):
            steps = max(1, round(size * (generations + 1) / 400) - 1)  # its population is 400
            method = art_pixel_attack(steps, genes, classes, seed)
            warm = art_pixel_attack(1, genes, classes, seed) if subject.small else None
            found[f"ART PixelAttack, 400 × {steps}"] = method, warm
    size, generations = (400, 100) if subject.small else subject.args.peer[0]
    for incremental in (True, False):
        paper = PointSearch("paper", population_size=size, generations=generations, seed=seed, incremental=incremental)
        name = f"ours, paper, {size} × {generations}" + ("" if incremental else ", whole network")
        found[name] = ours(paper), ours(replace(tiny, incremental=incremental))
    if np.prod(images.shape[2:]) * 2 ** images.shape[1] <= AFFORDABLE:
        found["ours, exhaustive"] = ours(PointSearch("exhaustive")), None
    return found


def peers(subject: Subject) -> dict[str, Any]:
    """Every method on the same faces: test faces that the network has right, for a wrong one ends the peers at once."""
    args, model = subject.args, subject.model
    right = {"right": lambda right, p: right}
    images, labels = draw(model, subject.test, range(len(subject.test)), args.peer_faces, right)["right"]
    with torch.no_grad():
        classes = model(model.preprocess(images[:1])).shape[1]
    forward = plain_forward(subject)
    outcomes, rows = {}, []
    for name, (method, warm) in tqdm(methods(subject, images, classes).items(), desc="peers"):
        count = min(len(images), args.paper_faces) if "paper" in name else len(images)
        if warm is not None:
            warm(model, images[:1], labels[:1])
        with Meter() as meter:
            outcome = method(model, images[:count], labels[:count])
        if int((outcome.images != images[:count]).any(dim=1).sum(dim=(1, 2)).max()) > 1:
            raise RuntimeError(f"{name} changed more than one pixel of an image")
        outcomes[name] = outcome
        row = {"method": name, "queries": outcome.queries, "forwards": outcome.forwards, "cpu": meter.cpu / count}
        row |= {"wall": meter.wall / count, "plain": meter.cpu / count / forward["cpu_seconds"]}
        rows.append(row | {"mib": None if meter.growth is None else meter.growth / 2**20})
    exhaustive = "ours, exhaustive" in outcomes
    with TeacherObjective(model) as objective:
        clean = objective.clean(images, labels).scores
        score = {n: objective.clean(o.images, labels[: len(o.images)]).scores for n, o in outcomes.items()}
        seen = {n: objective.clean(torch.stack(o.seen), labels).scores for n, o in outcomes.items() if o.seen}
    best = np.min(
        [score["ours, exhaustive"]] if exhaustive else [s for s in score.values() if len(s) == len(clean)], axis=0
    )
    for row in rows:
        count = len(score[row["method"]])
        row |= shares(clean[:count], score[row["method"]], best[:count])
        row["inside"] = shares(clean, seen[row["method"]], best)["mean"] if row["method"] in seen else None
    about = {
        "channels": images.shape[1],
        "plain_forward": forward,
        "reference": "exhaustive" if exhaustive else "best found",
    }
    return about | {"rows": rows}


# ------------------------------------------------------------------------------------------------------- speed
def plain_forward(subject: Subject) -> dict[str, float]:
    """The network as it is, on ready inputs: its best batch size, and seconds of wall and CPU for an image."""
    images, _ = stack(subject.test, range(8))
    inputs = subject.model.preprocess(images).repeat(32, 1, 1, 1)
    sizes = (8, 16, 32, 64, 256) if subject.small else (1, 4, 16)

    @torch.no_grad()
    def work(size: int) -> None:
        for part in inputs[: max(sizes)].split(size):
            subject.model(part)

    times = medians({str(size): lambda size=size: work(size) for size in sizes}, 3, subject.args.seed)
    batch = min(sizes, key=lambda size: times[str(size)][0])
    wall, cpu = (seconds / max(sizes) for seconds in times[str(batch)])
    return {"batch": batch, "seconds": wall, "cpu_seconds": cpu}


def speed(subject: Subject) -> dict[str, Any]:
    """Images and queries a second, mining against a step of training, and memory; medians of shuffled repeats."""
    model, small, seed = subject.model, subject.small, subject.args.seed
    batch, queries, whole = (32, 2048, 256) if small else (8, 128, 16)
    images, labels = stack(subject.train, range(batch))
    inputs, targets = model.preprocess(images), torch.from_numpy(labels)
    pupil = copy.deepcopy(model).train()
    optimizer = torch.optim.SGD(pupil.parameters(), lr=1e-3, momentum=0.9)

    def step() -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(pupil(inputs), targets).backward()
        optimizer.step()

    forward = plain_forward(subject)
    run = inputs.repeat(-(-forward["batch"] // batch), 1, 1, 1)[: forward["batch"]]
    mined, searched = min(batch, 32 if small else 2), 4 if small else 2
    corners, random = corner_colours(images.shape[1]), np.random.default_rng(seed)
    which = np.sort(random.integers(0, searched, queries))
    xy = random.integers(0, (images.shape[3], images.shape[2]), (queries, 2))
    colour = corners[random.integers(0, len(corners), queries)]
    with TeacherObjective(model) as objective, torch.no_grad():
        ready, few = objective.prepared(images), images[:searched]
        maps, share = None, 1.0
        if ready is not None and ready.split_layer is not None:
            _, maps = objective.maps(few, labels[:searched])
            share = ready.share

        def query(count: int, maps: Any = None) -> None:
            objective.evaluate(few, labels[:searched], which[:count], xy[:count], colour[:count], maps)

        works: dict[str, tuple[Callable[[], object], int]] = {
            "plain forward": (lambda: model(run), len(run)),
            "query, whole network": (lambda: query(whole), whole),
            "query by windows": (lambda: query(queries, maps), queries),
            "mining an image, seeded": (
                lambda: PointSearch(budget=80, seed=seed).run(model, images[:mined], labels[:mined]),
                mined,
            ),
            "training step, an image": (torch.enable_grad()(step), batch),
        }
        times = medians({name: work for name, (work, _) in works.items()}, subject.args.repeats, seed)
    each = {name: np.array(times[name]) / count for name, (_, count) in works.items()}
    rows = []
    for name, (wall, cpu) in each.items():
        row = {"work": name, "per_second": 1 / wall, "ms": 1e3 * wall, "cpu_ms": 1e3 * cpu}
        rows.append(row | {"plain": wall / each["plain forward"][0]})
    windows = each["plain forward"] / each["query by windows"]
    mining = each["mining an image, seeded"] / each["training step, an image"]
    return {
        "plain_batch": forward["batch"], "train_batch": batch, "windows": maps is not None,
        "share_of_operations": share, "rows": rows,
        "windows_over_plain": windows[0], "windows_over_plain_cpu": windows[1],
        "at_least": AT_LEAST.get(subject.name),
        "mining_over_training": mining[0], "mining_over_training_cpu": mining[1],
        "memory": memory(subject),
    }  # fmt: skip


def memory(subject: Subject) -> list[dict[str, Any]]:
    """MiB that memory rises while few and four times as many images are mined into a cache."""
    counts, rows = subject.args.memory or ((64, 256) if subject.small else (16, 64)), []
    with tempfile.TemporaryDirectory() as folder:
        mine_positions(subject.model, Subset(subject.train, range(2)), Path(folder) / "warm", progress=False)
        for count in counts:
            with Meter() as meter:
                data = Subset(subject.train, range(count))
                mine_positions(subject.model, data, Path(folder) / str(count), progress=False, seed=subject.args.seed)
            rows.append({"images": count, "mib": None if meter.growth is None else meter.growth / 2**20})
    return rows


# -------------------------------------------------------------------------------------------------------- main
def drawn_faces_teacher(epochs: int, seed: int) -> nn.Module:
    """The small network, trained on drawn faces as ``generations.py`` does."""
    from pasm_aug.data.in_memory import InMemory
    from pasm_aug.data.synthetic.dataset import SyntheticExpressions
    from pasm_aug.rounds.arms import make_geometry
    from pasm_aug.training.evaluation import evaluate
    from pasm_aug.training.trainer import train
    from pasm_aug.transforms.paired_view import PairedView

    faces = InMemory(SyntheticExpressions("train"))
    model = build_model("small", 7, seed=seed)
    train(model, faces, augment=PairedView(make_geometry()), epochs=epochs, lr=0.05, seed=seed)
    test = evaluate(model, InMemory(SyntheticExpressions("test"))).accuracy
    model.info = {"image_size": 48, "accuracy": {"train": evaluate(model, faces).accuracy, "test": test}}
    return model.eval()


def evolution(text: str) -> tuple[int, int]:
    """``"400x25"`` → (400, 25)."""
    size, _, generations = text.partition("x")
    if not (size.isdigit() and generations.isdigit()) or int(size) < 4:
        raise argparse.ArgumentTypeError(f"must be POPULATIONxGENERATIONS, such as 400x25, got {text!r}")
    return int(size), int(generations)


def arguments() -> tuple[argparse.ArgumentParser, argparse.Namespace]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help="folder of fer2013.csv; the drawn faces")
    parser.add_argument("--teachers", type=Path, help="folder that teachers.py wrote; needed with --root")
    parser.add_argument("--network", default="small", help="name of a folder in --teachers")
    parser.add_argument("--faces", type=int, default=64, help="of each group")
    parser.add_argument("--budgets", type=float, nargs="+", default=[20, 30, 50, 80, 100, 200], help="of seeded search")
    parser.add_argument("--paper-faces", type=int, default=8, help="of each group, for the paper's search")
    parser.add_argument(
        "--paper",
        type=evolution,
        nargs="*",
        default=[(100, 10), (400, 25), (400, 100)],
        metavar="POPULATIONxGENERATIONS",
    )
    parser.add_argument("--peer-faces", type=int, help="16 at 48 px, 2 at 224")
    parser.add_argument("--peer", type=evolution, nargs="+", help="100x20 400x24 at 48 px, 100x20 at 224")
    parser.add_argument("--reference-budget", type=float, default=2000, help="where exhaustive search is too dear")
    parser.add_argument("--repeats", type=int, default=7, help="of each measurement of speed")
    parser.add_argument("--memory", type=int, nargs=2, help="images to mine; 64 256 at 48 px, 16 64 at 224")
    parser.add_argument("--epochs", type=int, default=32, help="of training on the drawn faces")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, help="of torch; its own choice")
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--out", type=Path, help="benchmarks/results/mining-NETWORK.json")
    args = parser.parse_args()
    if (args.root is None) != (args.teachers is None):
        parser.error("--root and --teachers go together")
    if args.root is None and args.network != "small":
        parser.error(f"--network must be small on the drawn faces, got {args.network!r}")
    for name in ("faces", "paper_faces", "peer_faces", "repeats", "epochs", "threads"):
        if getattr(args, name) is not None and getattr(args, name) < 1:
            parser.error(f"--{name.replace('_', '-')} must be at least 1, got {getattr(args, name)}")
    name = args.network if args.root else "drawn-faces"
    args.out = args.out or Path(f"benchmarks/results/mining-{name}.json")
    return parser, args


def main() -> None:
    parser, args = arguments()
    if args.threads:
        torch.set_num_threads(args.threads)
    result = read_json(args.out) if args.out.exists() else {}
    faces = "FER2013" if args.root else "drawn faces"
    if result and (result.get("network"), result.get("faces")) != (args.network, faces):
        parser.error(f"--out {args.out} holds results of {result.get('network')} on {result.get('faces')}")
    try:
        model = load_model(args.teachers / args.network) if args.root else drawn_faces_teacher(args.epochs, args.seed)
        pixels = model.info["image_size"]
        subject = Subject(
            args.network, model, *(open_faces(args.root, s, pixels) for s in ("train", "test")), pixels, args
        )
    except (OSError, ValueError) as error:
        parser.error(str(error))
    args.peer_faces = args.peer_faces or (16 if subject.small else 2)
    args.peer = args.peer or [(100, 20), (400, 24)][: 2 if subject.small else 1]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    result |= {"network": args.network, "faces": faces, "image_size": pixels, "accuracy": model.info.get("accuracy")}
    for part, run in (("captured", captured), ("peers", peers), ("speed", speed)):
        if args.only in (None, part):
            about = {"seed": args.seed, "versions": versions(), "machine": machine()}
            about["seeded"] = PointSearch(budget=80, seed=args.seed).settings()
            result[part] = about | run(subject)
            write_json(args.out, result)
    for part, columns in (("captured", CAPTURED), ("peers", PEERS), ("speed", SPEED)):
        if args.only in (None, part):
            print(f"\n{part}\n\n{table(columns, result[part]['rows'])}")
    if args.only in (None, "speed"):
        found = result["speed"]
        wanted = f" (wanted: {found['at_least']:g})" if found["at_least"] else ""
        windows, mining = ([found[f"{name}{kind}"] for kind in ("", "_cpu")] for name in RATIOS)
        print("\nwindows over the plain forward: {:.2f} × as fast, {:.2f} × in CPU time".format(*windows) + wanted)
        print("mining over a training step, an image: {:.1f} × the time, {:.1f} × in CPU time".format(*mining))
        print(
            "memory: " + ", ".join(f"{row['mib'] or 0:.0f} MiB for {row['images']} images" for row in found["memory"])
        )


if __name__ == "__main__":
    main()
