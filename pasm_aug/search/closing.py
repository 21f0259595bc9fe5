"""The last word on a mining: what was found, and what it cost."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from pasm_aug.cache.position_cache import PositionCache


@dataclass
class Account:
    """Of one call of :func:`~pasm_aug.search.mine.mine_positions`.

    Attributes:
        started: on the clock of ``time.perf_counter``.
        paid: queries that what lay there already had cost.
        searched, right: images searched by this call, and those of them that the teacher has right.
    """

    started: float = field(default_factory=time.perf_counter)
    paid: int = 0
    searched: int = 0
    right: int = 0

    def text(self, cache: PositionCache) -> str:
        """Two lines for a person, or one where there was nothing to search."""
        seconds, found = time.perf_counter() - self.started, cache.findings().sentence()
        if not self.searched:
            return f"nothing was left to search: {found}"
        queries = max(0, int(cache.metadata["queries"]) - self.paid)
        return (
            f"the teacher has {self.right / self.searched:.1%} of the {self.searched:,} images right\n"
            f"mined {self.searched:,} images with {queries:,} queries in {seconds:,.1f} s: {found}"
        )
