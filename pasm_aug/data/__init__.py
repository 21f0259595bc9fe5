"""Everything until an image is (uint8, label): loaders whose classes meet by name, splits, alignment, drawn faces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pasm_aug.core.lazy import lazy

if TYPE_CHECKING:  # the same names, for editors and type checkers
    from pasm_aug.data.affectnet import AffectNet as AffectNet
    from pasm_aug.data.base import EXPRESSIONS as EXPRESSIONS
    from pasm_aug.data.base import ExpressionDataset as ExpressionDataset
    from pasm_aug.data.base import ExpressionSubset as ExpressionSubset
    from pasm_aug.data.base import canonical_name as canonical_name
    from pasm_aug.data.base import stratified_sample as stratified_sample
    from pasm_aug.data.base import stratified_split as stratified_split
    from pasm_aug.data.ckplus import CKPlus as CKPlus
    from pasm_aug.data.decoded_store import DecodedDataset as DecodedDataset
    from pasm_aug.data.decoded_store import decoded as decoded
    from pasm_aug.data.fer2013 import FER2013 as FER2013
    from pasm_aug.data.ferplus import FERPlus as FERPlus
    from pasm_aug.data.files import ImageError as ImageError
    from pasm_aug.data.folder import ExpressionFolder as ExpressionFolder
    from pasm_aug.data.in_memory import InMemory as InMemory
    from pasm_aug.data.manifest import Manifest as Manifest
    from pasm_aug.data.mapped_labels import MappedLabels as MappedLabels
    from pasm_aug.data.noisy_labels import NoisyLabels as NoisyLabels
    from pasm_aug.data.overlap import Overlaps as Overlaps
    from pasm_aug.data.overlap import overlaps as overlaps
    from pasm_aug.data.overlap import without as without
    from pasm_aug.data.rafdb import RAFDB as RAFDB
    from pasm_aug.data.registry import DATASETS as DATASETS
    from pasm_aug.data.registry import open_dataset as open_dataset
    from pasm_aug.data.synthetic.dataset import SyntheticExpressions as SyntheticExpressions
    from pasm_aug.data.synthetic.description import Difficulty as Difficulty
else:
    __getattr__, __dir__, __all__ = lazy(
        __name__,
        {
            "base": "EXPRESSIONS ExpressionDataset ExpressionSubset canonical_name stratified_sample stratified_split",
            "fer2013": "FER2013",
            "ferplus": "FERPlus",
            "rafdb": "RAFDB",
            "ckplus": "CKPlus",
            "affectnet": "AffectNet",
            "folder": "ExpressionFolder",
            "manifest": "Manifest",
            "synthetic.dataset": "SyntheticExpressions",
            "synthetic.description": "Difficulty",
            "registry": "DATASETS open_dataset",
            "files": "ImageError",
            "overlap": "Overlaps overlaps without",
            "in_memory": "InMemory",
            "mapped_labels": "MappedLabels",
            "noisy_labels": "NoisyLabels",
            "decoded_store": "DecodedDataset decoded",
        },
    )
