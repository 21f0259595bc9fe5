"""What does erasing a square cost, and what does its cache?

    python benchmarks/transform.py [--quick]

One RGB image of 48² or 224², erased again and again with p = 1 in one process on one thread, all ways in small
repeats whose order is shuffled anew each time; medians of processor time, ratios within one run. Ours paints a square
of 31/224 of the side in the mined colour. "By key" includes naming the image by its content and finding that name
among a million, "by index" takes a sample (image, label, SampleIndex), "a miss" has no cache and draws a place. The
others paint a black square of the same area, or what their defaults choose where the row says so. timm writes into its
input and gets a clone, for all others make one. torchvision's RandomErasing takes no PIL image: what stands in its
rows there is the time on a uint8 tensor. kornia gets a batch of one, albumentations a NumPy array (H, W, C).

A batch is 64 images, each with a square of its own place and colour. The cache lies in the page cache; a worker's
extra private memory is what opening it and reading 10,000 rows adds while the parent holds the same file open.
"Loading" is what a data set does beside erasing. The last lines hold what was wished for, reached or not.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import io
import itertools
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from timeit import Timer
from typing import Any

import numpy as np
import PIL.Image
import torch
import torch.nn.functional as F
from common import machine, medians, table, versions
from torch import Tensor
from torch.utils.data import default_collate
from torchvision import transforms as v1
from torchvision.transforms import v2

from pasm_aug import PointAdversarialErase, PositionCache, SampleIndex
from pasm_aug.cache.merge import write_cache
from pasm_aug.cache.record import row_dtype
from pasm_aug.core.files import write_json
from pasm_aug.core.geometry import clipped_box, side_in_pixels
from pasm_aug.core.image_content import content_key
from pasm_aug.core.painting import erase_patches

SHARE, BATCH, DIGEST, READS = 31 / 224, 64, 7, 10_000
FORMS: dict[str, Callable[[Tensor], Any]] = {
    "uint8": lambda image: image,
    "float32": v2.ToDtype(torch.float32, scale=True),
    "PIL": v2.ToPILImage(),
}
INPUTS = [(form, pixels) for form in FORMS for pixels in (48, 224)]
CLONE, LOOP, V2, OPEN = "clone + slice assignment", "a loop of slice writes", "v2.RandomErasing", "opening, verified"
KEY, INDEX, MISS = "ours, by key", "ours, by index", "ours, a miss"
COLUMNS = {"input": "input", "work": "work", "us": "µs|,.2f"}
COLUMNS |= {"to_clone": "÷ clone + write|.2f", "to_v2": "÷ v2.RandomErasing|.2f", "to_loop": "÷ loop of writes|.2f"}

Works = dict[str, Callable[[], object]]
Times = dict[str, float]


class Bench:
    """What all measurements share: the cache, the images that it knows, and how long to measure.

    Attributes:
        images: by side, (64, 3, side, side) uint8. first: by side, the sample index of the first of them.
    """

    def __init__(self, folder: str, count: int, repeats: int, seed: int) -> None:
        self.repeats, self.rng = repeats, np.random.default_rng(seed)
        smooth = F.interpolate(torch.rand(BATCH, 3, 16, 16), size=256, mode="bilinear")
        self.images = {n: (F.interpolate(smooth, size=n, mode="bilinear") * 255).to(torch.uint8) for n in (48, 224)}
        self.first = {pixels: i * BATCH for i, pixels in enumerate(self.images)}
        self.jpeg = io.BytesIO()
        v2.functional.to_pil_image(smooth[0]).save(self.jpeg, "jpeg", quality=90)
        known = [content_key(image) for images in self.images.values() for image in images]
        known.append(content_key(self.head()))
        rows = np.zeros(count, row_dtype(1, 3))
        rows["key"], rows["look"] = self.rng.integers(-(2**63), 2**63, (2, count))
        rows["key"][: len(known)], rows["mined"] = known, True
        rows["xy"], rows["colour"] = self.rng.integers(8, 40, (count, 1, 2)), self.rng.integers(0, 256, (count, 1, 3))
        path, about = Path(folder) / "positions.safetensors", {"fingerprint": {}, "dataset": {"digest": DIGEST}}
        write_cache(path, rows, rows["key"], rows["label"], about)
        self.keys, self.cache = rows["key"], PositionCache.open(path)

    def head(self) -> Tensor:
        """What a data set does before any random transform: decode, resize."""
        image = PIL.Image.open(self.jpeg).convert("RGB")
        return v2.functional.pil_to_tensor(v2.functional.resize(image, [224, 224]))

    def microseconds(self, works: Works) -> Times:
        """Medians of each piece of work, in repeats of about a millisecond."""
        once = {name: time for name, (time, _) in medians(works, 5).items()}
        inner = {name: max(1, round(1e-3 / time)) for name, time in once.items()}
        loops: Works = {name: partial(Timer(work).timeit, inner[name]) for name, work in works.items()}
        times = medians(loops, self.repeats, int(self.rng.integers(2**31))).items()
        return {name: 1e6 * cpu / inner[name] for name, (_, cpu) in times}

    def ours(self, **options: Any) -> PointAdversarialErase:
        return PointAdversarialErase(**{"cache": self.cache, "p": 1.0, "size": SHARE, "on_miss": "raise", **options})


def installed(*names: str) -> dict[str, Any]:
    """Those of these modules that can be imported, by the name of their package."""
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else it asks the network for a newer version
    found = {}
    for name in names:
        try:
            found[name.partition(".")[0]] = importlib.import_module(name)
        except ImportError as error:
            print(f"rows are left out: {error}")
    return found


def black_square(image: Any, side: int) -> Any:
    """A copy with one black square, the least that erasing can cost."""
    if isinstance(image, PIL.Image.Image):
        image = image.copy()
        image.paste((0, 0, 0), (8, 8, 8 + side, 8 + side))
        return image
    image = image.clone()
    image[:, 8 : 8 + side, 8 : 8 + side] = 0
    return image


def one_image(bench: Bench, form: str, pixels: int, peers: dict[str, Any]) -> Times:
    """All ways to erase one image."""
    plain = bench.images[pixels][0]  # of which torchvision takes the tensor where ours takes a PIL image
    image, side = FORMS[form](plain), side_in_pixels(SHARE, pixels)
    sample = image, 3, SampleIndex([bench.first[pixels], DIGEST])
    by_key, a_miss = bench.ours(), bench.ours(cache=None, on_miss="random")
    works: Works = {
        CLONE: lambda: black_square(image, side),
        KEY: lambda: by_key(image),
        INDEX: lambda: by_key(sample),
        MISS: lambda: a_miss(image),
    }
    tensor, same_area = plain if form == "PIL" else image, {"scale": (SHARE**2, SHARE**2), "ratio": (1.0, 1.0)}
    for suffix, options in (("", same_area), (", defaults", {})):
        works[f"v1.RandomErasing{suffix}"] = partial(v1.RandomErasing(1.0, **options), tensor)
        works[f"v2.RandomErasing{suffix}"] = partial(v2.RandomErasing(1.0, **options), tensor)
        if form != "PIL":
            works |= {name + suffix: way for name, way in of_peers(image, side, options, peers).items()}
    if form == "PIL":
        back = v2.Compose([v2.PILToTensor(), v2.RandomErasing(1.0, **options), v2.ToPILImage()])
        works["to a tensor, v2.RandomErasing, defaults, back"] = partial(back, image)
    return bench.microseconds(works)


def of_peers(image: Tensor, side: int, options: dict[str, Any], peers: dict[str, Any]) -> Works:
    """Ways of the other libraries that are here and take such a tensor; their defaults without ``options``."""
    works: Works = {}
    if "timm" in peers:
        area = {"min_area": SHARE**2, "max_area": SHARE**2, "min_aspect": 1.0} if options else {}
        inplace = peers["timm"].RandomErasing(1.0, device="cpu", **area)
        works["timm RandomErasing"] = lambda: inplace(image.clone())
    if "kornia" in peers and image.dtype == torch.float32:
        works["kornia RandomErasing"] = partial(peers["kornia"].RandomErasing(p=1.0, **options), image[None])
    if "albumentations" in peers and image.dtype == torch.uint8:
        array = image.permute(1, 2, 0).contiguous().numpy()
        hole = {"num_holes_range": (1, 1), "hole_height_range": (side, side), "hole_width_range": (side, side)}
        for name, its in (("CoarseDropout", hole if options else {}), ("Erasing", options)):
            works[f"albumentations {name}"] = partial(getattr(peers["albumentations"], name)(p=1.0, **its), image=array)
    return works


def one_batch(bench: Bench, form: str, pixels: int) -> Times:
    """64 images, each with its own square."""
    images, side = FORMS[form](bench.images[pixels]), side_in_pixels(SHARE, pixels)
    indices = range(bench.first[pixels], bench.first[pixels] + BATCH)
    points = [bench.cache.point(bench.cache.find_index(index)) for index in indices]
    boxes = [clipped_box(x, y, side, pixels, pixels) for x, y, _ in points]
    colours = FORMS[form](torch.tensor([colour for *_, colour in points], dtype=torch.uint8))[:, :, None, None]
    batch = images, torch.arange(BATCH), default_collate([SampleIndex([index, DIGEST]) for index in indices])
    erase = bench.ours()

    def loop() -> Tensor:
        out = images.clone()
        for image, (left, top, right, bottom), colour in zip(out, boxes, colours, strict=True):
            image[:, top:bottom, left:right] = colour
        return out

    assert torch.allclose(erase(batch)[0], loop(), atol=1e-6)
    works: Works = {
        LOOP: loop,
        "erase_patches": lambda: erase_patches(images, boxes, colours),
        INDEX: lambda: erase(batch),
        KEY: lambda: erase(images),
    }
    return bench.microseconds(works)


def of_cache(bench: Bench) -> Times:
    """Opening the cache, and reading one row after another in random order."""
    cache, order = bench.cache, bench.rng.permutation(len(bench.keys))[:READS]
    keys, indices = itertools.cycle(bench.keys[order].tolist()), itertools.cycle(order.tolist())
    works: Works = {
        OPEN: lambda: PositionCache.open(cache.path),
        "one row, by key": lambda: cache.point(cache.find(next(keys))),
        "one row, by index": lambda: cache.point(cache.find_index(next(indices))),
    }
    return bench.microseconds(works)


def of_loading(bench: Bench) -> Times:
    """Decode a JPEG of 256², resize to 224², flip, to float; with erasing right after the resize."""
    after = v2.Compose([v2.RandomHorizontalFlip(), v2.ToDtype(torch.float32, scale=True)])
    by_key, theirs = bench.ours(), v2.RandomErasing(1.0, (SHARE**2, SHARE**2), (1.0, 1.0))
    name = SampleIndex([sum(map(len, bench.images.values())), DIGEST])  # the last of those that the cache knows
    works: Works = {
        "loading": lambda: after(bench.head()),
        "with v2.RandomErasing": lambda: after(theirs(bench.head())),
        f"with {KEY}": lambda: after(by_key(bench.head())),
        f"with {INDEX}": lambda: after(by_key(bench.head(), 3, name)),
    }
    return bench.microseconds(works)


def read_rows(cache: PositionCache, keys: list[int]) -> float:
    """A worker, which gets the cache by its path: MB of its own that opening it and reading these rows take."""
    gc.collect()
    taken = []
    for wanted in ([], keys):
        for key in wanted:
            cache.point(cache.find(key))
        lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
        taken.append(sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) * 1024 / 1e6)
    return taken[1] - taken[0]


def of_workers(bench: Bench) -> dict[str, float]:
    """MB of extra private memory of a worker, by the way in which it is started."""
    keys, found = bench.rng.choice(bench.keys, READS).tolist(), {}
    for method in ("fork", "spawn") if sys.platform == "linux" else ():
        with multiprocessing.get_context(method).Pool(1) as pool:
            found[method] = pool.apply(read_rows, (bench.cache, keys))
    return found


def wishes(times: dict[str, Times], memory: dict[str, float]) -> list[dict[str, Any]]:
    """What was to be reached, and what was."""
    found: list[tuple[str, float, float, float]] = []
    for form, pixels in INPUTS:
        own = times[f"{form} {pixels}²"]
        keyed = (1.5, 0.8) if (form, pixels) == ("float32", 224) else (0.8, 0.4)
        for name, figures in ((KEY, keyed), (INDEX, (0.5, 0.25))):
            figures = (1, 0.5) if form == "PIL" else figures
            found.append((f"{form} {pixels}², {name}, ÷ {V2}", *figures, own[name] / own[V2]))
    for form, pixels in INPUTS[:4]:
        own = times[f"64 × {form} {pixels}²"]
        found.append((f"64 × {form} {pixels}², {INDEX}, ÷ {LOOP}", 1, 0.5, own[INDEX] / own[LOOP]))
    found.append((f"{OPEN}, ms", 100, 30, times["cache"][OPEN] / 1e3))
    found += [(f"{name}, µs", 10, 3, us) for name, us in times["cache"].items() if name != OPEN]
    found += [(f"private memory of a worker by {method}, MB", 20, 2, size) for method, size in memory.items()]
    return [dict(zip(("what", "must", "aim", "measured"), one, strict=True)) for one in found]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few repeats, a small cache, no file; for a first look")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/transform.json"))
    args = parser.parse_args()

    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    rows, repeats = (20_000, 11) if args.quick else (1_000_000, 201)
    peers = installed("timm.data.random_erasing", "kornia.augmentation", "albumentations")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(folder, rows, repeats, args.seed)
        memory = of_workers(bench)
        times = {f"{form} {pixels}²": one_image(bench, form, pixels, peers) for form, pixels in INPUTS}
        times |= {f"64 × {form} {pixels}²": one_batch(bench, form, pixels) for form, pixels in INPUTS[:4]}
        times |= {"cache": of_cache(bench), "a JPEG": of_loading(bench)}

    lines = []
    for name, own in times.items():
        bases = {to: own[base] for to, base in (("to_clone", CLONE), ("to_v2", V2), ("to_loop", LOOP)) if base in own}
        for work, us in own.items():
            lines.append({"input": name, "work": work, "us": us} | {to: us / base for to, base in bases.items()})
    reached = wishes(times, memory)
    result = {"seed": args.seed, "versions": versions(), "machine": machine(), "cache_rows": rows, "repeats": repeats}
    if not args.quick:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        write_json(args.out, result | {"rows": lines, "figures": reached})
    print(table(COLUMNS, lines), end="\n\n")
    for one in reached:
        word = "missed" if one["measured"] > one["must"] else "reached" if one["measured"] <= one["aim"] else "between"
        print(f"{one['what']}: must {one['must']:g}, aim {one['aim']:g}: {one['measured']:.2f} ({word})")


if __name__ == "__main__":
    main()
