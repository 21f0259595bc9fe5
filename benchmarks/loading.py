"""Does decoding starve training, and how many photographs does a core align?

    python benchmarks/loading.py [--images 400] [--sides 48 224] [--workers 0 1]

Drawn faces of 256² lie as JPEG and PNG files in a temporary folder and are read through a loader in batches of 64, in
random order: decoded and resized each time ("plain"), from the decoded cache on disk, and from memory. All ways of
one side and number of workers are timed in turns, shuffled anew each time; medians of wall time, ratios within one run.
Everything lies in the page cache, and workers are started before the clock: an epoch, not a start, is timed.

"Making" is what the first epoch costs more: decoding all images into the file. Alignment is timed on a photograph (of
Grace Hopper, which comes with matplotlib) as it is, and on a drawn face of 512², one image at a time on one thread.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import PIL
import torch
from common import machine, medians, table, versions
from matplotlib import cbook
from PIL import Image
from torch.utils.data import Dataset

from pasm_aug.core.files import write_json
from pasm_aug.data.align.aligner import FaceAligner
from pasm_aug.data.align.warp import read_photograph
from pasm_aug.data.decoded_store import decoded
from pasm_aug.data.folder import ExpressionFolder
from pasm_aug.data.in_memory import InMemory
from pasm_aug.data.registry import resize_square
from pasm_aug.data.synthetic.dataset import SyntheticExpressions
from pasm_aug.training.loading import EpochSampler, make_loader

SIDE, BATCH = 256, 64
PLAIN, CACHE, MEMORY = "plain", "decoded cache", "in memory"
COLUMNS = {"files": "files", "side": "side", "workers": "workers", "way": "way", "images_per_second": "images/s|,.0f"}
COLUMNS |= {"to_plain": "÷ plain|.1f", "to_memory": "÷ in memory|.2f", "making_seconds": "making, s|.2f"}
ALIGNED = {"image": "photograph", "pixels": "width × height", "faces": "faces", "per_second": "photographs/s|.2f"}


def save_faces(root: Path, count: int, suffix: str, seed: int) -> None:
    """Drawn faces as files in class folders; the split for validation, which is not read, repeats some of them."""
    faces = SyntheticExpressions(size=SIDE, length=count, seed=seed)
    for split, indices in (("train", range(count)), ("val", range(len(faces.classes)))):
        for index in indices:
            image, label = faces[index]
            path = root / split / faces.classes[label] / f"{index:05}{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            image.save(path, **({"quality": 90} if suffix == ".jpg" else {}))


def epoch_of(dataset: Dataset, count: int, workers: int, seed: int) -> Callable[[], int]:
    """Reads every image once, in an order of its own each time."""
    sampler = EpochSampler(count, BATCH, seed=seed)
    loader = make_loader(dataset, sampler, workers=workers)

    def read() -> int:
        sampler.epoch += 1
        return sum(len(images) for images, _ in loader)

    return read


def load(root: Path, files: str, side: int, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Rows of one kind of files at one side."""
    plain = ExpressionFolder(root / files, "train", transform=partial(resize_square, size=side))
    start = time.perf_counter()
    cache = decoded(plain, root / "decoded", name=f"{files}-{side}", progress=False)
    making = {CACHE: time.perf_counter() - start}
    ways = {PLAIN: plain, CACHE: cache, MEMORY: InMemory(plain, progress=False)}
    rows = []
    for workers in args.workers:
        epochs = {way: epoch_of(dataset, len(plain), workers, args.seed) for way, dataset in ways.items()}
        speed = {way: len(plain) / wall for way, (wall, _) in medians(epochs, args.repeats, args.seed).items()}
        for way in ways:
            row = {"files": files, "side": side, "workers": workers, "way": way, "images_per_second": speed[way]}
            row |= {"to_plain": speed[way] / speed[PLAIN], "to_memory": speed[way] / speed[MEMORY]}
            rows.append(row | ({"making_seconds": making[way]} if way in making else {}))
    return rows


def align(repeats: int, seed: int) -> list[dict[str, Any]]:
    """Photographs a second that one thread aligns to 224²."""
    with cbook.get_sample_data("grace_hopper.jpg") as handle:
        photograph = read_photograph(Path(handle.name))
    drawn = SyntheticExpressions(size=512, length=1, seed=seed)[0][0]
    aligner, rows = FaceAligner(device="cpu"), []
    images: dict[str, Image.Image] = {"Grace Hopper": photograph, "drawn face": drawn}
    works = {name: partial(aligner, image) for name, image in images.items()}
    for name, (wall, _) in medians(works, repeats, seed).items():
        row = {"image": name, "pixels": "{} × {}".format(*images[name].size), "faces": len(works[name]())}
        rows.append(row | {"per_second": 1 / wall})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--sides", type=int, nargs="+", default=[48, 224])
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/loading.json"))
    args = parser.parse_args()
    if args.images < BATCH:
        parser.error(f"--images must be at least {BATCH}, got {args.images}")
    torch.set_num_threads(1)
    rows = []
    with tempfile.TemporaryDirectory() as held:
        for files, suffix in (("JPEG", ".jpg"), ("PNG", ".png")):
            save_faces(Path(held) / files, args.images, suffix, args.seed)
            for side in args.sides:
                rows += load(Path(held), files, side, args)
                print(table(COLUMNS, rows[-3 * len(args.workers) :]), flush=True)
    aligned = align(args.repeats, args.seed)
    print(table(ALIGNED, aligned))
    result = {
        "seed": args.seed,
        "versions": versions() | {"Pillow": PIL.__version__},
        "machine": machine(),
        "images": args.images,
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    write_json(args.out, result | {"file_side": SIDE, "batch": BATCH, "rows": rows, "alignment": aligned})


if __name__ == "__main__":
    main()
