import numpy as np
import pytest
import torch
from torch import nn

from pasm_aug.core.errors import UserError
from pasm_aug.rounds.hidden_images import FILE, read_hidden, write_hidden
from pasm_aug.training.occlusion import evaluate_occlusion


class Bright(nn.Module):
    """Class 1 for an image that is bright in the middle."""

    def forward(self, images):
        middle = images[:, 0, 8:12, 8:12].mean((1, 2))
        return torch.stack([torch.full_like(middle, 0.2), middle], 1)


class Squares:
    """Images that are white or black all over, labelled 1 and 0; every fourth label is wrong."""

    labels = np.arange(16) % 2

    def __len__(self):
        return 16

    def __getitem__(self, index):
        label = int(self.labels[index])
        return torch.full((1, 20, 20), 255 * (label if index % 4 else 1 - label), dtype=torch.uint8), label


def test_what_is_written_is_read_back(tmp_path):
    found = evaluate_occlusion(
        Bright(), Squares(), sizes=(13 / 48,), fills=("black",), places=4, bands=False,
        preprocess=lambda images: images / 255,
    )  # fmt: skip
    write_hidden(tmp_path, found)
    labels, right = read_hidden(tmp_path)
    assert labels.tolist() == Squares.labels.tolist()
    assert right.tolist() == found.squares[0].robust.tolist()
    assert right.mean() == found.squares[0].worst
    assert 0 < right.sum() < 16


def test_no_file_is_nothing_and_a_damaged_one_is_named(tmp_path):
    assert read_hidden(tmp_path) is None
    for text in ("index,label\n0,1\n", "index,label,right_everywhere\n0,1,yes\n"):
        (tmp_path / FILE).write_text(text)
        with pytest.raises(UserError, match=rf"{FILE} is damaged"):
            read_hidden(tmp_path)
