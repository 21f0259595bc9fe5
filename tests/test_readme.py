"""The scripts of README.md and of the rooms' READMEs run as they stand, one after the other, on a folder of images."""

import re
import warnings
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from torch.utils.data import DataLoader, default_collate
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from pasm_aug import SyntheticExpressions, build_model, mine_positions
from tests.shapes import Shapes, own_net

ROOT = Path(__file__).parents[1]


def blocks(document, until=None):
    text = (ROOT / document).read_text().partition(until)[0] if until else (ROOT / document).read_text()
    return re.findall(r"^ *```python\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with images in class folders at faces/train."""
    data = SyntheticExpressions("train", length=35)
    for index in range(len(data)):
        image, label = data[index]
        folder = tmp_path / "faces" / "train" / data.classes[label]
        folder.mkdir(parents=True, exist_ok=True)
        image.save(folder / f"{index}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def shortened(code):
    """The same with one epoch where there are many: what is tested is that it runs."""
    return re.sub(r"range\(5\)", "range(1)", re.sub(r"epochs=\d+", "epochs=1", code))


def test_the_front_page_is_short():
    assert len((ROOT / "README.md").read_text().split()) <= 1200


def test_the_scripts_of_the_front_page_need_nothing_but_a_folder_of_images(here):
    names = [{}, {}]
    for script, known in zip(blocks("README.md"), names, strict=True):  # each is complete: they share no names
        exec(shortened(script), known)
    online, mined = names
    assert len(online["faces"]) == 35
    assert (here / "positions.safetensors").exists()
    erased = [np.asarray(image) for image, _ in mined["loader_ready"]]
    assert len(erased) == 35
    assert any((image == image[:, :1, :1]).mean() < 1 for image in erased)


def test_the_recipes_of_the_transform(here):
    recipes = blocks("pasm_aug/transforms/README.md", until="## Neighbours")  # those: test_neighbours.py
    to_tensor = v2.Compose([v2.Resize((48, 48)), v2.PILToTensor()])
    model = build_model("small", 7)
    names = {"v2": v2, "head": v2.Resize((48, 48)), "to_tensor": to_tensor, "ImageFolder": ImageFolder}
    names |= {"root": "faces/train", "DataLoader": DataLoader, "default_collate": default_collate}
    mine_positions(model, ImageFolder("faces/train", names["head"]), "positions.safetensors", progress=False)
    for recipe in recipes[:3]:
        lines = recipe.splitlines()
        indent = len(lines[0]) - len(lines[0].lstrip())
        exec("\n".join(line[indent:] for line in lines), names)
        if "loader" in names:
            images = next(iter(names.pop("loader")))[0]
            assert images.shape == (35, 3, 48, 48)
        else:
            assert names["train"][3][1] == ImageFolder("faces/train")[3][1]
    names = {"v2": v2, "student": own_net(), "teacher": own_net(1)}
    names |= {"dataset": Shapes(), "validation": Shapes(30, seed=1)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other images than those that were mined
        exec(shortened(recipes[3]), names)
    assert len(recipes) == 4


def test_pictures_that_the_front_page_shows_can_be_opened():
    for name in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", (ROOT / "README.md").read_text()):
        PIL.Image.open(ROOT / name).verify()
