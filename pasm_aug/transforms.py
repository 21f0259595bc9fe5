"""Erase where the teacher looks: the augmentation of PASM as a torchvision v2 transform (paper, Section 3.2, Alg. 1).

Unlike Random Erasing the place is looked up, in a cache that was mined before; the transform runs no network and reads
one row. Which row is decided by, in this order: a :class:`~pasm_aug.identity.SampleIndex` or a dict entry ``"index"``,
and else the picture's content.
"""

from __future__ import annotations

import numbers
import os
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import PIL.Image
import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2._utils import is_pure_tensor

from pasm_aug import fill
from pasm_aug.cache import PositionCache
from pasm_aug.counts import SharedCounts
from pasm_aug.functional import content_key, erase_patch, patch_box, side_in_pixels
from pasm_aug.identity import IndexedDataset, SampleIndex, find_row
from pasm_aug.pair import PairedView

__all__ = ["CacheMiss", "IndexedDataset", "PairedView", "PointAdversarialErase", "SampleIndex"]

_DRAWS = 9  # p, rank, size, two for the place, four for the colour: as many for a miss as for a hit
_COUNTERS = ("calls", "erased", "hits", "misses", "skipped", "warned")
_CAUSES = (
    "likely causes: another resize backend than in mining (PIL and tensor resizing differ), a random transform before "
    "this one, another split of the data"
)
_KEEP: dict[str, Any] = {"box": None, "colour": None}


class CacheMiss(LookupError, ValueError):
    """A picture without a row in the cache, where ``on_miss="raise"``."""


class PointAdversarialErase(v2.Transform):
    """Fill a square around a mined point of the picture, with probability ``p``.

    Takes a picture alone (v1 ``Compose``) or any nesting of pictures, labels and boxes (v2); labels and boxes pass
    through, and all pictures of a sample get the same square. Pictures are PIL images, or tensors (C, H, W), uint8 or
    floating in [0, 1], with 1 to 4 channels. It belongs right after the deterministic head (decode, align, resize).

    Args:
        cache: path, :class:`PositionCache`, or ``None``: then every picture is a miss, which with
            ``on_miss="random"`` gives a random square of matched size.
        p: probability of erasing.
        size: side of the square: a float in (0, 1] is a share of the picture's shorter side, an int is pixels.
        size_range: (low, high) alike, both included, drawn anew at each call; replaces ``size``.
        value: ``"point"`` the mined colour (on a miss, a uniformly drawn one), ``"mean"`` of the picture per channel,
            ``"random"`` uniform noise, or a number or one per channel in the picture's own range at this stage.
        on_miss: ``"random"`` a square of the same size anywhere, ``"skip"`` nothing, ``"raise"`` :class:`CacheMiss`.
        index_getter: ``"default"``; a callable from the sample to its index, which is trusted; ``None`` to go by
            content alone.
        mean: of the ``Normalize`` that this transform stands behind, with ``std``; colours are normalised likewise.
        std: see ``mean``.
        inplace: write into the picture.

    Raises:
        ValueError: when called, an index of another data set, or a picture and colours of different channels.
        CacheMiss: when called, as ``on_miss`` says.
        CacheError: the cache is damaged or gone.
    """

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
        super().__init__()
        self._transformed_types = (_is_plain_image, tv_tensors.Image, PIL.Image.Image)
        self.cache = cache if cache is None or isinstance(cache, PositionCache) else PositionCache.open(cache)
        if on_miss not in ("random", "skip", "raise"):
            raise ValueError(f'on_miss must be "random", "skip" or "raise", got {on_miss!r}')
        if index_getter is not None and index_getter != "default" and not callable(index_getter):
            raise TypeError(f'index_getter must be "default", a callable or None, got {index_getter!r}')
        self.on_miss, self.index_getter, self.inplace = on_miss, index_getter, inplace
        self.p = _check_probability(p)
        self.size = _check_size("size", size)
        self.size_range = None if size_range is None else _check_size_range(size_range)
        self.value = fill.check_value(value)
        self._normalisation = fill.check_normalisation(mean, std)
        self._counts = SharedCounts(_COUNTERS)

    def forward(self, *inputs: Any) -> Any:
        sample = inputs[0] if len(inputs) == 1 else inputs
        if type(sample) in (Tensor, tv_tensors.Image) or isinstance(sample, PIL.Image.Image):
            return self.transform(sample, self._draw(sample, sample, ()))
        leaves, spec = tree_flatten(sample)
        chosen = self._needs_transform_list(leaves)
        images = [leaf for leaf, take in zip(leaves, chosen, strict=True) if take]
        params = self._draw(_one_size(images), sample, leaves)
        outputs = [self.transform(x, params) if take else x for x, take in zip(leaves, chosen, strict=True)]
        return tree_unflatten(outputs, spec)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw for one sample, by the content of its first picture: ``box`` (``None``: leave it) and ``colour``."""
        image = _one_size(flat_inputs)
        return self._draw(image, image, ())

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Apply what :meth:`make_params` drew to one picture."""
        box = params["box"]
        if box is None:
            return inpt
        image = fill.holding_colours(inpt)
        if self.value == "random":
            return fill.paste(image, box, fill.noise_patch(image, box, self._normalisation), self.inplace)
        values: Sequence[float]
        if not isinstance(self.value, str):
            values = fill.number_fill(image, self.value)
        elif self.value == "point":
            values = fill.colour_fill(image, params["colour"], self._normalisation)
        else:
            values = fill.mean_fill(image)
        return erase_patch(image, box, values, inplace=self.inplace)

    def _draw(self, image: Any, sample: Any, leaves: Sequence[Any]) -> dict[str, Any]:
        erase, rank, size, *place, c0, c1, c2, _ = torch.rand(_DRAWS).tolist()
        count = self._counts.add
        count("calls")
        width, height = fill.check_image(image, self._normalisation)
        if erase >= self.p:
            return _KEEP
        side = self._side(size, min(width, height))
        cache, row = self.cache, -1
        if cache is not None:
            cache.refresh()
            row = find_row(cache, lambda: self._key(image), sample, leaves, self.index_getter)
        if cache is not None and row >= 0:
            count("hits")
            x, y, colour = cache.point(row, int(rank * cache.points))
        else:
            count("misses")
            self._on_miss()
            if self.on_miss == "skip":
                count("skipped")
                return _KEEP
            x, y = (
                int(u * max(length - side + 1, 1)) + min(side, length) // 2
                for u, length in zip(place, (width, height), strict=True)
            )
            channels = fill.colour_channels(image)
            grey = cache is not None and cache.channels == 1
            colour = tuple(int(u * 256) for u in ((c0,) * channels if grey else (c0, c1, c2)[:channels]))
        count("erased")
        return {"box": patch_box(x, y, side, width, height), "colour": colour}

    def _side(self, u: float, shorter: int) -> int:
        low, high = self.size_range or (self.size, self.size)
        if isinstance(low, int):
            return low + int(u * (high - low + 1))
        return side_in_pixels(low + u * (high - low), shorter)

    def _key(self, image: Any) -> int:
        return content_key(image if self._normalisation is None else self._normalisation.undo(image))

    def stats(self) -> dict[str, int]:
        """Counts over all processes that share this transform: calls, erased, hits, misses, and misses skipped."""
        totals = self._counts.totals()
        return {name: totals[name] for name in _COUNTERS if name != "warned"}

    def _on_miss(self) -> None:
        if self.cache is None:
            return
        if self.on_miss == "raise":
            raise CacheMiss(f"no row for this picture in {self.cache.path}; {_CAUSES}")
        total = self._counts.totals()
        seen = total["hits"] + total["misses"]
        known = self.cache.unmined / max(len(self.cache), 1)  # pictures that the search skipped are no surprise
        if total["calls"] >= 100 and not total["warned"] and total["misses"] > (0.1 + known) * seen:
            self._counts.add("warned")
            rate = f"hit rate {total['hits'] / seen:.0%} in {seen} look-ups"
            warnings.warn(f"{self.cache.path}: {rate}; {_CAUSES}", stacklevel=2)

    def extra_repr(self) -> str:
        size = f"size={self.size:.4g}" if self.size_range is None else f"size_range={self.size_range}"
        path = None if self.cache is None else self.cache.path
        return f"{path!r}, p={self.p}, {size}, value={self.value!r}, on_miss={self.on_miss!r}"


