"""What to say of images that the cache does not know: nothing, one warning that names the likely cause, or an error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from torch import Tensor
from torch.utils.data import get_worker_info

from pasm_aug.cache.position_cache import PositionCache
from pasm_aug.core.errors import UserError
from pasm_aug.core.image_content import as_uint8, look
from pasm_aug.core.user_warning import warn_user
from pasm_aug.transforms.images import Image, as_mined
from pasm_aug.transforms.normalisation import Normalisation
from pasm_aug.transforms.shared_counters import SharedCounters
from pasm_aug.transforms.validation import OnMiss

COUNTERS = ("calls", "hits", "misses", "warned")  # that a report reads, and the last of them writes
LOOKED_UP = 100  # in a loader, before misses are spoken of; a lone call tells at once
_REMEMBERED = 64  # images missed, to tell why
_RESEMBLING = 0.1  # of the images missed: a quarter is expected if the cause is other pixels, hardly any if not


class CacheMiss(LookupError, UserError):
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
        seen, missed = totals["hits"] + totals["misses"] + 1, totals["misses"] + 1
        known = cache.unmined / max(len(cache), 1)  # images that the search skipped are no surprise
        enough = totals["calls"] >= LOOKED_UP if get_worker_info() else not known or seen >= LOOKED_UP
        if enough and not totals["warned"] and missed > (0.1 + known) * seen:
            self.counters.add(warned=1)
            rate = f"hit rate {totals['hits'] / seen:.0%} in {seen} look-up{'s' * (seen > 1)}"
            hint = ""
            if isinstance(image, Tensor) and image.is_floating_point() and self.normalisation is None:
                hint = "; behind a Normalize it needs its mean= and std="
            warn_user(f"{cache.path}: {rate}; {why_missed(cache, self._looks)}{hint}")
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
