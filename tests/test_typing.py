"""What an editor shows: a user's script, right lines and wrong ones, read by mypy as an installed package is."""

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytest.importorskip("mypy")

SCRIPT = """
from typing import Any

import torch
from torch import nn
from torchvision.transforms import v2

import pasm_aug
from pasm_aug import (
    FER2013,
    ExpressionFolder,
    PairedView,
    PointAdversarialErase,
    PointSearch,
    PositionCache,
    build_model,
    distillation_loss,
    evaluate,
    mine_positions,
    run_rounds,
    train,
)
from pasm_aug.data import InMemory, open_dataset
from pasm_aug.transforms import ErasePoint

reveal_type(PointAdversarialErase)  # N: def (cache: str | os.PathLike[str]
reveal_type(run_rounds)  # N: list[pasm_aug.rounds.results.RoundResult]
faces = FER2013("fer", split="train")
net: nn.Module = build_model("small", num_classes=7)
cache: PositionCache = mine_positions(net, faces, "positions.safetensors", search="seeded", seed=1)
search = PointSearch("paper", points=2, objective="margin", misclassified="skip")
custom = PointSearch(objective=lambda logits, labels: logits[:, 0])
erase = PointAdversarialErase(cache, p=0.5, size=31, value="mean", on_miss="skip")
grey = PointAdversarialErase("positions.safetensors", value=(0.5, 0.5, 0.5), size_range=(0.1, 0.2))
number = PointAdversarialErase(None, value=127)
compose = v2.Compose([v2.Resize((48, 48)), erase, v2.ToImage()])
result = train(net, faces, augment=PairedView(erase, v2.RandomHorizontalFlip()), teacher=net, epochs=2)
accuracy: float = evaluate(net, faces).accuracy
loss: torch.Tensor = distillation_loss(torch.zeros(2, 7), None, torch.zeros(2, dtype=torch.long), beta=0.5)
rounds = run_rounds(lambda: net, {"train": faces, "val": faces, "test": faces}, out="runs", rounds=1, epochs=2)
last: float = rounds[-1].val.accuracy

PointAdversarialErase(cache, sise=31)  # E: call-arg
PointAdversarialErase(cache, value="points")  # E: arg-type
PointAdversarialErase(cache, on_miss="rnd")  # E: arg-type
PointAdversarialErase(cache, size="large")  # E: arg-type
PointAdversarialErase(7)  # E: arg-type
PointSearch("seed")  # E: arg-type
PointSearch(misclassified="ignore")  # E: arg-type
PointSearch(pints=2)  # E: call-arg
mine_positions(net, faces)  # E: call-arg
mine_positions(net, faces, "c", search=3)  # E: arg-type
build_model(7, 7)  # E: arg-type
train(net, faces, epoch=3)  # E: call-arg
evaluate(net, faces).acuracy  # E: attr-defined
run_rounds(lambda: net, {"train": faces}, ot="runs")  # E: call-arg
FER2013()  # E: call-arg
pasm_aug.PointAdversarialEraser  # E: attr-defined
cache.lookup(key=[1])  # E: call-arg
"""


README = Path(__file__).parents[1] / "README.md"


def mypy(folder, *words):
    """What mypy prints, run outside the package's own folder: what it finds is what is installed."""
    command = [sys.executable, "-m", "mypy", "--no-incremental", "--ignore-missing-imports", *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder).stdout


def test_the_front_pages_scripts_are_strictly_typed(tmp_path):
    scripts = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
    for number, script in enumerate(scripts):
        (tmp_path / f"script_{number}.py").write_text(script)
    names = [f"script_{number}.py" for number in range(len(scripts))]
    found = mypy(tmp_path, "--strict", "--allow-untyped-calls", *names)  # torch's own backward() is untyped
    assert found.startswith(f"Success: no issues found in {len(scripts)} source files"), found


def test_a_users_script_is_checked_line_by_line(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.lstrip())
    told = mypy(tmp_path, script.name)
    found, notes = set(), {}
    for line in told.splitlines():
        if error := re.match(r"script\.py:(\d+): error: .*\[([\w-]+)\]$", line):
            found.add((int(error[1]), error[2]))
        elif note := re.match(r"script\.py:(\d+): note: (Revealed type is .*)", line):
            notes[int(note[1])] = note[2]
    wanted = set()
    for number, line in enumerate(SCRIPT.lstrip().splitlines(), 1):
        if "# E: " in line:
            wanted.add((number, line.rpartition("# E: ")[2]))
        if "# N: " in line:
            assert line.rpartition("# N: ")[2] in notes[number]
    assert found == wanted, textwrap.indent(told, "  ")
