"""A data set decoded once into memory."""

from __future__ import annotations

from collections.abc import Iterable, Sized

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from pasm_aug.core.image_content import same_channels, to_uint8_tensor
from pasm_aug.core.items import class_names, unpacked
from pasm_aug.core.progress import progress_bar


class InMemory(Dataset[tuple[Tensor, int]]):
    """A data set decoded once into memory: neither drawing nor decoding ever stands in training's way.

    Items are (uint8 tensor (C, H, W), int label). An item is a copy, so that what a transform writes into it does not
    reach the next epoch. Grey images among colour ones have three equal channels.

    Args:
        dataset (Dataset): map-style, items (image, label) without random transforms, of one size or of several.
        name (str): of what is read, in the bar. Default: ``"images"``.
        progress (bool): show a bar. Default: ``True``.

    Attributes:
        images (Tensor or list of ndarray): uint8 (N, C, H, W), which loader workers share; of images of several sizes
            one (C, H, W) each.
        labels (ndarray): (N,) int64.
        classes (list of str), class_to_idx (dict): of the data set, empty where it has none.
        source (Dataset): the data set itself.
    """

    def __init__(self, dataset: Dataset, *, name: str = "images", progress: bool = True) -> None:
        assert isinstance(dataset, Sized)
        self.source = dataset
        bar = progress_bar(range(len(dataset)), name=f"reading {name}", shown=progress)
        labels: list[int] = []

        def read(index: int) -> Tensor:
            image, label = unpacked(dataset[index])
            labels.append(int(label))
            return to_uint8_tensor(image)

        self.images = gather(map(read, bar), len(dataset))
        self.labels = np.array(labels, dtype=np.int64)
        self.classes = class_names(dataset)
        self.class_to_idx = {name: i for i, name in enumerate(self.classes)}

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return torch.as_tensor(self.images[index]).clone(), int(self.labels[index])


def gather(images: Iterable[Tensor], count: int) -> Tensor | list[np.ndarray]:
    """Hold images in one piece of memory as they come.

    A tensor an image would not do: each costs a process that is not forked a file descriptor.

    Args:
        images (iterable of Tensor): uint8 (C, H, W), C = 1 or 3.
        count (int): how many they are.

    Returns:
        Tensor or list of ndarray: uint8 (N, C, H, W), or (C, H, W) each if they are of several sizes. Grey images
        among colour ones get three equal channels.
    """
    held = torch.empty(0)
    sizes: list[Tensor] = []
    for index, image in enumerate(images):
        if index == 0:
            held = torch.empty((count, *image.shape), dtype=torch.uint8)
        if not sizes and image.shape[1:] != held.shape[2:]:
            sizes = list(held[:index])
        if sizes:
            sizes.append(image.clone())
            continue
        if len(image) > held.shape[1]:
            held = held.expand(-1, 3, -1, -1).clone()
        held[index] = image
    return [image.numpy() for image in same_channels(sizes)] if sizes or not count else held
