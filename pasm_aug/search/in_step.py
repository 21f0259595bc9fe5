"""What a search within a training step owes the step: nothing left behind, and a clear word on a batch that is none."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from pasm_aug.core.errors import UserError
from pasm_aug.core.eval_mode import eval_mode
from pasm_aug.core.geometry import side_in_pixels
from pasm_aug.search.network_input import Preprocess

_MOST = 1 << 30  # samples: each takes hundreds of bytes


def square_sides(size: float, size_range: Sequence[float] | None, drawn: Tensor, shorter: int) -> Tensor:
    """(B, 2) int64: height and width of each image's square in pixels, from uniform numbers (B,)."""
    if size_range is None:
        sides = torch.full_like(drawn, side_in_pixels(size, shorter), dtype=torch.int64)
    elif isinstance(size_range[0], int):
        least, most = map(int, size_range)
        sides = least + (drawn * (most - least + 1)).long()
    else:
        low, high = size_range
        sides = ((low + drawn * (high - low)) * shorter + 0.5).long().clamp(min=1)
    return sides.clamp(max=shorter)[:, None].expand(-1, 2)


def rectangle_sides(scale: Sequence[float], ratio: Sequence[float], drawn: Tensor, height: int, width: int) -> Tensor:
    """(B, 2) int64: height and width in pixels, with the areas and ratios of torchvision's RandomErasing.

    Args:
        scale: share of the area, uniform. ratio: height by width, uniform in its logarithm. drawn: (B, 2) in [0, 1).
    """
    area = height * width * (scale[0] + drawn[:, 0] * (scale[1] - scale[0]))
    shape = (math.log(ratio[0]) + drawn[:, 1] * math.log(ratio[1] / ratio[0])).exp()
    sides = torch.stack([(area * shape).sqrt(), (area / shape).sqrt()], 1).round().long()
    return torch.minimum(sides.clamp(min=1), torch.tensor([height, width], device=sides.device))


@contextmanager
def undisturbed(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Evaluation mode, random states put back afterwards, and nothing of autocast left behind."""
    precision = torch.get_autocast_dtype(device.type)
    cast = torch.autocast(device.type, precision, torch.is_autocast_enabled(device.type), cache_enabled=False)
    gpus = [device] if device.type == "cuda" else []
    with eval_mode(model), torch.random.fork_rng(gpus), cast:  # a cast weight cached here would have no gradient
        yield


def check_model(model: object) -> nn.Module:
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    return model


def check_batch(
    images: Tensor, labels: Tensor, model: nn.Module | None, preprocess: Preprocess | None = None
) -> nn.Module:
    model = check_model(model)
    if not isinstance(images, Tensor) or not isinstance(labels, Tensor):
        raise TypeError(f"images and labels must be tensors, got {type(images).__name__} and {type(labels).__name__}")
    if images.dtype != torch.uint8 and not images.is_floating_point():
        raise TypeError(f"images must be uint8 or floating, got {images.dtype}")
    if preprocess is not None and images.is_floating_point():
        raise UserError(
            "preprocess is for uint8 images, floating ones must be the network's input: leave it out and erase what is "
            "normalised already"
        )
    if labels.is_floating_point():
        raise TypeError(f"labels must be integers, got {labels.dtype}: erase before labels are mixed")
    if images.ndim != 4 or labels.shape != images.shape[:1]:
        shapes = f"{tuple(images.shape)} and {tuple(labels.shape)}"
        raise UserError(f"images must have shape (B, C, H, W) and labels (B,), got {shapes}")
    return model


def check_index(index: Tensor | Sequence[int], count: int) -> Tensor:
    """(B,) integers; of a batch of ``SampleIndex`` (B, 2) the samples' own numbers."""
    index = torch.as_tensor(index).as_subclass(Tensor)
    index = index[:, 0] if index.shape == (count, 2) else index
    if index.shape != (count,) or index.is_floating_point():
        raise UserError(f"index must be {count} integers, one for each image, got {tuple(index.shape)} {index.dtype}")
    if count and int(index.min()) < 0:
        raise UserError(f"index must not be negative, got {int(index.min())}")
    if count and int(index.max()) >= _MOST:
        raise UserError(
            f"index must number the samples from 0 on, for a table has a row for each number, got {int(index.max())}"
        )
    return index


def check_where(where: Tensor | Sequence[bool], images: Tensor) -> Tensor:
    """(B,) bool, where the images lie."""
    mask = torch.as_tensor(where, device=images.device)
    if mask.dtype != torch.bool or mask.shape != images.shape[:1]:
        raise UserError(f"where must be {len(images)} bool, one for each image, got {tuple(mask.shape)} {mask.dtype}")
    return mask
