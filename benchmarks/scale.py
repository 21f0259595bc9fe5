"""Does mining a data set scale with its size and with processes?

    python benchmarks/scale.py --root FER2013 --teacher teachers/small [--counts 1000 4000 16000] [--processes 1 2]

Mines the first N training faces into a cache, in new processes of one thread each (two are started as ``torchrun``
does), and times the mining alone: imports, reading the data and a first search to warm up are not counted, merging and
writing the cache are. Caches of one and of several processes are compared row by row.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import Meter, machine, open_faces, stack, table, versions
from torch.utils.data import Subset

from pasm_aug import PointSearch, PositionCache, mine_positions
from pasm_aug.core.files import write_json
from pasm_aug.core.processes import process_state
from pasm_aug.models import load_model

COLUMNS = {
    "images": "images|,",
    "processes": "processes",
    "seconds": "seconds|.1f",
    "images_per_second": "images/s|.1f",
    "speed_up": "speed-up|.2f",
    "peak_mib": "peak memory of a process, MiB|.0f",
    "growth_mib": "risen while mining|.0f",
    "cache_bytes_per_image": "bytes of cache an image|.1f",
    "same_positions": "as one process finds",
}


def work(root: Path, teacher: Path, count: int, cache: Path, search: PointSearch) -> None:
    """One process of a run: mine, and leave what it took beside the cache."""
    model = load_model(teacher)
    data = Subset(open_faces(root, "train", model.info["image_size"]), range(count))
    images, labels = stack(data, range(2))
    search.run(model, images, labels)  # compiles, and wakes torch
    state = process_state("cpu")
    state.wait_for_everyone()
    with Meter() as meter:
        mine_positions(model, data, cache, search=search, device="cpu", progress=False)
    growth = None if meter.growth is None else meter.growth / 2**20
    cost = {"seconds": meter.wall, "growth_mib": growth, "peak_mib": _peak_mib()}
    write_json(cache.with_name(f"cost-{state.process_index}.json"), cost)
    if state.num_processes > 1:
        torch.distributed.destroy_process_group()


def _peak_mib() -> float:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def mine(args: argparse.Namespace, count: int, processes: int, folder: Path) -> dict[str, Any]:
    """Start a run of ``processes``, wait for it, and gather what it took."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    cache = folder / "positions.safetensors"
    command = [sys.executable, *(launcher if processes > 1 else []), __file__, "--worker", str(cache)]
    command += ["--root", str(args.root), "--teacher", str(args.teacher), "--counts", str(count)]
    command += ["--seed", str(args.seed), "--budget", str(args.budget)]
    if subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}).returncode:
        sys.exit(f"mining {count} images with {processes} processes failed; its message stands above")
    costs = [json.loads(path.read_text()) for path in sorted(folder.glob("cost-*.json"))]
    if len(costs) != processes:
        raise RuntimeError(f"{processes} processes should have mined, got {len(costs)}")
    seconds = max(cost["seconds"] for cost in costs)
    return {
        "images": count,
        "processes": processes,
        "seconds": seconds,
        "images_per_second": count / seconds,
        "peak_mib": max(cost["peak_mib"] for cost in costs),
        "growth_mib": max((cost["growth_mib"] for cost in costs), key=lambda mib: mib or 0),
        "cache_bytes_per_image": cache.stat().st_size / count,
    }


def compare(first: Path, other: Path) -> dict[str, Any]:
    """Whether two caches hold the same positions, in how many rows they differ, and by how much the probabilities."""
    one, two = (PositionCache.open(folder / "positions.safetensors").to_numpy() for folder in (first, other))
    if not all(np.array_equal(one[name], two[name]) for name in ("key", "label", "index")):
        return {"same_positions": False}
    equal = (one["xy"] == two["xy"]).all(axis=(1, 2)) & (one["colour"] == two["colour"]).all(axis=(1, 2))
    gap = max(float(np.abs(one[name] - two[name]).max()) for name in ("p_clean", "p_point"))
    return {"same_positions": bool(equal.all()), "rows_differing": int((~equal).sum()), "probability_gap": gap}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, help="folder of fer2013.csv")
    parser.add_argument("--teacher", type=Path, required=True, help="a folder that teachers.py wrote")
    parser.add_argument("--counts", type=int, nargs="+", default=[1000, 4000, 16000])
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--budget", type=float, default=80, help="of the search, in forwards an image")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/scale.json"))
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    for name in ("counts", "processes"):
        if min(getattr(args, name)) < (2 if name == "counts" else 1):
            parser.error(f"--{name} must be at least {2 if name == 'counts' else 1}, got {min(getattr(args, name))}")
    if not (args.teacher / "model.json").is_file():
        parser.error(f"--teacher must be a folder that teachers.py wrote, got {args.teacher}")
    search = PointSearch(budget=args.budget, seed=args.seed, device="cpu")
    if args.worker:
        work(args.root, args.teacher, args.counts[0], args.worker, search)
        return

    rows: list[dict[str, Any]] = []
    for count in args.counts:
        with tempfile.TemporaryDirectory() as held:
            alone: dict[str, Any] | None = None
            for processes in sorted(set(args.processes)):
                folder = Path(held) / str(processes)
                folder.mkdir()
                row = mine(args, count, processes, folder)
                if processes == 1:
                    alone = row
                elif alone is not None:
                    row["speed_up"] = alone["seconds"] / row["seconds"]
                    row |= compare(Path(held) / "1", folder)
                rows.append(row)
                print(f"{count:,} images, {processes} processes: {row['seconds']:.1f} s", flush=True)
    info = json.loads((args.teacher / "model.json").read_text())
    known = {name: info.get(name) for name in ("architecture", "image_size", "accuracy")}
    result = {"seed": args.seed, "teacher": known, "versions": versions()}
    result |= {"machine": machine() | {"threads": "1 a process"}, "search": search.settings()}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    write_json(args.out, result | {"rows": rows})
    print(table(COLUMNS, rows))


if __name__ == "__main__":
    main()
