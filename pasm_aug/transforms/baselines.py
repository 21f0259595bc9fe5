"""The other ways to erase, made to be compared: each differs from PASM in what its name says and in nothing else."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import PIL.Image
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._pytree import tree_flatten
from torchvision import tv_tensors
from torchvision.transforms import v2

from pasm_aug.cache.position_cache import PositionCache
from pasm_aug.core.checks import check_probability
from pasm_aug.core.image_content import content_key
from pasm_aug.transforms import fill
from pasm_aug.transforms.erase import PointAdversarialErase
from pasm_aug.transforms.images import check_image, is_plain_image
from pasm_aug.transforms.placement import at_any_pixel
from pasm_aug.transforms.shared_counters import SharedCounters, erased_area

_AREA = ("erased_pixels", "pixels")


class RandomPlaceErase(PointAdversarialErase):
    """PASM's square in the mined colour at a random place: any pixel is its centre, and borders clip it alike."""

    _centre = staticmethod(at_any_pixel)


class CountedRandomErasing(v2.RandomErasing):
    """:class:`torchvision.transforms.v2.RandomErasing`, which also counts what it erased.

    Args:
        p (float): see there, as the others.
        scale (sequence of two floats): share of the image's area.
        ratio (sequence of two floats): height by width.
        value (float, sequence of floats or str): to fill with.
        inplace (bool): write into the image.
    """

    def __init__(
        self,
        p: float = 0.5,
        scale: Sequence[float] = (0.02, 0.33),
        ratio: Sequence[float] = (0.3, 3.3),
        value: float | Sequence[float] | Literal["random"] = 0.0,
        inplace: bool = False,
    ) -> None:
        super().__init__(p, scale, ratio, value, inplace)
        self._counters = SharedCounters(_AREA)

    def forward(self, *inputs: Any) -> Any:
        width, height = check_image(_first_image(inputs))
        self._counters.add(pixels=width * height)
        return super().forward(*inputs)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if params["v"] is not None:
            self._counters.add(erased_pixels=int(params["h"]) * int(params["w"]))
        return super().transform(inpt, params)

    def erased_area(self, *, here: bool = False) -> tuple[int, int]:
        """(pixels erased, pixels seen) over all processes, or by this one alone."""
        return erased_area(self._counters, here=here)

    def __repr__(self) -> str:
        return super().__repr__().replace(type(self).__name__, "RandomErasing", 1)


def _first_image(inputs: Any) -> Any:
    return next((leaf for leaf in tree_flatten(inputs)[0] if isinstance(leaf, Tensor | PIL.Image.Image)), None)


class CamRegionErase(v2.Transform):
    """Erase where the class activation map is high, in the data set's mean colour (Wei et al., CVPR 2017).

    Takes a PIL image or a tensor (C, H, W), alone or in a v2 sample; an image without a map stays as it is.

    Args:
        cams (str, path or PositionCache): of :func:`~pasm_aug.search.cam_cache.class_activation_cache`.
        p (float): probability of erasing. Default: 0.5.
        threshold (float): share of the map's maximum from which on a pixel is erased. The paper erases the "top 20 %"
            of the map's values, read here as those above 0.8 of the largest. Default: 0.8.
    """

    def __init__(self, cams: str | os.PathLike[str] | PositionCache, *, p: float = 0.5, threshold: float = 0.8) -> None:
        super().__init__()
        self._transformed_types = (is_plain_image, tv_tensors.Image, PIL.Image.Image)
        self.cams = cams if isinstance(cams, PositionCache) else PositionCache.open(cams)
        self.p, self.threshold = check_probability(p), threshold
        self._counters = SharedCounters(_AREA)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """``mask``: (H, W) bool, or ``None``; ``colour``: uint8, one a channel."""
        find: Any = self._find
        if torch.compiler.is_compiling():  # a look-up is no graph: torch.compile shall break around it cleanly
            find = torch.compiler.disable(find)
        return find(flat_inputs[0])

    def _find(self, image: Any) -> dict[str, Any]:
        width, height = check_image(image)
        self._counters.add(pixels=width * height)
        self.cams.refresh()
        row = self.cams.find(content_key(image)) if torch.rand(1).item() < self.p else -1
        if row < 0:
            return {"mask": None, "colour": None}
        grid = self.cams.metadata["grid"]
        cam = torch.from_numpy(self.cams.strengths(row).reshape(1, 1, *grid))
        mask = F.interpolate(cam, (height, width), mode="bilinear")[0, 0] >= self.threshold
        self._counters.add(erased_pixels=int(mask.sum()))
        return {"mask": mask, "colour": self.cams.point(row)[2]}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Apply what :meth:`make_params` found to one image."""
        mask: Tensor | None = params["mask"]
        if mask is None:
            return inpt
        image: Any = fill.holding_colours(inpt)
        values = fill.colour_fill(image, params["colour"])
        if isinstance(image, PIL.Image.Image):
            image = image.copy()
            pixel = tuple(int(v) for v in values) if len(values) > 1 else int(values[0])
            image.paste(pixel, mask=PIL.Image.fromarray(mask.numpy().astype(np.uint8) * 255))
            return image
        mask, colour = mask.to(image.device), torch.tensor(values, dtype=image.dtype, device=image.device)
        erased = torch.where(mask, colour[:, None, None], image.as_subclass(Tensor))
        return tv_tensors.wrap(erased, like=image) if isinstance(image, tv_tensors.TVTensor) else erased

    def erased_area(self, *, here: bool = False) -> tuple[int, int]:
        """(pixels erased, pixels seen) over all processes, or by this one alone."""
        return erased_area(self._counters, here=here)

    def extra_repr(self) -> str:
        return f"{self.cams.path!r}, p={self.p}, threshold={self.threshold}"
