import pytest

from pasm_aug.report.titles import run_title


@pytest.mark.parametrize(
    ("config", "model", "title"),
    [
        ({"data": "synthetic", "model": "small"}, {}, "Synthetic faces, small network"),
        ({"data": "fer2013", "model": "x"}, {"architecture": "resnet18"}, "FER2013, resnet18"),
        ({"data": "folder", "root": "/home/me/flowers", "model": "timm:vit"}, {}, "Images of flowers, vit"),
        ({"data": "rafdb", "model": "pair:small"}, {}, "RAF-DB, two of small network"),
        ({"data": "later"}, {}, "Later, own network"),
        ({}, {}, "Own images, own network"),
    ],
)
def test_a_title_says_data_and_network(config, model, title):
    assert run_title(config, model) == title
