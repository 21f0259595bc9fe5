"""The mined points of a data set, in one file: looked up while training, merged from journals once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pasm_aug.core.lazy import lazy

if TYPE_CHECKING:  # the same names, for editors and type checkers
    from pasm_aug.cache.format import CacheError as CacheError
    from pasm_aug.cache.merge import write_cache as write_cache
    from pasm_aug.cache.position_cache import PositionCache as PositionCache
    from pasm_aug.cache.record import MinedPoint as MinedPoint
    from pasm_aug.cache.record import Points as Points
else:
    __getattr__, __dir__, __all__ = lazy(
        __name__,
        {
            "position_cache": "PositionCache",
            "record": "MinedPoint Points",
            "format": "CacheError",
            "merge": "write_cache",
        },
    )
