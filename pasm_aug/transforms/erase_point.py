"""A point that travels with its image through random geometry, for pipelines that erase last.

torchvision's key points count pixels in two ways at once (flips from the centres, resizing and rotation from the
edges), so they end up to two pixels away from what they mark. :class:`ErasePoint` counts from the edges throughout and
brings its own kernels where torchvision's count otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as F

from pasm_aug.core.errors import UserError

_KEEPING = (torch.stack, Tensor.pin_memory, Tensor.cuda, Tensor.cpu)


class Collatable(tv_tensors.TVTensor):
    """A tensor whose class survives collating and moving to a device, where torchvision's own become plain tensors."""

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Tensor],
        types: tuple[type[Tensor], ...],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Tensor:
        output = super().__torch_function__(func, types, args, kwargs)
        if func not in _KEEPING or not isinstance(output, Tensor):
            return output
        like = args[0][0] if func is torch.stack else args[0]
        return cls.wrap(output.as_subclass(Tensor), like=like)


class ErasePoint(Collatable, tv_tensors.KeyPoints):
    """float32 (K, 2): points (x, y) of one image, in pixels from its upper left *corner*; a batch has (B, K, 2).

    The centre of pixel (column 3, row 5) is (3.5, 5.5); :meth:`at_pixels` adds the half. A point may leave the canvas
    and come back; NaN stands for an image without a point. Goes through every v2 geometric transform that takes key
    points: flips, resizes, crops, pads of any mode, rotation, affine, perspective. AutoAugment, RandAugment,
    TrivialAugment and AugMix refuse key points: erase before them.

    Args:
        data (Any): what :func:`torch.as_tensor` takes, of shape (K, 2), or (2,) for one point.
        canvas_size (tuple of ints): (height, width) of the image.
    """

    def __new__(cls, data: Any, *, canvas_size: tuple[int, int], **options: Any) -> ErasePoint:
        return super().__new__(cls, data, canvas_size=canvas_size, **({"dtype": torch.float32} | options))

    @classmethod
    def at_pixels(cls, xy: Any, canvas_size: tuple[int, int]) -> ErasePoint:
        """Points in the middle of pixels.

        Args:
            xy (Any): (K, 2), the pixels' (column, row).
            canvas_size (tuple of ints): (height, width) of the image.
        """
        return cls(torch.as_tensor(xy).to(torch.float32) + 0.5, canvas_size=canvas_size)

    @classmethod
    def _wrap_output(cls, output: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        # Called by TVTensor for clone, to, detach and the like; KeyPoints' own would make KeyPoints of them.
        if isinstance(output, tuple | list):
            return type(output)(cls._wrap_output(part, args, kwargs) for part in output)
        if not isinstance(output, Tensor) or isinstance(output, cls):
            return output
        like = next(arg for arg in args if isinstance(arg, cls))
        return cls._wrap(output, canvas_size=like.canvas_size, check_dims=False)


def points_of_each(points: ErasePoint, width: int, height: int, count: int) -> list[list[list[float]]]:
    """The points [x, y] of each of ``count`` images.

    Raises:
        ValueError: points of another canvas, or of another number of images.
    """
    if tuple(points.canvas_size) != (height, width):
        raise UserError(
            f"the ErasePoint is for a canvas (height, width) = {tuple(points.canvas_size)}, the image has "
            f"{(height, width)}: a transform changed one without the other"
        )
    if math.prod(points.shape[:-2]) != count:
        raise UserError(f"{count} images need an ErasePoint ({count}, K, 2), got {tuple(points.shape)}")
    return points.as_subclass(Tensor).reshape(count, -1, 2).tolist()


def _moved(points: ErasePoint, xy: Tensor, canvas_size: tuple[int, int] | None = None) -> ErasePoint:
    return tv_tensors.wrap(xy.as_subclass(Tensor), like=points, canvas_size=canvas_size or points.canvas_size)


@F.register_kernel(F.horizontal_flip, ErasePoint)
def _horizontal_flip(points: ErasePoint) -> ErasePoint:
    x, y = points.as_subclass(Tensor).unbind(-1)
    return _moved(points, torch.stack([points.canvas_size[1] - x, y], -1))


@F.register_kernel(F.vertical_flip, ErasePoint)
def _vertical_flip(points: ErasePoint) -> ErasePoint:
    x, y = points.as_subclass(Tensor).unbind(-1)
    return _moved(points, torch.stack([x, points.canvas_size[0] - y], -1))


@F.register_kernel(F.pad, ErasePoint)
def _pad(points: ErasePoint, padding: Any, padding_mode: str = "constant", **kwargs: Any) -> ErasePoint:
    # What mirrors the border shows some points twice; the one that counts is the image's own.
    padded = F.pad(_as_key_points(points), padding, padding_mode="constant")
    return _moved(points, padded, padded.canvas_size)


@F.register_kernel(F.rotate, ErasePoint)
def _rotate(points: ErasePoint, angle: float, expand: bool = False, **options: Any) -> ErasePoint:
    turned = F.rotate(_as_key_points(points), angle, expand=False, **options)
    if not expand:
        return _moved(points, turned)
    # The canvas grows on both sides alike. How far, only the kernel for images says right: ask it without pixels.
    height, width = points.canvas_size
    tall, wide = F.rotate(torch.empty(1, height, width, device="meta"), angle, expand=True, **options).shape[1:]
    grown = torch.tensor([(wide - width) / 2, (tall - height) / 2], device=points.device)
    return _moved(points, turned.as_subclass(Tensor) + grown, (tall, wide))


@F.register_kernel(F.elastic, ErasePoint)
def _elastic(points: ErasePoint, displacement: Tensor, **options: Any) -> ErasePoint:
    # torchvision's kernel counts from the first pixel's centre, forgets fractions, and cannot look up NaN.
    half = points.as_subclass(Tensor) - 0.5
    known = half.isfinite().all(-1, keepdim=True)
    bent = F.elastic(tv_tensors.KeyPoints(half.nan_to_num(0), canvas_size=points.canvas_size), displacement, **options)
    return _moved(points, torch.where(known, bent.as_subclass(Tensor) + 0.5 + half.frac(), torch.nan))


def _as_key_points(points: ErasePoint) -> tv_tensors.KeyPoints:
    return tv_tensors.KeyPoints(points.as_subclass(Tensor), canvas_size=points.canvas_size)
