"""Point Adversarial Self Mining (Liu et al., arXiv 2008.11401): hard erased examples instead of random ones.

The way of a training image, and where to read on:

    data        pasm_aug.data          images and labels; drawn faces when there are none
    align       pasm_aug.data.align    photographs into faces: MTCNN, five points, one frame
    teacher     pasm_aug.training      a network trained on them
    mine        pasm_aug.search        the pixel of each image whose change hurts the teacher most
    cache       pasm_aug.cache         those points, in one file
    transform   pasm_aug.transforms    PointAdversarialErase: a square erased at the point
    student     pasm_aug.training      learns from the erased image and the teacher's logits on the clean one
    next round  pasm_aug.rounds        the better of the two teaches
    report      pasm_aug.report        what came out, as a table and a page

Where labels cannot be trusted, pasm_aug.asm trains instead: Adaptive Sample Mining (Zhang et al., arXiv 2310.05618).

What all of them share is in pasm_aug.core, the commands are in pasm_aug.cli. Every public name is loaded when it is
first used, so a loader worker that only transforms loads no more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pasm_aug.core.lazy import lazy

__version__ = "0.1.0"

if TYPE_CHECKING:  # the same names, for editors and type checkers
    from pasm_aug.asm.method import ASM as ASM
    from pasm_aug.cache.format import CacheError as CacheError
    from pasm_aug.cache.position_cache import PositionCache as PositionCache
    from pasm_aug.core.image_content import content_key as content_key
    from pasm_aug.core.painting import erase_patch as erase_patch
    from pasm_aug.core.pair import Pair as Pair
    from pasm_aug.data.affectnet import AffectNet as AffectNet
    from pasm_aug.data.align.aligner import FaceAligner as FaceAligner
    from pasm_aug.data.ckplus import CKPlus as CKPlus
    from pasm_aug.data.fer2013 import FER2013 as FER2013
    from pasm_aug.data.ferplus import FERPlus as FERPlus
    from pasm_aug.data.folder import ExpressionFolder as ExpressionFolder
    from pasm_aug.data.manifest import Manifest as Manifest
    from pasm_aug.data.noisy_labels import NoisyLabels as NoisyLabels
    from pasm_aug.data.rafdb import RAFDB as RAFDB
    from pasm_aug.data.synthetic.dataset import SyntheticExpressions as SyntheticExpressions
    from pasm_aug.models import build_model as build_model
    from pasm_aug.models import load_model as load_model
    from pasm_aug.models import save_model as save_model
    from pasm_aug.rounds.algorithm import iter_rounds as iter_rounds
    from pasm_aug.rounds.algorithm import run_rounds as run_rounds
    from pasm_aug.rounds.options import RoundOptions as RoundOptions
    from pasm_aug.search.evolution import DifferentialEvolution as DifferentialEvolution
    from pasm_aug.search.mine import mine_positions as mine_positions
    from pasm_aug.search.online import OnlineAdversarialErase as OnlineAdversarialErase
    from pasm_aug.search.point_search import PointSearch as PointSearch
    from pasm_aug.search.result import PointResult as PointResult
    from pasm_aug.training.evaluation import evaluate as evaluate
    from pasm_aug.training.losses import distillation_loss as distillation_loss
    from pasm_aug.training.occlusion import evaluate_occlusion as evaluate_occlusion
    from pasm_aug.training.trainer import train as train
    from pasm_aug.transforms.erase import PointAdversarialErase as PointAdversarialErase
    from pasm_aug.transforms.erase_point import ErasePoint as ErasePoint
    from pasm_aug.transforms.indexed_dataset import IndexedDataset as IndexedDataset
    from pasm_aug.transforms.indexed_dataset import SampleIndex as SampleIndex
    from pasm_aug.transforms.miss_report import CacheMiss as CacheMiss
    from pasm_aug.transforms.numpy_hwc import NumpyHWC as NumpyHWC
    from pasm_aug.transforms.paired_view import PairedView as PairedView
else:
    __getattr__, __dir__, __all__ = lazy(
        __name__,
        {
            "transforms.erase": "PointAdversarialErase",
            "transforms.erase_point": "ErasePoint",
            "transforms.indexed_dataset": "IndexedDataset SampleIndex",
            "transforms.miss_report": "CacheMiss",
            "transforms.numpy_hwc": "NumpyHWC",
            "transforms.paired_view": "PairedView",
            "cache.position_cache": "PositionCache",
            "cache.format": "CacheError",
            "search.mine": "mine_positions",
            "search.online": "OnlineAdversarialErase",
            "search.point_search": "PointSearch",
            "search.result": "PointResult",
            "search.evolution": "DifferentialEvolution",
            "core.image_content": "content_key",
            "core.painting": "erase_patch",
            "core.pair": "Pair",
            "asm.method": "ASM",
            "training.losses": "distillation_loss",
            "training.trainer": "train",
            "training.evaluation": "evaluate",
            "training.occlusion": "evaluate_occlusion",
            "rounds.algorithm": "iter_rounds run_rounds",
            "rounds.options": "RoundOptions",
            "models": "build_model load_model save_model",
            "data.align.aligner": "FaceAligner",
            "data.fer2013": "FER2013",
            "data.ferplus": "FERPlus",
            "data.rafdb": "RAFDB",
            "data.ckplus": "CKPlus",
            "data.affectnet": "AffectNet",
            "data.manifest": "Manifest",
            "data.folder": "ExpressionFolder",
            "data.synthetic.dataset": "SyntheticExpressions",
            "data.noisy_labels": "NoisyLabels",
        },
    )
