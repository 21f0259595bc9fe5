"""What a network was trained with."""

from __future__ import annotations

import platform
from importlib import import_module, metadata


def versions() -> dict[str, str]:
    """Name → version of this package, Python, and the packages that numbers depend on."""
    own = import_module("pasm_aug").__version__  # not by an import statement: the face knows rooms above this one
    others = {name: metadata.version(name) for name in ("torch", "torchvision", "numpy")}
    return {"pasm_aug": own, "python": platform.python_version()} | others
