"""Erase where the teacher looks: the augmentation of PASM as a torchvision v2 transform (paper, Section 3.2, Alg. 1).

Unlike Random Erasing the point is looked up, in a cache that was mined before; the transform runs no network and reads
one row. Where to erase is decided in :mod:`pasm_aug.transforms.params`, how in :mod:`pasm_aug.transforms.functional`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import PIL.Image
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten
from torchvision import tv_tensors
from torchvision.transforms import v2

from pasm_aug.cache.position_cache import PositionCache
from pasm_aug.core import checks
from pasm_aug.transforms import validation
from pasm_aug.transforms.erase_point import ErasePoint
from pasm_aug.transforms.fill import holding_colours
from pasm_aug.transforms.functional import fill_box, fill_boxes
from pasm_aug.transforms.image_lists import transform_each
from pasm_aug.transforms.images import is_plain_image
from pasm_aug.transforms.indexed_dataset import SampleIndex
from pasm_aug.transforms.miss_report import MissReport
from pasm_aug.transforms.params import COUNTERS, ParamsMaker
from pasm_aug.transforms.placement import Placement, at_the_point
from pasm_aug.transforms.point_lookup import PointLookup
from pasm_aug.transforms.row_lookup import RowLookup
from pasm_aug.transforms.shared_counters import SharedCounters, erased_area
from pasm_aug.transforms.where import Where

_TENSORS = (Tensor, tv_tensors.Image, tv_tensors.Video)
_PASSING = (int, SampleIndex, ErasePoint)


class PointAdversarialErase(v2.Transform):
    """Fill a square around a mined point of the image, with probability ``p``.

    Takes an image alone (v1 ``Compose``) or any nesting of images, labels, boxes, masks and key points (v2); all but
    the images pass through, and all images of a sample get the same square. Of several plain tensors the first alone
    is an image, as torchvision has it; ``tv_tensors.Image`` marks the others. Images are PIL images, or tensors
    (..., C, H, W) with 1 to 4 channels: uint8, int16 or floating in [0, 1]. Leading dimensions make a batch: so many
    images, each with its own square; so does a list of images beside as many labels. Of a ``tv_tensors.Video``
    (..., T, C, H, W) the T frames share one, looked up by the first. It belongs right after the deterministic head
    (decode, align, resize), or anywhere behind if the sample carries an :class:`ErasePoint`.

    Args:
        cache (str, path, PositionCache or None): of :func:`~pasm_aug.search.mine.mine_positions`. With ``None`` every
            image is a miss, which with ``on_miss="random"`` gives a random square of matched size.
        p (float): probability of erasing. Default: 0.5.
        size (float): side of the square: a float in (0, 1] is a share of the shorter side of the image as it comes in,
            an int is pixels; a resize between mining and erasing changes the image, not the square's share of it.
            Default: 31/224.
        size_range (tuple of two floats, optional): (low, high) alike, both included, drawn anew at each call; replaces
            ``size``.
        value (str, float or sequence of floats): ``"point"`` the mined colour (on a miss, a uniformly drawn one),
            ``"mean"`` of the image per channel, ``"random"`` uniform noise, or a number or one per channel in the
            image's own range at this stage. With an :class:`ErasePoint`, ``"point"`` needs an index beside it to know
            the colour. Default: ``"point"``.
        on_miss (str): ``"random"`` a square of the same size anywhere, ``"skip"`` nothing, ``"raise"``
            :class:`CacheMiss`. Default: ``"random"``.
        index_getter (str, callable or None): ``"default"``; a callable from the sample to its index, which is trusted;
            ``None`` to go by content alone. For a batch: a dict entry (B,), a :class:`SampleIndex` (B, 2), or a getter
            of B integers. Default: ``"default"``.
        where (array of bool, optional): (N,) over the samples that were mined, which of them may be erased; a
            :class:`~pasm_aug.asm.subsets.Partition` stands for those whose label is trusted. The others pass as they
            are, and are no misses; an image that was not mined is one as ever.
        mean (sequence of floats, optional): of the ``Normalize`` that this transform stands behind, with ``std``;
            colours are normalised likewise.
        std (sequence of floats, optional): see ``mean``.
        inplace (bool): write into the image. Default: ``False``.

    Raises:
        ValueError: an option out of its range; when called, an index of another data set, an image and colours of
            different channels, or an ``ErasePoint`` of another canvas.
        TypeError: an option of another kind; when called, no image, or one of a kind that cannot be erased.
        CacheMiss: when called, as ``on_miss`` says.
        CacheError: the cache is damaged or gone.
    """

    _transformed_types = (is_plain_image, tv_tensors.Image, tv_tensors.Video, PIL.Image.Image)
    # The one thing in which RandomPlaceErase differs.
    _centre: ClassVar[staticmethod[..., Any]] = staticmethod(at_the_point)

    def __init__(
        self,
        cache: str | os.PathLike[str] | PositionCache | None,
        *,
        p: float = 0.5,
        size: float = 31 / 224,
        size_range: tuple[float, float] | None = None,
        value: Literal["point", "mean", "random"] | float | Sequence[float] = "point",
        on_miss: Literal["random", "skip", "raise"] = "random",
        index_getter: validation.IndexGetter = "default",
        where: ArrayLike | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        inplace: bool = False,
    ) -> None:
        super().__init__()
        cache = cache if cache is None or isinstance(cache, PositionCache) else PositionCache.open(cache)
        self.cache, self.inplace = cache, inplace
        self.value = validation.check_value(value)
        self._normalisation = validation.check_normalisation(mean, std)
        self._counters = SharedCounters(COUNTERS)
        rows = RowLookup(cache, validation.check_index_getter(index_getter), self._normalisation)
        self._make_params = ParamsMaker(
            PointLookup(rows, coloured=self.value == "point"),
            Placement(
                checks.check_probability(p),
                checks.check_size("size", size),
                None if size_range is None else checks.check_size_range(size_range),
                centre=type(self)._centre,
            ),
            MissReport(cache, validation.check_on_miss(on_miss), self._counters, self._normalisation),
            self._counters,
            None if where is None else Where(where, cache),
            in_range=self.value in ("point", "random"),
        )

    def forward(self, *inputs: Any) -> Any:
        sample: Any = inputs[0] if len(inputs) == 1 else inputs
        if type(sample) in _TENSORS or isinstance(sample, PIL.Image.Image):  # the common samples need no flattening
            return self.transform(sample, self._params([sample], sample, ()))
        if type(sample) is tuple and _is_image_with_labels(sample):
            return self.transform(sample[0], self._params(sample[:1], sample, sample[1:])), *sample[1:]
        if isinstance(sample, dict | tuple | list) and (each := transform_each(sample, self)) is not None:
            return each
        leaves, spec = tree_flatten(sample)
        chosen = self._needs_transform_list(leaves)
        images = [leaf for leaf, take in zip(leaves, chosen, strict=True) if take]
        params = self._params(images, sample, leaves)
        outputs = [self.transform(x, params) if take else x for x, take in zip(leaves, chosen, strict=True)]
        return tree_unflatten(outputs, spec)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw for one sample, by the content of its first image or the index among ``flat_inputs``.

        Returns:
            ``box`` (``None``: leave it) and ``colour``; for a batch ``boxes``, and ``colours`` as a tensor (B, C).
        """
        chosen = self._needs_transform_list(flat_inputs)
        images = [leaf for leaf, take in zip(flat_inputs, chosen, strict=True) if take]
        return self._params(images, images[0] if images else None, flat_inputs)

    def _params(self, images: Sequence[Any], sample: Any, leaves: Sequence[Any]) -> dict[str, Any]:
        make: Any = self._make_params
        if torch.compiler.is_compiling():  # a look-up is no graph: torch.compile shall break around it cleanly
            make = torch.compiler.disable(make)
        return make(images, sample, leaves)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Apply what :meth:`make_params` drew to one image, or to the images of a batch."""
        options: Any = {"normalisation": self._normalisation, "inplace": self.inplace}
        if "boxes" in params:
            return fill_boxes(inpt, params["boxes"], self.value, params["colours"], **options)
        if params["box"] is None:
            return inpt if isinstance(inpt, Tensor) else holding_colours(inpt)  # one mode, erased or not
        return fill_box(inpt, params["box"], self.value, params["colour"], **options)

    def stats(self) -> dict[str, int]:
        """Totals over all processes that share this transform, in images: ``calls``, ``erased``, ``hits``,
        ``misses``, and of these ``skipped``."""
        totals = self._counters.totals()
        totals["erased"] = totals["hits"] + totals["misses"] - totals["skipped"]
        return {name: totals[name] for name in ("calls", "erased", "hits", "misses", "skipped")}

    def erased_area(self, *, here: bool = False) -> tuple[int, int]:
        """(pixels erased, pixels seen) over all processes, or by this one alone."""
        return erased_area(self._counters, here=here)

    def preview(self, dataset: Any, *, count: int = 8, draws: int = 3, seed: int = 0) -> PIL.Image.Image:
        """A contact sheet: images of a data set and draws of this transform of each, misses framed in red; for the
        arguments see :func:`~pasm_aug.transforms.preview.preview_sheet`. Counters and random states stay."""
        from pasm_aug.transforms.preview import preview_sheet  # not for loader workers

        return preview_sheet(self, dataset, count=count, draws=draws, seed=seed)

    def __getstate__(self) -> dict[str, Any]:
        """Without what every module has: workers are started with less than a kilobyte."""
        usual = vars(torch.nn.Module())
        return {name: value for name, value in vars(self).items() if name not in usual or value != usual[name]}

    def __setstate__(self, state: dict[str, Any]) -> None:
        torch.nn.Module.__init__(self)
        self.__dict__.update(state)

    def extra_repr(self) -> str:
        placement = self._make_params.placement
        size = f"size={placement.size:.4g}" if placement.size_range is None else f"size_range={placement.size_range}"
        path = None if self.cache is None else self.cache.path
        on_miss = self._make_params.misses.on_miss
        return f"{path!r}, p={placement.p}, {size}, value={self.value!r}, on_miss={on_miss!r}"


def _is_image_with_labels(sample: tuple[Any, ...]) -> bool:
    """(image, label, index, …), where no flattening is needed to find the image."""
    first: Any = sample[0] if sample else None
    if not isinstance(first, PIL.Image.Image) and not (type(first) in _TENSORS and first.ndim > 2):
        return False
    for other in sample[1:]:
        if type(other) not in _PASSING and not (type(other) is Tensor and other.ndim < 3):
            return False
    return True
