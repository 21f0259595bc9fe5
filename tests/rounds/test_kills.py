"""A run that is killed again and again, whatever it is doing, ends bit for bit like one that was left alone."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

KILLS = 32
STAGES = {"first teacher", "mining", "student", "writing a file"}  # each is to be hit

DRIVER = """
import json, os, random, signal, sys, time, warnings
from pathlib import Path
import torch
torch.set_num_threads(1)
from torchvision.transforms import v2
from pasm_aug.search.point_search import PointSearch
from pasm_aug.rounds import run_rounds
from tests.shapes import Shapes, own_net
from tests.rounds.test_kills import KILLS, STAGES, stage_of
import pasm_aug.search.mine
pasm_aug.search.mine.IMAGES_AT_ONCE = 8
DATA = {"train": Shapes(90), "val": Shapes(30, seed=1), "test": Shapes(30, seed=2)}

def whole_run(folder):
    run_rounds(
        own_net, DATA, out=folder, rounds=2, keep_points=2, search=PointSearch(budget=12), epochs=2, batch_size=8,
        geometry=v2.RandomHorizontalFlip(), ema=0.9, warmup=0.5, schedule="cosine", checkpoint_seconds=0,
        teacher_training={"epochs": 3, "lr": 0.05}, device="cpu", progress=False)

out = Path(sys.argv[1])

def child(folder):
    pid = os.fork()
    if not pid:
        warnings.simplefilter("ignore")
        whole_run(folder)
        os._exit(0)
    return pid

whole_run(out / "whole")  # here, so that the children need not compile again
started = time.monotonic()
_, status = os.waitpid(child(out / "again"), 0)
assert status == 0
mean = (time.monotonic() - started) / 8  # of the time between two kills
rng, kills, runs = random.Random(int(sys.argv[2])), [], 0
while len(kills) < KILLS or not STAGES <= set(kills):
    folder, done = out / f"killed-{runs}", False
    runs += 1
    while not done:
        pid = child(folder)
        time.sleep(rng.expovariate(1 / mean))
        done = os.waitpid(pid, os.WNOHANG)[0] == pid
        if not done:
            os.kill(pid, rng.choice([signal.SIGKILL, signal.SIGTERM]))
            _, status = os.waitpid(pid, 0)
            done = os.WIFEXITED(status)
            if done:
                assert status == 0
            else:
                kills.append(stage_of(folder))
json.dump({"kills": kills, "runs": runs, "mean": mean}, open(out / "kills.json", "w"))
"""


def stage_of(folder: Path) -> str:
    """What a run was doing when it was killed, as its files tell."""
    if list(folder.glob("*/.*.tmp")) or list(folder.glob(".*.tmp")):
        return "writing a file"
    if not (folder / "round-0" / "result.json").exists():
        return "first teacher"
    number = max(int(path.name[6:]) for path in folder.glob("round-*"))
    last = folder / f"round-{number}"
    if list(last.glob("*.journal-*")):
        return "mining"
    if (last / "training.safetensors").exists():
        return "student"
    return "between"


def without_times(file: Path) -> object:
    """The content of a file, without the seconds that something took."""
    if file.suffix == ".csv":
        with open(file) as handle:
            return [{k: v for k, v in row.items() if "seconds" not in k} for row in csv.DictReader(handle)]
    if file.name == "result.json":
        return {k: v for k, v in json.loads(file.read_text()).items() if k != "seconds"}
    if file.name == "model.json":
        return json.loads(file.read_text()) | {"parent": None}  # a path
    return file.read_bytes()


def test_a_run_that_is_killed_all_the_time_ends_like_one_that_is_not(tmp_path):
    environment = os.environ | {"PYTHONPATH": os.getcwd(), "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", DRIVER, str(tmp_path), "0"], env=environment, check=True, timeout=400)
    found = json.loads((tmp_path / "kills.json").read_text())
    assert len(found["kills"]) >= KILLS
    assert set(found["kills"]) >= STAGES
    whole = tmp_path / "whole"
    files = [file.relative_to(whole) for file in whole.rglob("*") if file.is_file()]
    assert len(files) > 20
    for number in range(found["runs"]):
        killed = tmp_path / f"killed-{number}"
        assert {file.relative_to(killed) for file in killed.rglob("*") if file.is_file()} == set(files)
        for file in files:
            if file.name not in ("SHA256SUMS", "README.md"):
                assert without_times(killed / file) == without_times(whole / file), file
