"""Point Adversarial Self Mining (Liu et al., arXiv 2008.11401): hard erased examples instead of random ones.

The way of a training image, and where to read on:

    data        pasm_aug.data          pictures and labels; drawn faces when there are none
    align       pasm_aug.align         photographs into faces: MTCNN, five points, one frame
    teacher     pasm_aug.training      a network trained on them
    mine        pasm_aug.mining        the pixel of each picture whose change hurts the teacher most (attack/)
    cache       pasm_aug.cache         those points, in one file
    transform   pasm_aug.transforms    PointAdversarialErase: a square erased at the point
    student     pasm_aug.training      learns from the erased picture and the teacher's answer on the clean one
    next round  pasm_aug.rounds        the better of the two teaches
    report      pasm_aug.report        what came out, as a table and a page

Every public name below is loaded when it is first asked for, so a loader worker that only transforms loads no more.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "PointAdversarialErase": "transforms",
    "PairedView": "transforms",
    "IndexedDataset": "transforms",
    "SampleIndex": "transforms",
    "ErasePoint": "transforms",
    "CacheMiss": "transforms",
    "PositionCache": "cache",
    "CacheError": "cache",
    "mine_positions": "mining",
    "PointSearch": "attack.search",
    "PointResult": "attack.search",
    "DifferentialEvolution": "attack.evolution",
    "distillation_loss": "functional",
    "content_key": "functional",
    "erase_patch": "functional",
    "train": "training",
    "evaluate": "evaluation",
    "run_rounds": "rounds",
    "build_model": "models",
    "load_model": "models",
    "save_model": "models",
    "FaceAligner": "align",
    "FER2013": "data",
    "FERPlus": "data",
    "RAFDB": "data",
    "CKPlus": "data",
    "AffectNet": "data",
    "Manifest": "data",
    "ExpressionFolder": "data",
    "SyntheticExpressions": "data",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'pasm_aug' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"pasm_aug.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