def _is_plain_image(leaf: Any) -> bool:
    return is_pure_tensor(leaf) and leaf.ndim > 2  # a label or a one-hot vector is no picture


def _one_size(images: Sequence[Any]) -> Any:
    """The first of a sample's pictures, which names it and gives the size that all must have."""
    if not images:
        raise TypeError("the sample holds no picture: neither a PIL image nor a tensor (C, H, W)")
    sizes = [fill.check_image(image) for image in images]
    if len(set(sizes)) > 1:
        raise ValueError(f"the pictures of a sample must have one size (width, height), got {sizes}")
    return images[0]


def _check_probability(p: Any) -> float:
    if not isinstance(p, numbers.Real):
        raise TypeError(f"p must be a number, got {p!r}")
    chance = float(p)
    if not 0 <= chance <= 1:
        raise ValueError(f"p must be a probability in [0, 1], got {p!r}")
    return chance


def _check_size(name: str, size: Any) -> float:
    whole, share = (isinstance(size, kind) for kind in (numbers.Integral, numbers.Real))
    if not share or isinstance(size, bool):
        raise TypeError(f"{name} must be a float (share of the shorter side) or an int (pixels), got {size!r}")
    number = int(size) if whole else float(size)
    if not (number >= 1 if whole else 0 < number <= 1):
        raise ValueError(f"{name} must be at least 1 pixel, or a share in (0, 1], got {size!r}")
    return number


def _check_size_range(size_range: Any) -> tuple[float, float]:
    if not isinstance(size_range, Sequence) or len(size_range) != 2:
        raise TypeError(f"size_range must be (low, high), got {size_range!r}")
    low, high = (_check_size("size_range", size) for size in size_range)
    if type(low) is not type(high) or low > high:
        raise ValueError(f"size_range must be two shares or two ints, low first, got {size_range!r}")
    return low, high
