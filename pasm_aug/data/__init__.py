"""Data sets of facial expressions: torch data sets of (PIL picture, label) whose classes meet by name."""

from pasm_aug.data.affectnet import AffectNet
from pasm_aug.data.base import (
    EXPRESSIONS,
    ExpressionDataset,
    ExpressionSubset,
    canonical_name,
    stratified_sample,
    stratified_split,
)
from pasm_aug.data.ckplus import CKPlus
from pasm_aug.data.face_description import Difficulty
from pasm_aug.data.fer2013 import FER2013
from pasm_aug.data.ferplus import FERPlus
from pasm_aug.data.files import PictureError
from pasm_aug.data.folder import ExpressionFolder
from pasm_aug.data.manifest import Manifest
from pasm_aug.data.overlap import Overlaps, overlaps, without
from pasm_aug.data.rafdb import RAFDB
from pasm_aug.data.registry import DATASETS, open_dataset
from pasm_aug.data.synthetic import SyntheticExpressions

__all__ = [
    "DATASETS",
    "EXPRESSIONS",
    "FER2013",
    "RAFDB",
    "AffectNet",
    "CKPlus",
    "Difficulty",
    "ExpressionDataset",
    "ExpressionFolder",
    "ExpressionSubset",
    "FERPlus",
    "Manifest",
    "Overlaps",
    "PictureError",
    "SyntheticExpressions",
    "canonical_name",
    "open_dataset",
    "overlaps",
    "stratified_sample",
    "stratified_split",
    "without",
]
