"""What to say of images that the cache does not know: nothing, one warning that names the likely cause, or an error."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Literal

from pasm_aug.cache.position_cache import PositionCache
from pasm_aug.core.image_content import as_uint8, look
from pasm_aug.transforms.images import Image, as_mined
from pasm_aug.transforms.normalisation import Normalisation
from pasm_aug.transforms.shared_counters import SharedCounters
from pasm_aug.transforms.validation import OnMiss

COUNTERS = ("calls", "hits", "misses", "warned")  # that a report reads, and the last of them writes
_REMEMBERED = 64  # images missed, to tell why
_RESEMBLING = 0.1  # of the images missed: a quarter is expected if the cause is other pixels, hardly any if not


class CacheMiss(LookupError, ValueError):
    """An image without a row in the cache, where ``on_miss="raise"``."""


class MissReport:
    """Sees to it that no miss is silent. Copies and pickles have forgotten the images missed.

    Args:
        cache (PositionCache, optional): in which images are looked up.
        on_miss (str): ``"random"``, ``"skip"`` or ``"raise"``.
        counters (SharedCounters): with the names in :data:`COUNTERS`; the caller counts all but ``warned``.
        normalisation (Normalisation, optional): that the images went through.
    """

    def __init__(
        self,
        cache: PositionCache | None,
        on_miss: OnMiss,
        counters: SharedCounters,
        normalisation: Normalisation | None = None,
    ) -> None:
        self.cache, self.on_miss, self.counters, self.normalisation = cache, on_miss, counters, normalisation
        self._looks: list[tuple[int, int]] = []

    def __call__(self, image: Image) -> Literal["random", "skip"]:
        """One image is missed: what to do instead; warns if misses are many.

        Args:
            image (PIL image or Tensor): the image missed, or a video.

        Raises:
            CacheMiss: where ``on_miss="raise"``.
        """
        cache = self.cache
        if cache is None:
            if self.on_miss == "raise":
                raise CacheMiss('cache is None: every image is a miss, and on_miss="raise"')
            return self.on_miss
        if self.on_miss == "raise":
            raise CacheMiss(f"no row for this image in {cache.path}; {why_missed(cache, [self._looks_of(image)])}")
        if len(self._looks) < _REMEMBERED:
            self._looks.append(self._looks_of(image))
        totals = self.counters.totals()
        seen = totals["hits"] + totals["misses"] + 1
        known = cache.unmined / max(len(cache), 1)  # images that the search skipped are no surprise
        if totals["calls"] >= 100 and not totals["warned"] and totals["misses"] > (0.1 + known) * seen:
            self.counters.add(warned=1)
            rate = f"hit rate {totals['hits'] / seen:.0%} in {seen} look-ups"
            warnings.warn(f"{cache.path}: {rate}; {why_missed(cache, self._looks)}", stacklevel=2)
        return self.on_miss

    def _looks_of(self, image: Image) -> tuple[int, int]:
        array = as_uint8(as_mined(image, self.normalisation))
        return look(array), look(array[..., ::-1])

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_looks": []}


def why_missed(cache: PositionCache, looks: Sequence[tuple[int, int]]) -> str:
    """What is likely the matter with images that are not in the cache though they should be.

    Args:
        cache (PositionCache): in which they were looked up.
        looks (sequence of pairs): for each, its :func:`~pasm_aug.core.image_content.look` and that of its mirror image.
    """
    if cache.resembling(plain for plain, _ in looks) >= _RESEMBLING:
        return (
            "images that look like those missed were mined with other pixels: likely another resize backend (PIL and "
            "tensor resizing differ), size, decoder or colour"
        )
    if cache.resembling(mirrored for _, mirrored in looks) >= _RESEMBLING:
        return "the mirror images of those missed were mined: a random flip stands before this transform"
    return (
        "likely causes: another split of the data, a random transform before this one, another resize backend than in "
        "mining (PIL and tensor resizing differ)"
    )
