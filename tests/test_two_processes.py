"""Two real processes (gloo) under torchrun do what one does, and end together when one of them dies."""

import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from pasm_aug import ASM, Pair, PointSearch, PositionCache, mine_positions
from pasm_aug.search.online import OnlineAdversarialErase
from pasm_aug.search.place_table import PlaceTable
from pasm_aug.training.evaluation import evaluate
from pasm_aug.training.trainer import train
from pasm_aug.transforms.erase import PointAdversarialErase
from pasm_aug.transforms.paired_view import PairedView
from tests.shapes import Shapes, own_net

OPTIONS = {"epochs": 3, "lr": 0.05, "batch_size": 14, "device": "cpu", "progress": False}
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
ENVIRONMENT = os.environ | {"PYTHONPATH": os.getcwd(), "OMP_NUM_THREADS": "1"}

SCRIPT = """
import json, os, signal, sys, time
import torch
from torch.distributed.elastic.multiprocessing.errors import record
from pasm_aug.training.evaluation import evaluate
from pasm_aug.training.losses import distillation_loss
from pasm_aug.core.processes import process_state
from pasm_aug.training import train
from pasm_aug.transforms import PairedView, PointAdversarialErase
from tests.shapes import Shapes, own_net
from tests.test_two_processes import OPTIONS, student

out, how = sys.argv[1:3]
rank, steps = process_state("cpu").process_index, 0

def loss(*logits):
    global steps
    steps += 1
    if rank == 1 and steps == 4 and how == "raise":
        raise RuntimeError("the cat sat on the second keyboard")
    if rank == 1 and steps == 4 and how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    return distillation_loss(*logits)

@record
def main():
    result = student(loss=loss, **eval(sys.argv[3]))
    scores = evaluate(result.model, Shapes(31, seed=3), device="cpu")
    if rank == 0:
        weights = torch.cat([p.detach().flatten() for p in result.model.parameters()]).tolist()
        rows = [{k: v for k, v in row.items() if k != "seconds"} for row in result.history]
        json.dump([weights, rows, scores.asdict(), scores.predictions.tolist()], open(out, "w"))
    torch.distributed.destroy_process_group()

main()
"""


def student(**options):
    """A student of another network, on images that are erased at random places."""
    erase = PairedView(PointAdversarialErase(None, p=1.0))
    return train(own_net(), Shapes(), val=Shapes(25, seed=1), teacher=own_net(7), augment=erase, **(OPTIONS | options))


def two(tmp_path, how, **options):
    (tmp_path / "script.py").write_text(SCRIPT)
    out = tmp_path / "out.json"
    command = [*TORCHRUN, str(tmp_path / "script.py"), str(out), how, repr(options)]
    return out, subprocess.run(command, env=ENVIRONMENT, timeout=120, capture_output=True, text=True)


@pytest.mark.parametrize("options", [{}, {"accumulate": 2, "ema": 0.9, "sampling": "balanced", "reuse_logits": False}])
def test_two_processes_train_and_score_like_one(tmp_path, options):
    out, done = two(tmp_path, "well", **options)
    assert done.returncode == 0, done.stderr
    weights, rows, scores, predictions = json.loads(out.read_text())
    alone = student(**options)
    expected = torch.cat([p.detach().flatten() for p in alone.model.parameters()])
    assert torch.allclose(torch.tensor(weights), expected, atol=1e-6)
    for two_row, row in zip(rows, alone.history, strict=True):
        assert two_row == pytest.approx({k: v for k, v in row.items() if k != "seconds"}, abs=1e-6)
    judged = evaluate(alone.model, Shapes(31, seed=3), device="cpu")
    assert np.array_equal(predictions, judged.predictions)
    assert scores["confusion"] == judged.confusion  # 31 images, none of them twice
    assert scores["loss"] == pytest.approx(judged.loss, abs=1e-6)


ONLINE = """
import json, sys
import torch
from pasm_aug.core.processes import process_state
from tests.test_two_processes import online

state, tables = process_state("cpu"), []
result = online(tables)
torch.save([tables, torch.cat([p.detach().flatten() for p in result.model.parameters()]), result.history],
           f"{sys.argv[1]}/{state.process_index}")
state.wait_for_everyone()
torch.distributed.destroy_process_group()
"""


