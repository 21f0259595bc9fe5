"""A data set decoded once into memory."""

from __future__ import annotations

from collections.abc import Sized

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from pasm_aug.core.image_content import same_channels, to_uint8_tensor


class InMemory(Dataset):
    """A data set decoded once into memory as uint8 tensors: drawing or decoding never stands in training's way.

    Keeps ``classes``, ``class_to_idx`` and ``labels`` of the data set; ``source`` is the data set itself.
    """

    def __init__(self, dataset: Dataset, *, name: str = "images", progress: bool = True) -> None:
        assert isinstance(dataset, Sized)
        self.source = dataset
        bar = tqdm(range(len(dataset)), desc=f"reading {name}", unit=" images", disable=not progress, leave=False)
        samples = [dataset[i] for i in bar]
        self.images = same_channels([to_uint8_tensor(image) for image, _ in samples])
        self.labels = np.array([int(label) for _, label in samples], dtype=np.int64)
        self.classes = list(getattr(dataset, "classes", []))
        self.class_to_idx = {name: i for i, name in enumerate(self.classes)}

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.images[index], int(self.labels[index])
