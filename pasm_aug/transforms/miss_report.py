"""What an erasing transform counts, and what it says of images that the cache does not know."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor
from torchvision.transforms import v2

from pasm_aug.cache.position_cache import PositionCache
from pasm_aug.core.image_content import as_uint8, look
from pasm_aug.transforms import fill
from pasm_aug.transforms.row_lookup import why_missed
from pasm_aug.transforms.shared_counters import SharedCounts

_COUNTERS = ("calls", "hits", "misses", "skipped", "warned", "erased_pixels", "pixels")
_REMEMBERED = 64  # images missed, to tell why


class CacheMiss(LookupError, ValueError):
    """An image without a row in the cache, where ``on_miss="raise"``."""


class Counting(v2.Transform):
    """Counts over all processes; a miss is never silent."""

    cache: PositionCache | None
    on_miss: str
    _normalisation: fill.Normalisation | None

    def __init__(self) -> None:
        super().__init__()
        self._counts = SharedCounts(_COUNTERS)
        self._missed: list[tuple[int, int]] = []

    def __getstate__(self) -> dict[str, Any]:
        """Without what every module has: workers are started with less than a kilobyte."""
        usual = vars(torch.nn.Module())
        return {k: v for k, v in vars(self).items() if k != "_missed" and (k not in usual or v != usual[k])}

    def __setstate__(self, state: dict[str, Any]) -> None:
        torch.nn.Module.__init__(self)
        self.__dict__.update(state, _missed=[])

    def stats(self) -> dict[str, int]:
        """Totals over all processes that share this transform, in images: ``calls``, ``erased``, ``hits``,
        ``misses``, and of these ``skipped``."""
        totals = self._counts.totals()
        totals["erased"] = totals["hits"] + totals["misses"] - totals["skipped"]
        return {name: totals[name] for name in ("calls", "erased", "hits", "misses", "skipped")}

    def erased_area(self, *, here: bool = False) -> tuple[int, int]:
        """(pixels erased, pixels seen) over all processes, or by this one alone."""
        return self._counts.erased_area(here=here)

    def _on_miss(self, image: Any) -> str:
        """Warn or raise where the options say so; return what to do."""
        cache = self.cache
        if cache is None:
            if self.on_miss == "raise":
                raise CacheMiss('cache is None: every image is a miss, and on_miss="raise"')
            return self.on_miss
        if len(self._missed) < _REMEMBERED or self.on_miss == "raise":
            array = as_uint8(self._whole(image))
            self._missed.append((look(array), look(array[..., ::-1])))
        if self.on_miss == "raise":
            raise CacheMiss(f"no row for this image in {cache.path}; {why_missed(cache, [self._missed.pop()])}")
        totals = self._counts.totals()
        seen = totals["hits"] + totals["misses"] + 1
        known = cache.unmined / max(len(cache), 1)  # images that the search skipped are no surprise
        if totals["calls"] >= 100 and not totals["warned"] and totals["misses"] > (0.1 + known) * seen:
            self._counts.add(warned=1)
            rate = f"hit rate {totals['hits'] / seen:.0%} in {seen} look-ups"
            warnings.warn(f"{cache.path}: {rate}; {why_missed(cache, self._missed)}", stacklevel=2)
        return self.on_miss

    def _whole(self, image: Any) -> Any:
        """One image in [0, 1] or 0…255: a video's first frame, before ``Normalize``."""
        if isinstance(image, Tensor) and image.ndim > 3:
            image = image[(0,) * (image.ndim - 3)]
        return image if self._normalisation is None else self._normalisation.undo(image)
