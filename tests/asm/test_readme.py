"""The code of the room's README runs, block by block, as a reader would paste it."""

import os
import re
from pathlib import Path

import numpy as np

from tests.asm.test_method import Noisy
from tests.shapes import OwnNet, Shapes, own_net

BLOCKS = re.findall(r"```python\n(.*?)```", (Path(__file__).parents[2] / "pasm_aug/asm/README.md").read_text(), re.S)


def test_the_blocks_run_one_after_the_other(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {"first": own_net(0), "second": own_net(1), "dataset": Noisy(120), "validation": Shapes(30, seed=1)}
    names["make_network"] = OwnNet
    for block in BLOCKS:
        exec(block, names)
    said = capsys.readouterr().out
    assert re.search(r"Partition\(\d+ clean, \d+ ambiguous, \d+ noise\)", said)
    assert re.search(r"precision \S+, recall \S+", said)
    assert sorted(os.listdir()) == ["noise.csv", "partition.safetensors", "positions.safetensors"]
    dataset, erase = names["dataset"], names["erase"]
    for index in range(len(dataset)):
        image = dataset[index][0]
        assert (np.asarray(erase(image)) != np.asarray(image)).any() == names["partition"].clean[index]
    assert len(names["suspects"]) == 120
    assert len(BLOCKS) == 5