def online(tables):
    """A student of the adversary in the step; ``tables``: what it remembers after each epoch."""
    share = PlaceTable.synchronise

    def watched(table):
        share(table)
        tables.append(table.places.clone())

    view = PairedView(OnlineAdversarialErase(size=7, budget=2), v2.RandomHorizontalFlip())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PlaceTable, "synchronise", watched)
        return train(own_net(), Shapes(), teacher=own_net(7), augment=view, **OPTIONS)


def test_two_processes_mine_in_the_step_like_one(tmp_path):
    (tmp_path / "online.py").write_text(ONLINE)
    done = subprocess.run(
        [*TORCHRUN, str(tmp_path / "online.py"), str(tmp_path)],
        env=ENVIRONMENT, timeout=120, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    tables = []
    alone = online(tables)
    expected = torch.cat([p.detach().flatten() for p in alone.model.parameters()])
    for rank in (0, 1):
        found, weights, history = torch.load(tmp_path / str(rank), weights_only=True)
        assert len(found) == 3
        assert all(torch.equal(a, b) for a, b in zip(found, tables, strict=True))
        assert torch.allclose(weights, expected, atol=1e-6)
        assert [row["erased_share"] for row in history] == [row["erased_share"] for row in alone.history]


UNEVEN = """
import sys
import torch
from pasm_aug import OnlineAdversarialErase
from pasm_aug.core.processes import process_state
from tests.small_teachers import conv_net, random_images, scaled

state = process_state("cpu")
torch.manual_seed(0)
erase = OnlineAdversarialErase(conv_net(), size=5, preprocess=scaled)
rows = torch.arange(4) + 20 * state.process_index  # so the tables of the two are of other lengths
erase(random_images(4, 12), torch.arange(4), index=rows)
erase.synchronise()
torch.save([erase.table.places, rows], f"{sys.argv[1]}/{state.process_index}")
state.wait_for_everyone()
torch.distributed.destroy_process_group()
"""


def test_tables_that_grew_to_other_lengths_are_shared(tmp_path):
    (tmp_path / "uneven.py").write_text(UNEVEN)
    command = [*TORCHRUN, str(tmp_path / "uneven.py"), str(tmp_path)]
    done = subprocess.run(command, env=ENVIRONMENT, timeout=120, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (first, rows), (second, others) = (torch.load(tmp_path / str(rank), weights_only=True) for rank in (0, 1))
    assert torch.equal(first, second)
    assert len(first) == 24
    known = (first >= 0).flatten(1).any(1).nonzero()[:, 0]
    assert torch.equal(known, torch.cat([rows, others]))


SORTING = """
import sys
import torch
from pasm_aug.core.processes import process_state
from tests.test_two_processes import sorting

state = process_state("cpu")
result = sorting(sys.argv[1] + "/checkpoint.safetensors")
record = {name: torch.from_numpy(array) for name, array in result.method.record.arrays().items()}
weights = torch.cat([p.detach().flatten() for p in result.model.parameters()])
torch.save([record, weights, result.history], f"{sys.argv[1]}/{state.process_index}")
state.wait_for_everyone()
torch.distributed.destroy_process_group()
"""


def sorting(checkpoint):
    """A pair trained by ASM, whose thresholds are so near that every subset has images."""
    view = PairedView(PointAdversarialErase(None, p=1.0), v2.RandomHorizontalFlip())
    method = ASM(low=0.99, high=1.0, reduction="batch")
    pair = Pair(own_net(), own_net(1))
    return train(pair, Shapes(), teacher=own_net(7), augment=view, method=method, checkpoint=checkpoint, **OPTIONS)


def test_two_processes_sort_labels_like_one(tmp_path):
    (tmp_path / "sorting.py").write_text(SORTING)
    done = subprocess.run(
        [*TORCHRUN, str(tmp_path / "sorting.py"), str(tmp_path)],
        env=ENVIRONMENT, timeout=120, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    alone = sorting(tmp_path / "alone.safetensors")
    assert alone.method.record.sizes[-1].sum(0).min() > 0
    expected = torch.cat([p.detach().flatten() for p in alone.model.parameters()])
    for rank in (0, 1):
        record, weights, history = torch.load(tmp_path / str(rank), weights_only=True)
        for name in ("subset", "sizes", "moved", "noise_counts"):
            assert np.array_equal(record[name].numpy(), getattr(alone.method.record, name))
        assert torch.allclose(weights, expected, atol=1e-6)
        for row, other in zip(history, alone.history, strict=True):
            for name in ("loss", "noise_share", "erased_share"):
                assert row[name] == pytest.approx(other[name], abs=1e-6)
    again = sorting(tmp_path / "checkpoint.safetensors")  # what one process goes on from
    assert again.epoch == 3
    assert np.array_equal(again.method.record.subset, alone.method.record.subset)
    assert torch.allclose(again.method.probs, alone.method.probs, atol=1e-5)


@pytest.mark.parametrize(("how", "word"), [("raise", "the cat sat on the second keyboard"), ("kill", "SIGKILL")])
def test_a_process_that_dies_ends_all_and_says_why(tmp_path, how, word):
    started = time.monotonic()
    out, done = two(tmp_path, how)
    assert done.returncode != 0
    assert word in done.stderr
    assert time.monotonic() - started < 60
    assert not out.exists()


SLOW = """
import json, sys, time
import pasm_aug.core.files as files
from pasm_aug.core.processes import process_state

rank = process_state("cpu").process_index
replace = files.os.replace
files.os.replace = lambda *names: (time.sleep(0.7), replace(*names))  # a file appears late

import torch
from pasm_aug import PointSearch, run_rounds
from pasm_aug.rounds.results import RoundResult
from tests.shapes import Shapes, own_net

data = {"train": Shapes(30), "val": Shapes(16, seed=1), "test": Shapes(16, seed=2)}
options = {"rounds": 1, "epochs": 1, "batch_size": 10, "device": "cpu", "progress": False}
options["search"] = PointSearch(budget=4)
out = sys.argv[1]
first = run_rounds(own_net, data, out=out + "/point", **options)
second = run_rounds(own_net, data, out=out + "/shuffled", augment="shuffled", teacher=first[0], **options)
print("ended", rank, len(second), flush=True)
torch.distributed.destroy_process_group()
"""


def test_a_slow_file_system_does_not_end_the_second_arm(tmp_path):
    (tmp_path / "slow.py").write_text(SLOW)
    command = [*TORCHRUN, str(tmp_path / "slow.py"), str(tmp_path)]
    done = subprocess.run(command, env=ENVIRONMENT, timeout=240, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert {"ended 0 2", "ended 1 2"} <= set(done.stdout.splitlines())
    assert (tmp_path / "shuffled" / "round-1" / "result.json").exists()


SHARED = """
import json, sys, time
import numpy as np
from pasm_aug import PointSearch, mine_positions
from pasm_aug.core.processes import process_state
from pasm_aug.search import mine
from tests.shapes import Shapes, own_net
import torch

state, mine.IMAGES_AT_ONCE, searched = process_state("cpu"), 4, []

class Uneven(PointSearch):
    def run(self, teacher, images, labels, **options):
        time.sleep(0.3 if state.process_index else 0.02)
        searched.append(len(images))
        return super().run(teacher, images, labels, **options)

mine_positions(own_net(), Shapes(80), sys.argv[1], search=Uneven(budget=4), device="cpu", progress=False)
print("searched", state.process_index, sum(searched), flush=True)
torch.distributed.destroy_process_group()
"""


def test_nobody_waits_long_for_the_slowest_miner(tmp_path):
    (tmp_path / "shared.py").write_text(SHARED)
    command = [*TORCHRUN, str(tmp_path / "shared.py"), str(tmp_path / "c")]
    done = subprocess.run(command, env=ENVIRONMENT, timeout=120, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = dict(line.split()[1:] for line in done.stdout.splitlines() if line.startswith("searched"))
    assert int(found["0"]) + int(found["1"]) == 80
    assert int(found["0"]) > int(found["1"]) > 0
    alone = mine_positions(
        own_net(), Shapes(80), tmp_path / "d", search=PointSearch(budget=4), device="cpu", progress=False
    )
    assert np.array_equal(PositionCache.open(tmp_path / "c").to_numpy()["xy"], alone.to_numpy()["xy"])
