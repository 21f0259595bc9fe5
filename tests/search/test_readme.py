"""The code of the room's README runs, block by block, as a reader would paste it."""

import re
from pathlib import Path

import pytest
import torch
from torch.utils.data import TensorDataset

from tests.shapes import Shapes, own_net

BLOCKS = re.findall(r"```python\n(.*?)```", (Path(__file__).parents[2] / "pasm_aug/search/README.md").read_text(), re.S)


@pytest.fixture
def names():
    model = own_net()
    images = torch.stack([torch.from_numpy(image)[None] for image in Shapes().images])
    return {
        "model": model,
        "optimizer": torch.optim.SGD(model.parameters(), lr=0.01),
        "dataset": TensorDataset(model.preprocess(images), torch.from_numpy(Shapes().labels)),
        "student": own_net(1),
        "teacher": own_net(2),
        "faces": Shapes(),
        "validation": Shapes(30, seed=1),
    }


def test_the_loops_run_and_learn(names):
    before = {name: value.clone() for name, value in names["model"].state_dict().items()}
    for block in BLOCKS[:3]:  # a loop, one with an index, one with accelerate
        exec(block, names)
        for name, value in names["model"].state_dict().items():
            assert not torch.equal(value, before[name])
            before[name] = value.clone()
    assert len(names["erase"].table.places) == 60
    assert (names["erase"].table.places[:, :, 1] > 0).float().mean() > 0.95  # the gradient left its candidates


def test_the_lightning_module_learns(names, tmp_path):
    lightning = pytest.importorskip("lightning")
    exec(BLOCKS[0], names)
    exec(BLOCKS[1], names)
    exec(BLOCKS[3], names)
    module = names["Classifier"](own_net(3))
    before = [value.clone() for value in module.parameters()]
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    trainer = lightning.Trainer(max_epochs=2, accelerator="cpu", logger=False, default_root_dir=tmp_path, **quiet)
    trainer.fit(module, names["loader"])
    assert all(not torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))
    assert len(module.erase.table.places) == 60


def test_the_trainers_block_runs(names):
    before = {name: value.clone() for name, value in names["student"].state_dict().items()}
    exec(BLOCKS[4], names)
    assert any(not torch.equal(value, before[name]) for name, value in names["student"].state_dict().items())


def test_the_search_for_a_finished_teacher_runs(names):
    images = torch.stack([torch.from_numpy(image)[None] for image in Shapes(3).images])
    names |= {"images": images, "labels": torch.tensor([0, 1, 2])}
    exec(BLOCKS[5], names)
    assert names["found"].xy.shape == names["harder"].xy.shape == (3, 1, 2)
    assert len(BLOCKS) == 6
