"""What a finished run found: a table and a page. Reads, trains nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pasm_aug.core.lazy import lazy

if TYPE_CHECKING:  # the same names, for editors and type checkers
    from pasm_aug.report.comparison import write_comparison as write_comparison
    from pasm_aug.report.run_folder import Run as Run
    from pasm_aug.report.run_folder import read_run as read_run
    from pasm_aug.report.run_report import write_report as write_report
else:
    __getattr__, __dir__, __all__ = lazy(
        __name__,
        {
            "run_report": "write_report",
            "comparison": "write_comparison",
            "run_folder": "Run read_run",
        },
    )
