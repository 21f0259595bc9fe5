"""Algorithm 1 of the paper and the arms it is compared with; owns the run folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pasm_aug.core.lazy import lazy

if TYPE_CHECKING:  # the same names, for editors and type checkers
    from pasm_aug.rounds.algorithm import iter_rounds as iter_rounds
    from pasm_aug.rounds.algorithm import run_rounds as run_rounds
    from pasm_aug.rounds.arms import AUGMENTS as AUGMENTS
    from pasm_aug.rounds.arms import make_erase as make_erase
    from pasm_aug.rounds.options import RoundOptions as RoundOptions
    from pasm_aug.rounds.results import RoundResult as RoundResult
else:
    __getattr__, __dir__, __all__ = lazy(
        __name__,
        {
            "algorithm": "iter_rounds run_rounds",
            "results": "RoundResult",
            "arms": "AUGMENTS make_erase",
            "options": "RoundOptions",
        },
    )
