"""Adaptive Sample Mining (arXiv 2310.05618): training on labels that cannot be trusted, and finding the wrong ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pasm_aug.core.lazy import lazy

if TYPE_CHECKING:  # the same names, for editors and type checkers
    from pasm_aug.asm.class_thresholds import thresholds as thresholds
    from pasm_aug.asm.losses import ramp as ramp
    from pasm_aug.asm.losses import tri_loss as tri_loss
    from pasm_aug.asm.method import ASM as ASM
    from pasm_aug.asm.options import AsmOptions as AsmOptions
    from pasm_aug.asm.out_of_sample import judge_by_folds as judge_by_folds
    from pasm_aug.asm.out_of_sample import out_of_sample_probabilities as out_of_sample_probabilities
    from pasm_aug.asm.record import AsmRecord as AsmRecord
    from pasm_aug.asm.subsets import Partition as Partition
    from pasm_aug.asm.subsets import partition as partition
    from pasm_aug.asm.suspects import average_precision as average_precision
    from pasm_aug.asm.suspects import probably_wrong as probably_wrong
    from pasm_aug.asm.suspects import ranking as ranking
    from pasm_aug.asm.suspects import suspicion as suspicion
else:
    __getattr__, __dir__, __all__ = lazy(
        __name__,
        {
            "method": "ASM",
            "options": "AsmOptions",
            "record": "AsmRecord",
            "losses": "ramp tri_loss",
            "class_thresholds": "thresholds",
            "subsets": "Partition partition",
            "out_of_sample": "judge_by_folds out_of_sample_probabilities",
            "suspects": "average_precision probably_wrong ranking suspicion",
        },
    )
