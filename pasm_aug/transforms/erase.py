"""Erase where the teacher looks: the augmentation of PASM as a torchvision v2 transform (paper, Section 3.2, Alg. 1).

Unlike Random Erasing the place is looked up, in a cache that was mined before (:mod:`pasm_aug.transforms.placement`); the transform
runs no network and reads one row.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from typing import Any

import PIL.Image
import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten
from torchvision import tv_tensors

from pasm_aug.cache.position_cache import PositionCache
from pasm_aug.core.geometry import Box
from pasm_aug.core.painting import erase_patch, erase_patches
from pasm_aug.transforms import fill
from pasm_aug.transforms.batch_placement import BatchPlacing
from pasm_aug.transforms.erase_point import ErasePoint
from pasm_aug.transforms.indexed_dataset import IndexedDataset, SampleIndex
from pasm_aug.transforms.miss_report import CacheMiss
from pasm_aug.transforms.paired_view import PairedView
from pasm_aug.transforms.placement import leading

__all__ = ["CacheMiss", "ErasePoint", "IndexedDataset", "PairedView", "PointAdversarialErase", "SampleIndex"]

_PICTURES = (Tensor, tv_tensors.Image, tv_tensors.Video)
_PASSING = (int, SampleIndex, ErasePoint)


class PointAdversarialErase(BatchPlacing):
    """Fill a square around a mined point of the image, with probability ``p``.

    Takes an image alone (v1 ``Compose``) or any nesting of images, labels, boxes, masks and key points (v2); all but
    the images pass through, and all images of a sample get the same square. Images are PIL images, or tensors
    (..., C, H, W) with 1 to 4 channels: uint8, int16 or floating in [0, 1]. Leading dimensions make a batch: so many
    images, each with its own square; of a ``tv_tensors.Video`` (..., T, C, H, W) the T frames share one, looked up by
    the first. It belongs right after the deterministic head (decode, align, resize), or anywhere behind if the sample
    carries an :class:`ErasePoint`.

    Args:
        cache: path, :class:`PositionCache`, or ``None``: then every image is a miss, which with
            ``on_miss="random"`` gives a random square of matched size.
        p: probability of erasing.
        size: side of the square: a float in (0, 1] is a share of the shorter side of the image as it comes in, an
            int is pixels; a resize between mining and erasing changes the image, not the square's share of it.
        size_range: (low, high) alike, both included, drawn anew at each call; replaces ``size``.
        value: ``"point"`` the mined colour (on a miss, a uniformly drawn one), ``"mean"`` of the image per channel,
            ``"random"`` uniform noise, or a number or one per channel in the image's own range at this stage.
            With an :class:`ErasePoint`, ``"point"`` needs an index beside it to know the colour.
        on_miss: ``"random"`` a square of the same size anywhere, ``"skip"`` nothing, ``"raise"`` :class:`CacheMiss`.
        index_getter: ``"default"``; a callable from the sample to its index, which is trusted; ``None`` to go by
            content alone. For a batch: a dict entry (B,), a :class:`SampleIndex` (B, 2), or a getter of B integers.
        mean: of the ``Normalize`` that this transform stands behind, with ``std``; colours are normalised likewise.
        std: see ``mean``.
        inplace: write into the image.

    Raises:
        ValueError: when called, an index of another data set, an image and colours of different channels, or an
            ``ErasePoint`` of another canvas.
        CacheMiss: when called, as ``on_miss`` says.
        CacheError: the cache is damaged or gone.
    """

    _transformed_types = (fill.is_plain_image, tv_tensors.Image, tv_tensors.Video, PIL.Image.Image)

    def __init__(
        self,
        cache: str | os.PathLike[str] | PositionCache | None,
        *,
        p: float = 0.5,
        size: float = 31 / 224,
        size_range: tuple[float, float] | None = None,
        value: str | float | Sequence[float] = "point",
        on_miss: str = "random",
        index_getter: str | Callable[[Any], Any] | None = "default",
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        inplace: bool = False,
    ) -> None:
        super().__init__(
            cache,
            p=p,
            size=size,
            size_range=size_range,
            value=value,
            on_miss=on_miss,
            index_getter=index_getter,
            mean=mean,
            std=std,
        )
        self.inplace = inplace

    def forward(self, *inputs: Any) -> Any:
        sample = inputs[0] if len(inputs) == 1 else inputs
        if type(sample) in _PICTURES or isinstance(sample, PIL.Image.Image):  # the common samples need no flattening
            return self.transform(sample, self._draw([sample], sample, ()))
        if type(sample) is tuple and _is_image_with_names(sample):
            return self.transform(sample[0], self._draw(sample[:1], sample, sample[1:])), *sample[1:]
        leaves, spec = tree_flatten(sample)
        chosen = self._needs_transform_list(leaves)
        images = [leaf for leaf, take in zip(leaves, chosen, strict=True) if take]
        params = self._draw(images, sample, leaves)
        outputs = [self.transform(x, params) if take else x for x, take in zip(leaves, chosen, strict=True)]
        return tree_unflatten(outputs, spec)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw for one sample, by the content of its first image or the index among ``flat_inputs``.

        Returns:
            ``box`` (``None``: leave it) and ``colour``; for a batch ``boxes``, and ``colours`` as a tensor (B, C).
        """
        chosen = self._needs_transform_list(flat_inputs)
        images = [leaf for leaf, take in zip(flat_inputs, chosen, strict=True) if take]
        return self._draw(images, images[0] if images else None, flat_inputs)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Apply what :meth:`make_params` drew to one image, or to the images of a batch."""
        if "boxes" in params:
            return self._transform_batch(inpt, params["boxes"], params["colours"])
        box = params["box"]
        if box is None:
            return inpt
        image = inpt if isinstance(inpt, Tensor) else fill.holding_colours(inpt)
        if self.value == "point":
            colour = fill.colour_fill(image, params["colour"], self._normalisation)
            return erase_patch(image, box, colour, inplace=self.inplace)
        if self.value == "mean":
            return erase_patch(image, box, fill.mean_fill(image), inplace=self.inplace)
        if not isinstance(self.value, str):
            return erase_patch(image, box, fill.number_fill(image, self.value), inplace=self.inplace)
        left, top, right, bottom = box
        if isinstance(image, PIL.Image.Image):
            image = image if self.inplace else image.copy()
            image.paste(fill.pil_noise(image, (bottom - top, right - left)), box)
            return image
        patch = fill.noise(image, (bottom - top, right - left), self._normalisation)[0]
        return erase_patch(image, box, patch.to(image.device), inplace=self.inplace)

    def _transform_batch(self, images: Tensor, boxes: Sequence[Box | None], colours: Tensor) -> Tensor:
        lead = leading(images)
        if math.prod(images.shape[:lead]) != len(boxes):
            raise ValueError(f"params are for {len(boxes)} images, the batch has shape {tuple(images.shape)}")
        if not any(boxes):
            return images
        if self.value == "point":
            values = fill.colour_fills(images, colours, self._normalisation)
        elif self.value == "mean":
            each = (images if type(images) is Tensor else images.as_subclass(Tensor)).flatten(0, lead - 1)
            values = torch.stack([torch.as_tensor(fill.mean_fill(image)) for image in each])[..., 0, 0]
        elif self.value == "random":
            side = max(max(box[2] - box[0], box[3] - box[1]) for box in boxes if box is not None)
            values = fill.noise(images, (side, side), self._normalisation, count=len(boxes))
            return erase_patches(images, boxes, values, lead=lead, inplace=self.inplace)
        else:
            assert not isinstance(self.value, str)
            row = torch.tensor(fill.number_fill(images, self.value), dtype=torch.float64)
            values = row.expand(len(boxes), -1)
        return erase_patches(images, boxes, values[..., None, None], lead=lead, inplace=self.inplace)

    def extra_repr(self) -> str:
        size = f"size={self.size:.4g}" if self.size_range is None else f"size_range={self.size_range}"
        path = None if self.cache is None else self.cache.path
        return f"{path!r}, p={self.p}, {size}, value={self.value!r}, on_miss={self.on_miss!r}"


def _is_image_with_names(sample: tuple[Any, ...]) -> bool:
    """(image, label, index, …), where no flattening is needed to find the image."""
    first: Any = sample[0] if sample else None
    if not isinstance(first, PIL.Image.Image) and not (type(first) in _PICTURES and first.ndim > 2):
        return False
    for other in sample[1:]:
        if type(other) not in _PASSING and not (type(other) is Tensor and other.ndim < 3):
            return False
    return True
