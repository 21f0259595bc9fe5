"""Warnings that point at the line of the user's own code."""

from __future__ import annotations

import os
import sys
import warnings

_OURS = tuple(os.sep + name + os.sep for name in ("pasm_aug", "torch", "torchvision"))


def warn_user(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the innermost frame that is neither this package's nor torch's; if there is none, at the caller."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None:
        frame, level = frame.f_back, level + 1
        if not any(part in frame.f_code.co_filename for part in _OURS):
            warnings.warn(message, category, stacklevel=level)
            return
    warnings.warn(message, category, stacklevel=2)
