"""Data sets of facial expressions: torch data sets of (PIL picture, label) whose classes meet by name."""

from pasm_aug.data.base import (
    EXPRESSIONS,
    ExpressionDataset,
    ExpressionSubset,
    canonical_name,
    stratified_sample,
    stratified_split,
)
from pasm_aug.data.face_description import Difficulty
from pasm_aug.data.fer2013 import FER2013
from pasm_aug.data.files import PictureError
from pasm_aug.data.folder import ExpressionFolder
from pasm_aug.data.registry import DATASETS, open_dataset
from pasm_aug.data.synthetic import SyntheticExpressions

__all__ = [
    "DATASETS",
    "EXPRESSIONS",
    "FER2013",
    "Difficulty",
    "ExpressionDataset",
    "ExpressionFolder",
    "ExpressionSubset",
    "PictureError",
    "SyntheticExpressions",
    "canonical_name",
    "open_dataset",
    "stratified_sample",
    "stratified_split",
]
