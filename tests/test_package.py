import subprocess
import sys

import pytest
import torch
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

import pasm_aug
from pasm_aug.models import build_model
from tests.shapes import Shapes


def test_every_public_name_can_be_had():
    for name in pasm_aug.__all__:
        assert getattr(pasm_aug, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = pasm_aug.no_such_name


def test_a_worker_that_transforms_loads_no_more_than_it_needs():
    code = (
        "import sys; import pasm_aug; assert 'torch' not in sys.modules; "
        "pasm_aug.PointAdversarialErase; pasm_aug.PairedView; pasm_aug.PositionCache; "
        "print([m for m in ('numba', 'torchmetrics', 'accelerate', 'matplotlib') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_python_m_is_the_command():
    done = subprocess.run([sys.executable, "-m", "pasm_aug", "--help"], capture_output=True, text=True, check=True)
    assert "pasm-aug run --data fer2013" in done.stdout


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_the_readmes_pipeline_finds_every_image(tmp_path, version):
    data = Shapes(30)
    for index in range(30):
        image, label = data[index]
        folder = tmp_path / "data" / data.classes[label]
        folder.mkdir(parents=True, exist_ok=True)
        image.resize((32, 26)).save(folder / f"{index}.png")
    if version == "v1":
        head, tail = transforms.Resize((20, 20)), [transforms.RandomHorizontalFlip(), transforms.ToTensor()]
        compose = transforms.Compose
    else:
        head, tail = v2.Resize((20, 20)), [v2.RandomHorizontalFlip(), v2.ToImage(), v2.ToDtype(torch.float32, True)]
        compose = v2.Compose
    net = build_model("small", 3)
    pasm_aug.mine_positions(net, ImageFolder(tmp_path / "data", head), tmp_path / "positions", progress=False)
    erase = pasm_aug.PointAdversarialErase(tmp_path / "positions", p=1.0, on_miss="raise")
    train = ImageFolder(tmp_path / "data", compose([head, erase, *tail]))
    images = [image for loaded, _ in DataLoader(train, 8, num_workers=2) for image in loaded]
    assert len(images) == 30
    assert erase.stats()["hits"] == 30
    assert erase.stats()["misses"] == 0
