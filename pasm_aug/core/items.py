"""Items of data sets as others hand them over: pairs (image, label), or dicts with entries of these names."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from pasm_aug.core.errors import UserError


def unpacked(item: Any) -> Any:
    """An item as a tuple: of a dict (Hugging Face, WebDataset) its entries ``image`` and ``label``, else as it is.

    Raises:
        ValueError: a dict without one of them.
    """
    if not isinstance(item, Mapping):
        return item
    if "image" not in item or "label" not in item:
        raise UserError(
            "an item must be (image, label), or a dict with entries 'image' and 'label', got one of "
            f"{', '.join(map(repr, item))}: rename them (Hugging Face: rename_columns, WebDataset: rename)"
        )
    return item["image"], item["label"]


def class_of(label: Any, index: int) -> int:
    """The class of item ``index``. Raises a TypeError for a label that is no number, such as a one-hot vector."""
    try:
        number = int(label)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"label of item {index} must be a class, a whole number from 0 on, got {label!r}") from error
    return number


def class_names(dataset: Any) -> list[str]:
    """The names of a data set's classes in the order of its labels; empty where it tells none."""
    known = getattr(dataset, "classes", None)
    if known is None:  # Hugging Face's tell them where they describe their columns
        features = getattr(dataset, "features", None)
        known = getattr(features.get("label"), "names", None) if isinstance(features, Mapping) else None
    return [] if known is None else [str(name) for name in known]


def check_map_style(dataset: Any, name: str = "dataset") -> None:
    """Raise a TypeError for a data set that can only be iterated over, or a path, and say what can be done about it."""
    if isinstance(dataset, str | os.PathLike):
        raise TypeError(f"{name} must be a data set, got a path: pass ImageFolder({str(dataset)!r}), for instance")
    if not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")):
        raise TypeError(
            f"{name} must have a length and items by index, got {type(dataset).__name__}: pass list(dataset); where "
            "that does not fit into memory, mine part by part into one file, which keeps what it holds"
        )
