"""Images as numpy arrays (H, W, C), as OpenCV, albumentations and scikit-image hold them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pasm_aug.core.errors import UserError


class NumpyHWC:
    """Lets a transform of tensors (C, H, W) take numpy arrays and return such arrays.

    Args:
        transform (callable): image → image, or (image, label, …) → (image, label, …); a
            :class:`~pasm_aug.transforms.erase.PointAdversarialErase`, or any of torchvision's.
    """

    def __init__(self, transform: Callable[..., Any]) -> None:
        self.transform = transform

    def __call__(self, image: np.ndarray, *rest: Any) -> Any:
        """Transform one image.

        Args:
            image (ndarray): (H, W, C) or (H, W), of 1 to 4 channels: uint8, int16 or floating in [0, 1]; colours in
                the order red, green, blue, which OpenCV's ``imread`` turns round. It is left as it is.
            rest: a label, an index, …, for the transform.

        Returns:
            ndarray of the same number of dimensions; with ``rest`` a tuple that begins with it.

        Raises:
            TypeError: no array. ValueError: an array of another form.
        """
        if not isinstance(image, np.ndarray):
            raise TypeError(f"image must be a numpy array (H, W, C) or (H, W), got {type(image).__name__}")
        if image.ndim not in (2, 3) or (image.ndim == 3 and not 1 <= image.shape[2] <= 4):
            raise UserError(f"image must be (H, W, C) with 1 to 4 channels or (H, W), got shape {image.shape}")
        planes = image[None] if image.ndim == 2 else image.transpose(2, 0, 1)
        tensor = torch.from_numpy(planes.copy())  # a copy may be written to, and its strides are what torch takes
        if not rest:
            return _array(self.transform(tensor), image.ndim)
        first, *others = self.transform(tensor, *rest)
        return _array(first, image.ndim), *others

    def __repr__(self) -> str:
        return f"NumpyHWC({self.transform!r})"


def _array(image: Tensor, dimensions: int) -> np.ndarray:
    return image.numpy()[0] if dimensions == 2 else np.ascontiguousarray(image.numpy().transpose(1, 2, 0))
